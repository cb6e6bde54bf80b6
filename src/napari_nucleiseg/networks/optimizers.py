"""The optimizers that networks are trained with; importing this loads no Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def adam(learning_rate: float, weight_decay: float) -> keras.optimizers.Optimizer:
    """Return plain Adam; a weight decay of 0 is none."""
    import keras

    return keras.optimizers.Adam(learning_rate, weight_decay=weight_decay or None)


def adamw(learning_rate: float, weight_decay: float) -> keras.optimizers.Optimizer:
    """Return AdamW with gradients clipped to a norm of 1."""
    import keras

    return keras.optimizers.AdamW(
        learning_rate, weight_decay=weight_decay, global_clipnorm=1.0
    )

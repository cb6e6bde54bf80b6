"""The losses that networks are trained with, for any Keras backend.

Each takes the true targets, whose last axis ends with the weight of each pixel, and
the predicted maps. Importing this module loads no Keras.
"""

from __future__ import annotations

from typing import Any


def nuclei_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the cross-entropy of all maps, and the soft Dice loss of the first.

    The latter, of the nucleus map, makes small nuclei count although they hold few
    pixels.

    Parameters
    ----------
    y_true : tensor
        ``(n, y, x, maps + 1)`` in 0-1: nucleus, the other maps, and each pixel's
        weight (0 leaves a pixel out).
    y_pred : tensor
        ``(n, y, x, maps)`` in 0-1.

    Returns
    -------
    tensor
        Scalar.
    """
    from keras import ops

    target, weight = y_true[..., :-1], y_true[..., -1:]
    p = ops.clip(y_pred, 1e-6, 1 - 1e-6)
    entropy = -(target * ops.log(p) + (1 - target) * ops.log(1 - p))
    cross = ops.sum(entropy * weight) / (ops.sum(weight) + 1e-6)
    known = ops.cast(weight > 0, "float32")[..., 0]
    nucleus, truth = y_pred[..., 0] * known, target[..., 0] * known
    dice = 1 - (2 * ops.sum(nucleus * truth) + 1) / (
        ops.sum(nucleus) + ops.sum(truth) + 1
    )
    return cross + 0.5 * dice


def two_class_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the cross-entropy of background and nucleus, over the pixels known.

    For two probabilities that sum to 1, binary cross-entropy and sparse categorical
    cross-entropy are this one number: minus the logarithm of the probability given
    to the class that is there.

    Parameters
    ----------
    y_true : tensor
        ``(n, y, x, 2)``: nucleus, and each pixel's weight: 0 leaves the pixel out,
        all others count alike.
    y_pred : tensor
        ``(n, y, x, 2)`` in 0-1: background and nucleus, which sum to 1.

    Returns
    -------
    tensor
        Scalar.
    """
    from keras import ops

    nucleus = ops.cast(y_true[..., 0] > 0.5, "float32")
    known = ops.cast(y_true[..., -1] > 0, "float32")
    given = nucleus * y_pred[..., 1] + (1 - nucleus) * y_pred[..., 0]
    entropy = -ops.log(ops.clip(given, 1e-7, 1.0))
    return ops.sum(entropy * known) / (ops.sum(known) + 1e-6)

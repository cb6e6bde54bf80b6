"""How a network is added: one module, one line; here in one file.

In the package the part below would be ``networks/toy.py``, and the line would be
``from napari_nucleiseg.networks import toy as toy`` in ``networks/__init__.py``.
"""

import pytest

from napari_nucleiseg import segment
from napari_nucleiseg.networks.architectures import (
    ARCHITECTURES,
    Architecture,
    register,
)
from napari_nucleiseg.networks.losses import two_class_loss
from napari_nucleiseg.training.recipes import find_recipe
from napari_nucleiseg.training.run import train
from napari_nucleiseg.training.speed import estimate_minutes

# --- networks/toy.py


def build_toy():
    """Build two convolutions: background and nucleus, which sum to 1."""
    import keras
    from keras import layers

    image = layers.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(2, 1, activation="softmax")(x)
    return keras.Model(image, x, name="toy")


TOY = Architecture(
    name="toy",
    title="Two convolutions: nucleus or background",
    builder=build_toy,
    loss=two_class_loss,
    maps=("background", "nucleus"),  # what its two maps mean
    targets=("nucleus",),  # what its loss compares them with
    patch_size=64,
    multiple=8,
)


# --- and what there is for it then


@pytest.fixture(autouse=True)
def toy():
    register(TOY)  # in the package the module does so itself
    yield
    del ARCHITECTURES["toy"]


def test_it_is_trained_from_scratch_saved_and_used_by_its_name(
    pairs, validation, quick, tmp_path
):
    params = quick.replace(epochs=1, steps_per_epoch=1)
    outcome = train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        base=None,
        architecture="toy",
        params=params,
    )
    (row,) = outcome.history
    assert row["loss"] > 0
    card = outcome.model.card
    assert (card.architecture, card.maps) == ("toy", TOY.maps)
    assert card.title
    # From scratch there is no base; it is compared with the built-in model, and kept.
    assert card.training["base"] is None
    assert outcome.verdict.base_name == "nuclei"
    assert not outcome.verdict.better
    result = segment(pairs[0].image, tmp_path / "mine", diameter=20)
    assert result.labels.shape == pairs[0].image.shape


def test_it_has_a_recipe_and_an_estimate():
    recipe = find_recipe("toy")
    assert recipe.architecture == "toy"
    (stage,) = recipe.stages
    assert stage.params.patch_size == TOY.patch_size
    assert stage.params.learning_rate == TOY.learning_rate
    assert estimate_minutes(stage.params, "toy") > 0

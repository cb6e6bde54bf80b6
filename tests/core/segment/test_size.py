import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_nucleiseg.core.segment.image import resize
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.size import estimate_scale


def field_of(discs, radius):
    step = 3 * radius
    places = range(step // 2, 6 * step, step)
    return discs((6 * step, 6 * step), [(y, x) for y in places for x in places], radius)


class SizedLook:
    """Sees nuclei of a size it knows; larger ones it is not sure of."""

    def __init__(self, labels, predictor):
        self.labels, self.predictor = labels, predictor
        self.windows = []

    def __call__(self, scale, window):
        self.windows.append(window)
        labels = self.labels if window is None else self.labels[window]
        shape = tuple(max(1, round(side * scale)) for side in labels.shape)
        image = (labels > 0).astype(np.float32)[..., None]
        small = resize(image, shape)[..., 0]
        depth = ndi.distance_transform_edt(small > 0.5)
        sure = np.where(
            depth.max() * 2 <= self.predictor.spec.diameter_range[1], 1, 0.55
        )
        maps = np.zeros((*shape, 3), np.float32)
        maps[..., 0] = np.where(small > 0.5, sure, 0)
        maps[..., 1] = depth / max(depth.max(), 1)
        return maps


@pytest.mark.parametrize("radius", [8, 12, 16])
def test_nuclei_of_a_size_it_knows_are_left_as_they_are(discs, predictor, radius):
    labels = field_of(discs, radius)
    found = estimate_scale(SizedLook(labels, predictor), labels.shape, predictor.spec)
    scale, diameter = found
    assert scale == 1
    assert diameter == pytest.approx(2 * radius, rel=0.1)


@pytest.mark.parametrize("radius", [25, 40, 60])
def test_large_nuclei_are_brought_to_the_size_it_was_trained_on(
    discs, predictor, radius
):
    labels = field_of(discs, radius)
    found = estimate_scale(SizedLook(labels, predictor), labels.shape, predictor.spec)
    scale, diameter = found
    assert diameter == pytest.approx(2 * radius, rel=0.15)
    assert scale * 2 * radius == pytest.approx(predictor.spec.diameter, rel=0.15)


@pytest.mark.parametrize("radius", [2, 3, 4])
def test_small_nuclei_are_enlarged_to_be_seen(discs, predictor, radius):
    labels = field_of(discs, radius)
    look = SizedLook(labels, predictor)
    scale, diameter = estimate_scale(look, labels.shape, predictor.spec)
    assert diameter == pytest.approx(2 * radius, rel=0.25)
    assert scale * diameter == pytest.approx(predictor.spec.diameter)


def test_nothing_there_is_none(predictor):
    look = SizedLook(np.zeros((300, 300), int), predictor)
    assert estimate_scale(look, (300, 300), predictor.spec) is None


def test_of_a_huge_image_only_a_window_is_looked_at(discs, predictor):
    tile = field_of(discs, 10)
    labels = np.tile(tile, (12, 12))
    look = SizedLook(labels, predictor)
    assert estimate_scale(look, labels.shape, predictor.spec)[0] == 1
    first = look.windows[0]
    assert all(window.stop - window.start <= 512 for window in first)


def test_specks_do_not_decide(discs, predictor):
    labels = field_of(discs, 14)
    rng = np.random.default_rng(0)
    specks = rng.random(labels.shape) > 0.995
    labels[specks & (ndi.maximum_filter(labels, 5) == 0)] = labels.max() + 1
    found = estimate_scale(SizedLook(labels, predictor), labels.shape, predictor.spec)
    assert found[0] == 1
    assert found[1] == pytest.approx(28, rel=0.15)


def test_an_image_of_blank_is_run_as_it_is(predictor):
    result = segment(np.zeros((64, 80)), predictor)
    assert result.scale == 1
    assert result.diameter == predictor.spec.diameter

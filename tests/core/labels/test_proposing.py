"""Which regions to label next."""

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.proposing import Look, look_at, propose
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.predictor import NetworkSpec


def field(shape=(400, 600), step=40, side=20):
    """Labels of squares, and an image in which they are bright."""
    labels = np.zeros(shape, np.int32)
    n = 0
    for y in range(10, shape[0] - side, step):
        for x in range(10, shape[1] - side, step):
            n += 1
            labels[y : y + side, x : x + side] = n
    return labels, np.where(labels > 0, 200.0, 20.0)[..., None]


def look(unsure=None, missed=None, turned=None, known=None, image=None):
    """What a sure model makes of the field, but for a box of it."""
    labels, picture = field()
    nucleus, other = (labels > 0).astype(np.float32), labels.copy()
    confidence = np.ones(labels.max(), np.float32)
    if unsure is not None:
        confidence[np.unique(labels[unsure])[1:] - 1] = 0.3
    if missed is not None:
        nucleus[missed] = np.where(labels[missed] > 0, 1, 0.4)
    if turned is not None:
        other[turned] = 0
    image = picture if image is None else image
    return Look(image, labels, confidence, nucleus, (other,), known)


def inside(region, box):
    """Which part of a region lies in a box of the image."""
    mask = np.zeros((400, 600), bool)
    mask[box] = True
    return mask[region.box].mean()


def test_regions_have_so_many_nuclei_and_lie_in_the_image():
    regions = propose([look()], nuclei=25, most=50)
    assert regions
    for region in regions:
        assert 15 <= region.nuclei <= 36
        assert 0 <= region.top < region.bottom <= 400
        assert 0 <= region.left < region.right <= 600
    boxes = np.zeros((400, 600), int)
    for region in regions:
        boxes[region.box] += 1
    assert (boxes > 0).mean() > 0.4
    assert (boxes > 1).mean() < 0.4  # next to no overlap


def test_where_the_model_is_unsure_or_contradicts_itself_comes_first():
    doubtful = np.s_[200:400, 400:600]
    for name, why in (
        ("unsure", "much here may be wrong"),
        ("missed", "much here may be wrong"),
        ("turned", "the model contradicts itself"),
    ):
        first = propose([look(), look(**{name: doubtful})])[0]
        assert first.index == 1
        assert inside(first, doubtful) > 0.5
        assert first.why == why


def test_what_is_unlike_what_was_taught_comes_first_and_regions_differ():
    labels, picture = field()
    noise = np.random.default_rng(0).normal(0, 60, picture.shape)
    odd = picture.copy()
    odd[:, :200] += noise[:, :200]
    taught = Pair(picture[..., 0], labels, known=labels > 0)
    regions = propose([look(image=odd)], [taught])
    assert inside(regions[0], np.s_[:, :200]) > 0.9
    assert regions[0].why == "it looks different"
    # The next one is chosen as if the first had been taught.
    assert inside(regions[1], np.s_[:, :200]) < 0.9


def test_what_is_known_is_not_proposed():
    known = np.zeros((400, 600), bool)
    known[:, :300] = True
    for region in propose([look(known=known)], most=50):
        assert known[region.box].mean() < 0.5
    assert propose([look(known=np.ones((400, 600), bool))]) == []


def test_an_image_in_which_nothing_is_found_is_proposed_too():
    blank = np.zeros((300, 500), np.int32)
    nucleus = np.full((300, 500), 0.3, np.float32)
    image = np.full((300, 500, 1), 7, np.uint8)
    empty = Look(image, blank, np.zeros(0), nucleus, (blank,))
    regions = propose([empty, look()])
    assert {region.index for region in regions} == {0, 1}
    assert all(np.isfinite(region.score) for region in regions)


class Lopsided:
    """Bright is nucleus, but not in the upper half of what it is shown."""

    spec = NetworkSpec(
        name="lopsided",
        channels=1,
        diameter=20.0,
        diameter_range=(5.0, 100.0),
        settings=InstanceSettings(min_area=1),
    )

    def predict(self, tiles):
        bright = np.array(tiles[..., :1])
        bright[:, : tiles.shape[1] // 2] *= 0.2
        return np.concatenate([bright, bright, 0 * bright], axis=-1)


def test_the_image_is_looked_at_turned_round():
    _, picture = field((200, 200))
    seen = look_at(picture, Lopsided(), before=Lopsided())
    assert seen.nucleus.shape == seen.labels.shape == (200, 200)
    assert seen.confidence.size == seen.labels.max()
    turned, before = seen.others
    np.testing.assert_array_equal(before, seen.labels)
    upper, lower = np.s_[:90], np.s_[110:]
    assert (seen.labels[upper].max(), turned[lower].max()) == (0, 0)
    assert seen.labels[lower].max()
    assert turned[upper].max()
    colours = np.repeat(picture, 3, axis=-1)
    assert look_at(colours, Lopsided()).labels.shape == (200, 200)

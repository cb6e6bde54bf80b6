"""Nuclei linked through depth and time, on volumes and movies made of real planes."""

import numpy as np
import pytest

from napari_nucleiseg.core.labels.linking import Tracks, link, link_depth, link_time
from napari_nucleiseg.core.monitor import Cancelled, SilentMonitor
from napari_nucleiseg.core.params import LinkParams
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.io.sample_data import load_sample


@pytest.fixture(scope="module")
def real():
    """The true nuclei of a crowded field, whole ones only."""
    labels = load_sample("crowded").labels
    rim = np.unique(np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.where(np.isin(labels, rim), 0, labels)


def shuffled(planes, rng):
    """Number the nuclei of each plane anew, in any order, as `segment` would."""
    out = []
    for plane in planes:
        ids = np.unique(plane)[1:]
        table = np.zeros(int(plane.max()) + 1, np.int32)
        table[ids] = rng.permutation(ids.size) + 1
        out.append(table[plane])
    return np.stack(out)


def shrunk(labels, share):
    """Keep the inner part of each nucleus, as a section nearer to its pole shows it."""
    from scipy import ndimage as ndi

    kept = np.zeros_like(labels)
    for number, box in enumerate(ndi.find_objects(labels), 1):
        if box is None:
            continue
        inside = np.pad(labels[box] == number, 1)
        depth = ndi.distance_transform_edt(inside)[1:-1, 1:-1]
        kept[box][depth > (1 - share) * depth.max()] = number
    return kept


def make_volume(labels, rng, planes=8):
    """Give each nucleus a middle and a height; sections shrink towards its poles."""
    volume = np.zeros((planes, *labels.shape), np.int32)
    ids = np.unique(labels)[1:]
    middle = rng.uniform(2, planes - 3, int(labels.max()) + 1)
    height = rng.uniform(2, 4, middle.size)
    for z in range(planes):
        away = np.abs(z - middle) / height
        share = np.sqrt(np.clip(1 - away**2, 0, 1))
        for level in (1.0, 0.7, 0.4):
            here = ids[(share[ids] > level - 0.3) & (share[ids] <= level)]
            part = shrunk(np.where(np.isin(labels, here), labels, 0), level)
            volume[z] = np.maximum(volume[z], part)
    return volume


def test_sections_become_the_nuclei_that_they_were_cut_from(real):
    rng = np.random.default_rng(0)
    truth = make_volume(real, rng)
    found = link_depth(shuffled(truth, rng))
    assert found.dtype == np.int32
    assert np.array_equal(found > 0, truth > 0)
    assert found.max() == len(np.unique(found)) - 1
    assert score_image(truth, found).average_precision(0.9) > 0.97


def test_a_plane_in_which_nuclei_were_missed_does_not_end_them(real):
    rng = np.random.default_rng(1)
    truth = make_volume(real, rng)
    some = np.unique(truth[4])[1::3]
    truth[4][np.isin(truth[4], some)] = 0
    found = link_depth(shuffled(truth, rng))
    assert score_image(truth, found).average_precision(0.9) > 0.95


def test_nuclei_above_each_other_with_a_small_overlap_stay_two():
    labels = np.zeros((2, 40, 40), int)
    labels[0, 5:15, 5:15] = 1
    labels[1, 12:22, 12:22] = 1
    assert link_depth(labels).max() == 2
    assert link_depth(labels, min_overlap=0.05).max() == 1


def test_of_two_sections_in_a_larger_one_only_one_goes_on():
    labels = np.zeros((2, 40, 40), int)
    labels[0, 5:35, 5:35] = 1
    labels[1, 5:20, 5:35] = 7
    labels[1, 22:35, 5:35] = 3
    found = link_depth(labels)
    assert found[1, 10, 10] == found[0, 10, 10]  # the larger share
    assert found[1, 30, 30] == 2


def make_movie(labels, rng, frames=8):
    """Move each nucleus by a few pixels a frame; some divide, and some are lost."""
    ids = np.unique(labels)[1:]
    step = rng.normal(0, 1.5, (int(labels.max()) + 1, 2))
    dividing, lost = ids[2:18:8], ids[5:20:7]
    movie = np.zeros((frames, *labels.shape), np.int32)
    where = {number: np.argwhere(labels == number) for number in ids}
    for t in range(frames):
        for number in ids:
            if t >= 4 and number in lost:
                continue
            at = where[number] + np.rint(step[number] * t).astype(int)
            inside = ((at >= 0) & (at < labels.shape)).all(axis=1)
            value = np.full(len(at), number)
            if t >= 4 and number in dividing:
                low = at[:, 0] < np.median(at[:, 0])
                value = np.where(low, number + 1000, number + 2000)
                inside &= np.abs(at[:, 0] - np.median(at[:, 0])) > 1
            free = inside.copy()
            free[inside] = movie[t][tuple(at[inside].T)] == 0
            movie[t][tuple(at[free].T)] = value[free]
    return movie, dividing, lost


def test_nuclei_are_followed_through_time_with_divisions_and_losses(real):
    rng = np.random.default_rng(2)
    truth, dividing, lost = make_movie(real, rng)
    found = link_time(shuffled(truth, rng))
    assert np.array_equal(found.labels > 0, truth > 0)
    assert score_image(truth, found.labels).average_precision(0.9) > 0.95
    parents = {found.graph[track][0] for track in found.graph}
    before = {np.bincount(found.labels[3][truth[3] == n]).argmax() for n in dividing}
    assert before <= parents
    assert len(parents) <= len(before) + 1  # few that are not
    for number in lost:
        track = np.bincount(found.labels[3][truth[3] == number]).argmax()
        assert found.table["frame"][found.table["track"] == track].max() == 3
    first = found.table[found.table["frame"] == 0]
    assert (first["parent"] == 0).all()


def test_nuclei_that_come_into_view_are_nobodys_daughters(real):
    movie = np.stack([real[4 * t : 4 * t + 180] for t in range(8)])
    found = link_time(movie)
    assert found.graph == {}
    assert found.count == len(np.unique(movie)) - 1


def test_without_divisions_no_track_has_a_parent(real):
    truth, *_ = make_movie(real, np.random.default_rng(2))
    found = link_time(truth, divisions=False)
    assert found.graph == {}
    assert found.count == found.table["track"].nunique()


def test_an_empty_stack_has_no_tracks():
    found = link_time(np.zeros((3, 8, 8), int))
    assert found.count == 0
    assert found.graph == {}
    assert not link_depth(np.zeros((3, 8, 8), int)).any()


def test_the_parameters_choose_the_way():
    labels = np.ones((2, 8, 8), int)
    assert isinstance(link(labels), np.ndarray)
    assert isinstance(link(labels, LinkParams(through="time")), Tracks)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.ones((4, 4), int), r"\(plane, y, x\) integers; received int64 of the"),
        (np.ones((2, 4, 4)), "received float64"),
        (-np.ones((2, 4, 4), int), "0 or more; received -1"),
    ],
)
@pytest.mark.parametrize("way", [link_depth, link_time])
def test_what_is_no_stack_of_labels_is_refused(way, labels, words):
    with pytest.raises(ValueError, match=words):
        way(labels)


def test_impossible_limits_are_refused():
    labels = np.ones((2, 4, 4), int)
    with pytest.raises(ValueError, match="more than 0 and at most 1; received 0"):
        link_depth(labels, min_overlap=0)
    with pytest.raises(ValueError, match="more than 0 pixels; received -2"):
        link_time(labels, max_distance=-2)


def test_it_stops_when_asked():
    class Stop(SilentMonitor):
        def should_stop(self):
            return True

    for way in (link_depth, link_time):
        with pytest.raises(Cancelled):
            way(np.ones((2, 4, 4), int), monitor=Stop())

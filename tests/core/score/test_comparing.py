import numpy as np
import pytest

from napari_nucleiseg.core.score.comparing import (
    WIDENED,
    gain_interval,
    score_of,
    tally,
)
from napari_nucleiseg.core.score.matching import score_image


def scene(rng, n=30, lose=0.0, invent=0, shift=0):
    """Return true squares, and what a model finds of them."""
    truth = np.zeros((400, 400), np.int32)
    found = np.zeros_like(truth)
    places = rng.permutation(100)
    for i, place in enumerate(places[:n], start=1):
        y, x = 40 * (place // 10) + 8, 40 * (place % 10) + 8
        truth[y : y + 20, x : x + 20] = i
        if rng.random() >= lose:
            found[y : y + 20, x + shift : x + 20 + shift] = i
    for i, place in enumerate(places[n : n + invent], start=n + 1):
        y, x = 40 * (place // 10) + 8, 40 * (place % 10) + 8
        found[y : y + 20, x : x + 20] = i
    return truth, found


@pytest.mark.parametrize(
    "what", [{}, {"lose": 0.4}, {"invent": 7}, {"lose": 0.2, "invent": 3, "shift": 4}]
)
def test_tallies_add_up_to_the_average_precision(what):
    truth, found = scene(np.random.default_rng(3), **what)
    score = score_image(truth, found)
    expected = (score.average_precision(0.5) + score.average_precision(0.75)) / 2
    assert score_of(tally(truth, found).sum(0)) == pytest.approx(expected)


def test_false_nuclei_count_where_there_is_no_true_one():
    rng = np.random.default_rng(0)
    truth, found = scene(rng, n=0, invent=4)
    assert tally(truth, found).tolist() == [[0, 0, 4, 0, 4]]
    assert not tally(truth, truth).size


def test_the_interval_holds_the_true_gain_and_narrows_with_more_nuclei():
    rng = np.random.default_rng(1)
    held, widths = 0, {20: [], 80: []}
    for _ in range(40):
        for n in widths:
            seed = int(rng.integers(1 << 30))
            # The same nuclei: one model loses four in ten, the other two in ten.
            base, new = (
                tally(*scene(np.random.default_rng(seed), n=n, lose=lose))
                for lose in (0.4, 0.2)
            )
            low, high = gain_interval(base, new)
            widths[n].append(high - low)
            held += low <= 0.2 <= high
    assert 0.85 <= held / 80 <= 1
    assert np.mean(widths[20]) > 1.6 * np.mean(widths[80])


def test_the_interval_holds_where_nuclei_of_one_image_are_alike():
    rng, n = np.random.default_rng(2), 60
    held = {1.0: 0, WIDENED: 0}
    for _ in range(120):
        base, new = np.zeros((n, 5)), np.zeros((n, 5))
        base[:, 0] = new[:, 0] = 1
        # How much a model finds differs from image to image.
        for rows, found in ((base, 0.6), (new, 0.7)):
            rows[:, (1, 3)] = (rng.random(n) < found + rng.normal(0, 0.07))[:, None]
        for widened in held:
            low, high = gain_interval(base, new, widened=widened)
            held[widened] += low <= 0.1 <= high
    assert held[1.0] / 120 < 0.8
    assert held[WIDENED] / 120 >= 0.85

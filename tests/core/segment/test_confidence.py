import numpy as np
import pytest

from napari_nucleiseg.core.monitor import SilentMonitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.confidence import (
    FEATURES,
    Calibration,
    fit_calibration,
    label_confidence,
    nucleus_features,
)
from napari_nucleiseg.core.segment.figures import NucleusFigures
from napari_nucleiseg.core.segment.instances import distance_map
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.result import label_planes, relabel

WEIGHTS = {"sureness": 1.5, "contact": -2.0, "shallowness": -3.0, "excess": -1.0}


@pytest.fixture
def calibration():
    return Calibration(intercept=1.0, weights=WEIGHTS)


@pytest.fixture
def maps(nuclei):
    """Maps of `nuclei` as a network that is right draws them."""
    return np.stack(
        [
            np.where(nuclei > 0, 0.9, 0.05),
            distance_map(nuclei),
            np.zeros(nuclei.shape),
        ],
        axis=-1,
    ).astype(np.float32)


def column(features, name):
    return features[:, list(FEATURES).index(name)]


def test_features_say_what_they_are_called(nuclei, maps):
    features = nucleus_features(NucleusFigures.of(nuclei, maps))
    assert features.shape == (9, 4)
    np.testing.assert_allclose(column(features, "sureness"), np.log(9), rtol=1e-4)
    assert not column(features, "contact").any()
    assert column(features, "shallowness").max() < 0.6
    assert column(features, "excess").max() < 0.1


def test_each_doubt_lowers_the_confidence_of_its_nucleus_only(
    nuclei, maps, calibration
):
    before = calibration(NucleusFigures.of(nuclei, maps))
    assert before.dtype == np.float32
    unsure, touching, shallow = maps.copy(), maps.copy(), maps.copy()
    unsure[nuclei == 1, 0] = 0.6
    touching[nuclei == 2, 2] = 0.3
    shallow[nuclei == 3, 1] = 0.7
    for which, changed in enumerate((unsure, touching, shallow)):
        after = calibration(NucleusFigures.of(nuclei, changed))
        assert after[which] < before[which] - 0.05
        np.testing.assert_array_equal(np.delete(after, which), np.delete(before, which))
    merged = np.where(nuclei == 9, 8, nuclei)
    assert calibration(NucleusFigures.of(merged, maps))[7] < before[7] - 0.05


def test_uint8_and_float_maps_give_the_same(nuclei, maps, calibration):
    rng = np.random.default_rng(0)
    rounded = np.round(255 * maps * rng.uniform(0.5, 1, maps.shape)).astype(np.uint8)
    np.testing.assert_allclose(
        calibration(NucleusFigures.of(nuclei, rounded)),
        calibration(NucleusFigures.of(nuclei, (rounded / 255).astype(np.float32))),
        atol=1e-6,
    )


def test_the_extremes_stay_between_0_and_1():
    labels = np.arange(1, 13, dtype=np.int32).reshape(3, 4)
    hard = Calibration(
        intercept=0, weights={name: 1e3 * sign for name, sign in FEATURES.items()}
    )
    for value in (0, 255):
        maps = np.full((3, 4, 3), value, np.uint8)
        found = hard(NucleusFigures.of(labels, maps))
        assert found.shape == (12,)
        assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("shape", [(5, 7), (0, 3)])
def test_no_nuclei_no_confidences(shape, calibration):
    found = calibration(
        NucleusFigures.of(np.zeros(shape, np.int32), np.ones((*shape, 3), np.uint8))
    )
    assert found.shape == (0,)
    assert found.dtype == np.float32


def make_nuclei(rng, n):
    """Return figures of nuclei, and whether each is true, by a known rule."""
    features = np.stack(
        [
            rng.normal(2.5, 1, n),
            rng.uniform(0, 0.8, n),
            rng.uniform(0, 1, n),
            np.maximum(rng.normal(0, 1, n), 0),
        ],
        axis=1,
    )
    chance = Calibration(intercept=1.0, weights=WEIGHTS).confidence(features)
    return features, rng.random(n) < chance, chance


def test_a_fit_finds_the_rule_that_made_the_nuclei():
    features, matched, _ = make_nuclei(np.random.default_rng(1), 6000)
    found = fit_calibration(features, matched, fitted_on={"split": "val"})
    assert found.fitted_on == {
        "split": "val",
        "nuclei": 6000,
        "true": int(matched.sum()),
    }
    assert found == fit_calibration(features, matched, fitted_on={"split": "val"})
    new, true, chance = make_nuclei(np.random.default_rng(2), 6000)
    given = found.confidence(new)
    assert np.abs(given - chance).max() < 0.08
    for low in np.arange(0.3, 1, 0.1):
        some = (given >= low) & (given < low + 0.1)
        assert true[some].mean() == pytest.approx(given[some].mean(), abs=0.06)


def test_what_should_lower_the_confidence_never_raises_it():
    features, matched, _ = make_nuclei(np.random.default_rng(3), 500)
    turned = fit_calibration(features, ~matched)
    assert all(weight == 0 for weight in turned.weights.values())
    assert turned.confidence(features) == pytest.approx((~matched).mean(), abs=1e-3)


def test_a_fit_needs_nuclei_of_both_sorts():
    features, _, _ = make_nuclei(np.random.default_rng(4), 5)
    with pytest.raises(ValueError, match="received 5 true ones and 0 false"):
        fit_calibration(features, np.ones(5, bool))
    with pytest.raises(ValueError, match="4 features of each of 5 nuclei"):
        fit_calibration(features[:, :3], np.arange(5) > 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"sureness": 1.0}}, "must have the weights sureness, contact"),
        ({"weights": [1, 2, 3, 4]}, "weights must be a valid dict"),
        ({"weights": {**WEIGHTS, "excess": "low"}}, "excess must be a valid number"),
        ({"weights": {**WEIGHTS, "excess": 1.0}}, "excess must be 0 or less"),
        ({"intercept": float("nan")}, "intercept must be between -1000 and 1000"),
        ({"fitted_on": 3}, "fitted_on must be a valid dict"),
    ],
)
def test_a_calibration_says_what_is_wrong_with_it(calibration, change, message):
    with pytest.raises(ValueError, match=message):
        calibration.replace(**change)


def test_a_model_with_a_calibration_uses_it_when_labels_are_made(
    nuclei, predictor, calibration
):
    image = np.where(nuclei > 0, 200.0, 10.0)
    plain = segment(image, predictor)
    predictor.change_spec(calibration=calibration)
    found = segment(image, predictor)
    np.testing.assert_array_equal(found.labels, plain.labels)
    (plane,) = found.planes
    np.testing.assert_array_equal(
        plain.confidence, label_confidence(NucleusFigures.of(plain.labels, plane.maps))
    )
    np.testing.assert_array_equal(
        found.confidence, calibration(NucleusFigures.of(found.labels, plane.maps))
    )
    again = relabel(found, SegmentParams(probability=0.4))
    np.testing.assert_array_equal(
        again.confidence, calibration(NucleusFigures.of(again.labels, plane.maps))
    )


def test_figures_follow_their_nuclei_through_planes_and_scales(nuclei, predictor):
    small = np.where(nuclei[::3, ::3] > 0, 200.0, 10.0)
    stack = np.stack([small, small[::-1]])
    found = segment(stack, predictor, params=SegmentParams(diameter=6))
    assert found.planes[0].scale > 1
    assert found.planes[0].maps.shape[:2] == small.shape
    labels, features = label_planes(
        found.planes,
        found.settings,
        found.labels.shape,
        SilentMonitor(),
        confidence=nucleus_features,
    )
    np.testing.assert_array_equal(labels, found.labels)
    assert features.shape == (found.count, len(FEATURES))

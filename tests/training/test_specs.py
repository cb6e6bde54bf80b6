import pytest

from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.networks.architectures import ARCHITECTURES
from napari_nucleiseg.training.specs import spec_for


@pytest.mark.parametrize(
    ("name", "working", "left"),
    [("nuclei", 26.0, (20.0, 36.0)), ("unet", 20.0, (12.5, 36.0))],
)
def test_a_networks_record_says_at_which_diameters_it_is_used(name, working, left):
    spec = spec_for(name, 20.0)
    assert (spec.diameter, spec.diameter_range) == (20.0, (12.5, 36.0))
    assert (spec.working_diameter, spec.working_range) == (working, left)
    assert spec.maps == ARCHITECTURES[name].maps


def test_trained_further_it_is_used_as_its_base_is_unless_at_another_diameter():
    card = find_model().card.model_copy(update={"working_diameter": 31.0})
    for diameter in (None, card.diameter):
        spec = spec_for(card.architecture, diameter, card)
        assert (spec.diameter, spec.working_diameter) == (card.diameter, 31.0)
        assert spec.settings == card.thresholds
        # Else a least confidence would leave out other nuclei than it does in use.
        assert spec.calibration == card.calibration
    other = spec_for(card.architecture, 2 * card.diameter, card)
    assert other.diameter == 2 * card.diameter
    assert other.working_diameter != 31.0
    assert other.settings == card.thresholds


def test_from_scratch_a_network_is_trained_at_its_own_diameter():
    assert spec_for("generalist").diameter == find_model().card.diameter
    assert spec_for("unet").diameter == 20
    assert spec_for("generalist", 30.0).diameter == 30

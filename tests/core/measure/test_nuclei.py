import math

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage as ndi
from skimage.measure import regionprops_table

from napari_nucleiseg import measure
from napari_nucleiseg.core.measure.units import area_mm2
from napari_nucleiseg.core.monitor import Cancelled
from napari_nucleiseg.io.sample_data import load_sample

SHAPES = {
    "area_um2": "area",
    "equivalent_diameter_um": "equivalent_diameter_area",
    "perimeter_um": "perimeter",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "orientation_rad": "orientation",
    "feret_diameter_um": "feret_diameter_max",
    "centroid_y_um": "centroid-0",
    "centroid_x_um": "centroid-1",
}
INTENSITIES = ("mean", "std", "min", "max")


@pytest.fixture
def square():
    labels = np.zeros((20, 24), np.int32)
    labels[2:6, 3:7] = 1
    labels[10:14, 0:4] = 2
    labels[10:14, 15:19] = 7
    return labels


def test_a_real_image_is_measured_as_by_regionprops_table():
    sample = load_sample("small")
    labels, image = sample.labels[:120, :140], sample.image[:120, :140]
    found = measure(labels, {"DNA": image}, scale=0.325)
    wanted = regionprops_table(
        labels,
        image,
        properties=[
            "label",
            "centroid",
            *(name for name in SHAPES.values() if "-" not in name),
            *(f"intensity_{name}" for name in INTENSITIES),
        ],
        spacing=(0.325, 0.325),
    )
    assert len(found) > 10
    assert found["label"].tolist() == wanted["label"].tolist()
    for ours, theirs in SHAPES.items():
        assert found[ours].tolist() == wanted[theirs].tolist(), ours
    for name in INTENSITIES:
        assert found[f"{name}_DNA"].tolist() == wanted[f"intensity_{name}"].tolist()
    for row in found.itertuples():
        inside = image[labels == row.label]
        assert row.integrated_DNA == inside.sum()
        assert row.median_DNA == np.median(inside)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.325, 0.325), (0.5, 0.3)])
def test_ragged_nuclei_with_holes_and_in_pieces_are_as_by_regionprops(spacing):
    rng = np.random.default_rng(0)
    noise = ndi.gaussian_filter(rng.normal(size=(100, 100)), 1.2)
    blobs = ndi.label(noise > 0.05)[0]
    # Pixels that lie apart, and one pixel alone.
    blobs[90:] = np.where(rng.random((10, 100)) < 0.1, blobs.max() + 7, 0)
    blobs[0, 0] = blobs.max() + 1
    image = rng.normal(100, 30, size=blobs.shape)
    found = measure(blobs, {"DNA": image}, scale=spacing)
    shapes = dict(SHAPES)
    if spacing[0] != spacing[1]:
        del shapes["perimeter_um"]
    wanted = regionprops_table(
        blobs,
        image,
        properties=[
            "centroid",
            *(name for name in shapes.values() if "-" not in name),
            *(f"intensity_{name}" for name in INTENSITIES),
        ],
        spacing=spacing,
    )
    assert len(found) > 20
    for ours, theirs in shapes.items():
        assert found[ours].tolist() == wanted[theirs].tolist(), ours
    for name in INTENSITIES:
        assert found[f"{name}_DNA"].tolist() == wanted[f"intensity_{name}"].tolist()
    medians = [np.median(image[blobs == label]) for label in found["label"]]
    assert found["median_DNA"].tolist() == medians


def test_labels_may_be_huge_and_below_0_is_background(square):
    far = np.where(square > 0, square.astype(np.int64) * 10**12, -5)
    found, wanted = measure(far, square), measure(square, square)
    assert found["label"].tolist() == [10**12, 2 * 10**12, 7 * 10**12]
    others = [name for name in wanted if name != "label"]
    pd.testing.assert_frame_equal(found[others], wanted[others])


def test_units_are_in_the_names_of_the_columns(square):
    pixels, micrometres = measure(square), measure(square, scale=0.5)
    assert pixels["area_px2"].tolist() == [16, 16, 16]
    assert micrometres["area_um2"].tolist() == [4, 4, 4]
    assert "neighbour_distance_px" in pixels
    assert "density_per_mm2" in micrometres
    assert not any("um" in name.split("_") for name in pixels)


def test_pixels_that_are_not_square_have_no_perimeter(square):
    found = measure(square, scale=(0.5, 1))
    assert found["area_um2"].tolist() == [8, 8, 8]
    assert "perimeter_um" not in found
    assert "form_factor" not in found


def test_every_channel_is_measured(square):
    image = np.stack([square * 10, square * 0 + 5]).astype(np.uint16)
    found = measure(square, image, axes="CYX")
    assert found["mean_channel_0"].tolist() == [10, 20, 70]
    assert found["integrated_channel_1"].tolist() == [80, 80, 80]
    named = measure(square, {"DAPI": image[0], "GFP": image[1]})
    assert named["max_DAPI"].tolist() == [10, 20, 70]
    colours = np.moveaxis(np.stack([square, square * 2, square * 3]), 0, -1)
    found = measure(square, {"HE": colours.astype(np.uint8)})
    assert found["mean_HE_blue"].tolist() == [3, 6, 21]


def test_background_is_the_median_outside_nuclei(square):
    image = np.where(square > 0, 50, 30).astype(np.uint8)
    image[0, 0] = 255
    found = measure(square, image, subtract_background=True)
    assert found["mean_intensity"].tolist() == [20, 20, 20]
    assert found["integrated_intensity"].tolist() == [320, 320, 320]
    assert found["background_intensity"].tolist() == [30, 30, 30]
    assert found["std_intensity"].tolist() == [0, 0, 0]


def test_a_ring_and_a_cell_round_each_nucleus(square):
    image = np.where(square > 0, 100, 10)
    ring = measure(square, image, around="ring", around_width=1.0)
    assert ring["mean_intensity"].tolist() == [100, 100, 100]
    assert ring["ring_mean_intensity"].tolist() == [10, 10, 10]
    assert ring["ring_integrated_intensity"].tolist() == [160, 120, 160]
    # A pixel of 2 µm: nothing is nearer than that.
    none = measure(square, image, scale=2.0, around="ring", around_width=1.0)
    assert none["ring_mean_intensity"].isna().all()
    cell = measure(square, image, scale=2.0, around="cell", around_width=2.0)
    assert cell["cell_integrated_intensity"].tolist() == [1760, 1720, 1760]


def test_neighbours_edges_and_density(square):
    found = measure(square, scale=2.0, density_radius=20.0)
    assert found["touches_edge"].tolist() == [False, True, False]
    near = 2 * math.hypot(8, 3)
    assert found["neighbour_distance_um"].tolist() == pytest.approx(
        [near, near, 28.84], abs=0.01
    )
    one = 1e6 / (math.pi * 20**2)
    assert found["density_per_mm2"].tolist() == pytest.approx([one, one, 0])


def test_planes_times_and_regions_are_columns(square):
    stack = np.stack([square, square * 0, np.where(square == 7, 1, 0)])
    regions = np.zeros(square.shape, int)
    regions[:, :10] = 1
    found = measure(
        stack, {"a": stack * 2}, axes="TYX", regions=regions, region_names={1: "left"}
    )
    assert list(found.columns[:3]) == ["T", "region", "label"]
    assert found["T"].tolist() == [0, 0, 0, 2]
    assert found["label"].tolist() == [1, 2, 7, 1]
    assert found["region"].tolist() == ["left", "left", "", ""]
    assert found["mean_a"].tolist() == [2, 4, 14, 2]
    assert math.isnan(found["neighbour_distance_px"].iloc[-1])


def test_confidence_goes_by_label(square):
    by_label = measure(square, confidence={1: 0.5, 7: 0.9})["confidence"]
    assert by_label.tolist()[::2] == [0.5, 0.9]
    assert math.isnan(by_label[1])


def test_without_nuclei_there_are_all_columns_and_no_rows(square):
    how = {"scale": 1.0, "around": "ring", "subtract_background": True}
    some = measure(square, {"a": square}, **how)
    none = measure(square * 0, {"a": square}, **how)
    assert len(none) == 0
    assert list(none) == list(some)


def test_what_is_left_out_is_not_there(square):
    found = measure(square, shape=False, neighbours=False)
    assert list(found) == [
        "label", "centroid_y_px", "centroid_x_px", "area_px2", "touches_edge"
    ]  # fmt: skip


def test_what_does_not_fit_is_refused(square):
    with pytest.raises(ValueError, match="GFP must have the labels' planes, 20 × 24"):
        measure(square, {"GFP": np.zeros((9, 9))})
    with pytest.raises(TypeError, match="must be integers"):
        measure(square.astype(float))
    with pytest.raises(ValueError, match="pixel must be above 0; received 0"):
        measure(square, scale=0)
    with pytest.raises(ValueError, match="around_width"):
        measure(square, around_width=-1.0)


def test_it_can_be_stopped(square, make_monitor):
    with pytest.raises(Cancelled):
        measure(square, monitor=make_monitor(stop_when=lambda: True))


def test_lazy_labels_are_read_plane_by_plane(square):
    class Lazy:
        shape, dtype = (3, *square.shape), square.dtype

        def __getitem__(self, index):
            assert len(index) == 1
            return square

    assert isinstance(found := measure(Lazy()), pd.DataFrame)
    assert len(found) == 9


def test_the_area_of_all_planes():
    assert area_mm2((2, 1000, 500), 2.0) == 4.0

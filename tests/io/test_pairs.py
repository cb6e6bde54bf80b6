import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.core.monitor import Cancelled
from napari_nucleiseg.io.pairs import find_pairs, load_pairs, read_pair_folder


@pytest.fixture
def labels():
    labels = np.zeros((40, 50), np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:40] = 1, 300
    return labels


@pytest.fixture
def write(tmp_path, labels):
    """Write empty-looking images and labels by name."""

    def write(*names, data=None, **options):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            values = labels if data is None else data
            if path.suffix.startswith(".tif"):
                tifffile.imwrite(path, values, photometric="minisblack", **options)
            else:
                Image.fromarray(values).save(path)
        return tmp_path

    return write


def matched(found):
    return [(p.name, p.image.name, p.labels.name) for p in found.pairs]


@pytest.mark.parametrize("folder", ["masks", "labels", "Masks"])
def test_images_beside_masks_in_folders_of_their_own(write, folder):
    root = write("images/a.tif", "images/b.png", f"{folder}/a.tif", f"{folder}/b.tif")
    found = read_pair_folder(root)
    assert matched(found) == [("a", "a.tif", "a.tif"), ("b", "b.png", "b.tif")]
    assert not found.findings


def test_images_and_labels_side_by_side(write):
    names = ["a.tif", "a_labels.tif", "b_image.tif", "b_masks.png", "c.TIF"]
    names += ["c_cp_masks.tif", "d_img.tiff", "d_mask.tif", "a_overlay.png", ".e.tif"]
    found = read_pair_folder(write(*names))
    assert matched(found) == [
        ("a", "a.tif", "a_labels.tif"),
        ("b", "b_image.tif", "b_masks.png"),
        ("c", "c.TIF", "c_cp_masks.tif"),
        ("d", "d_img.tiff", "d_mask.tif"),
    ]
    assert not found.findings


def test_what_has_no_counterpart_is_said(write):
    names = ["images/a.tif", "masks/a_labels.tif", "masks/z_mask.tif"]
    names += [f"images/no{i}.tif" for i in range(5)]
    found = read_pair_folder(write(*names))
    assert matched(found) == [("a", "a.tif", "a_labels.tif")]
    texts = {f.code: f.text for f in found.findings}
    assert "(5): no0.tif, no1.tif, no2.tif …" in texts["unlabelled"]
    assert "(1): z_mask.tif" in texts["imageless"]
    assert {f.level for f in found.findings} == {"warning"}


def test_two_files_for_one_are_an_error(write):
    names = ["a.tif", "a_labels.tif", "a_masks.tif", "b.tif", "b_labels.tif"]
    found = read_pair_folder(write(*names, "c.tif", "c.png", "c_labels.tif"))
    assert matched(found) == [("b", "b.tif", "b_labels.tif")]
    assert [f.names for f in found.findings] == [("a",), ("c",)]
    assert "a_labels.tif, a_masks.tif" in found.findings[0].text
    assert {f.level for f in found.findings} == {"error"}


def test_names_that_end_like_labels_are_names_in_folders_of_their_own(write):
    root = write("in/no_mask.tif", "in/x.tif", "out/no_mask.tif", "out/x_labels.tif")
    assert matched(find_pairs(root / "in", root / "out")) == [
        ("no_mask", "no_mask.tif", "no_mask.tif"),
        ("x", "x.tif", "x_labels.tif"),
    ]


def test_nothing_found_says_what_was_looked_for(write):
    root = write("a.tif", "b.tif")
    with pytest.raises(ValueError, match=r"wanted images/ beside masks/.*X_labels"):
        read_pair_folder(root)
    with pytest.raises(ValueError, match="There is no folder"):
        read_pair_folder(root / "nowhere")
    write("in/a.tif", "out/b.tif")
    with pytest.raises(ValueError, match="of 1 and 1 files no names fit together"):
        find_pairs(root / "in", root / "out")


def test_a_folder_an_image_with_a_mask_a_nucleus(write, labels):
    grey = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    write("x1/images/x1.png", data=np.stack([grey] * 3 + [grey * 0 + 255], -1))
    write("x1/masks/m1.png", data=(labels == 1).astype(np.uint8) * 255)
    write("x2/images/x2.png", "x2/images/x3.png", "x2/masks/m.png", data=grey)
    root = write("x1/masks/m2.png", data=(labels == 300).astype(np.uint8) * 255)
    found = read_pair_folder(root)
    assert [f.names for f in found.findings] == [("x2",)]
    (pair,), findings = load_pairs(found.pairs)
    assert not findings
    assert np.array_equal(pair.labels, (labels == 1) + 2 * (labels == 300))
    # Grey saved as colour is grey.
    assert np.array_equal(pair.image, grey)


def test_stacks_become_planes_and_colour_stays(write, labels):
    image = np.arange(3 * 2000, dtype=np.uint16).reshape(3, 40, 50)
    write("z.tif", data=image, metadata={"axes": "ZYX"})
    write("z_labels.tif", data=np.stack([labels] * 3), metadata={"axes": "ZYX"})
    colour = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    root = write("he.png", data=colour)
    write("he_labels.tif")
    pairs, findings = load_pairs(read_pair_folder(root).pairs)
    assert not findings
    names = [p.name for p in pairs]
    assert names == ["he", "z [plane 0]", "z [plane 1]", "z [plane 2]"]
    assert np.array_equal(pairs[0].image, colour)
    assert np.array_equal(pairs[2].image, image[1])
    assert np.array_equal(pairs[2].labels, labels)


@pytest.mark.parametrize("axes", ["CYX", None])
def test_a_channel_is_chosen(write, labels, axes):
    image = np.stack([labels * 0 + 7, labels * 0 + 9])
    options = {"metadata": {"axes": axes}} if axes else {"metadata": None}
    root = write("a.tif", data=image, **options)
    write("a_labels.tif")
    files = read_pair_folder(root).pairs
    (pair,), (finding,) = load_pairs(files)
    assert pair.image.shape == labels.shape
    assert pair.image.max() == 7
    assert finding.code == "channels"
    (pair,), findings = load_pairs(files, channel=1)
    assert pair.image.max() == 9
    assert not findings
    pairs, (finding,) = load_pairs(files, channel=2)
    assert not pairs
    assert "between 0 and 1; received 2" in finding.text


def test_labels_that_hold_one_channel_are_labels(write, labels):
    image = np.stack([labels[None], labels[None] + 1], 1)
    root = write("a.tif", data=image, metadata={"axes": "ZCYX"})
    write("a_labels.tif", data=labels[None, None], metadata={"axes": "ZCYX"})
    (pair,), _ = load_pairs(read_pair_folder(root).pairs)
    assert np.array_equal(pair.labels, labels)


def test_what_cannot_be_read_is_an_error_and_the_rest_is_read(write, labels, tmp_path):
    write("good.tif", "good_labels.tif", "bad.tif", "rgb.tif", "jpeg.tif", "half.tif")
    write("deep_labels.tif", "small_labels.tif")
    write("bad_labels.png", "jpeg_labels.jpg", data=labels.astype(np.uint8))
    (tmp_path / "bad_labels.png").write_bytes(b"nothing")
    byte = labels.astype(np.uint8)
    write("rgb_labels.png", data=np.dstack([byte, byte * 0 + 1, byte]))
    write("half_labels.tif", data=labels / np.float32(2))
    write("deep.tif", data=np.stack([labels] * 4), metadata={"axes": "ZYX"})
    write("small.tif", data=labels[:-3])
    pairs, findings = load_pairs(read_pair_folder(tmp_path).pairs)
    assert [p.name for p in pairs] == ["good"]
    texts = {f.names[0]: f.text for f in findings}
    assert {f.level for f in findings} == {"error"}
    assert "bad_labels.png: is not a readable image" in texts["bad"]
    assert "rgb_labels.png: must hold one number per pixel" in texts["rgb"]
    assert "must not be JPEG" in texts["jpeg"]
    assert "half must be whole numbers" in texts["half"]
    assert "(4, 40, 50) and (40, 50)" in texts["deep"]
    assert "(37, 50) and (40, 50)" in texts["small"]


def test_reading_reports_and_can_be_stopped(write):
    class Impatient:
        seen = 0

        def report(self, progress):
            self.seen += 1
            assert progress.total == 3

        def should_stop(self):
            return self.seen == 2

    names = [f"{n}{end}.tif" for n in "abc" for end in ("", "_labels")]
    files = read_pair_folder(write(*names)).pairs
    with pytest.raises(Cancelled):
        load_pairs(files, monitor=Impatient())


def test_the_first_of_several_series_is_used_and_that_is_said(write, labels, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image in (labels + 3, labels[:9]):
            tiff.write(image, metadata={"axes": "YX"})
    write("a_labels.tif", "b.tif")
    with tifffile.TiffWriter(tmp_path / "b_labels.tif") as tiff:
        for image in (labels, labels[:9]):
            tiff.write(image, metadata={"axes": "YX"})
    (pair,), findings = load_pairs(read_pair_folder(tmp_path).pairs)
    assert pair.image.max() == labels.max() + 3
    texts = {finding.names: finding.text for finding in findings}
    assert texts["a",] == "Of images with several series, the first is used."
    # Labels of two images are labels of neither.
    assert "b_labels.tif: must hold one image of labels; it holds 2" in texts["b",]


def test_an_image_that_is_too_large_is_an_error(write):
    files = read_pair_folder(write("a.tif", "a_labels.tif")).pairs
    pairs, (finding,) = load_pairs(files, max_megapixels=0.001)
    assert not pairs
    assert "0.002 megapixels; at most 0.001 are read" in finding.text
    assert len(load_pairs(files, max_megapixels=0.002)[0]) == 1

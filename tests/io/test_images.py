"""Files are read whole and as they are meant, or not at all."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.io import decoding
from napari_nucleiseg.io.decoding import TooLarge
from napari_nucleiseg.io.images import read_axes, read_image
from napari_nucleiseg.io.sample_data import load_sample


@pytest.fixture(scope="module")
def tissue():
    return load_sample("tissue").image[:96, :128]


@pytest.fixture(scope="module")
def stack():
    return load_sample("fields").image[:3, :64, :64]


def test_a_palette_tiff_is_read_as_the_same_png_is(tmp_path, tissue):
    picture = Image.fromarray(tissue).convert("P", palette=Image.Palette.ADAPTIVE)
    for name in ("a.png", "a.tif"):
        picture.save(tmp_path / name)
    png, tif = (read_image(tmp_path / name) for name in ("a.png", "a.tif"))
    assert tif.rgb
    assert tif.data.shape == tissue.shape
    assert np.array_equal(tif.data, png.data)
    assert np.array_equal(tif.data, np.asarray(picture.convert("RGB")))


def test_a_palette_of_greys_is_grey(tmp_path, stack):
    # As ImageJ writes an image whose table is inverted.
    table = np.repeat(np.arange(255, -1, -1, np.uint16)[None] * 257, 3, axis=0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="palette", colormap=table)
    found = read_image(path)
    assert not found.rgb
    assert np.array_equal(found.data, 255 - stack)
    # The numbers themselves are what labels are read as.
    assert np.array_equal(read_image(path, palette=False).data, stack)


def test_a_cmyk_tiff_is_read_as_the_same_jpeg_is(tmp_path, tissue):
    picture = Image.fromarray(tissue).convert("CMYK")
    for name, how in (("a.tif", {}), ("a.jpg", {"quality": 100, "subsampling": 0})):
        picture.save(tmp_path / name, **how)
    jpg, tif = (read_image(tmp_path / name) for name in ("a.jpg", "a.tif"))
    assert tif.rgb
    assert np.array_equal(tif.data, np.asarray(picture.convert("RGB")))
    assert np.abs(tif.data.astype(int) - jpg.data).mean() < 2


def test_one_of_several_series_is_chosen(tmp_path, stack):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(stack[0], metadata={"axes": "YX"})
        tiff.write(stack[1, :32], metadata={"axes": "YX"})
    assert (read_image(path).series, read_image(path).data.shape) == (2, (64, 64))
    assert np.array_equal(read_image(path, series=1).data, stack[1, :32])
    for number in (2, -1):
        with pytest.raises(ValueError, match=f"2 series.*0 to 1; received.*{number}"):
            read_image(path, series=number)
    Image.fromarray(stack[0]).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="holds one image"):
        read_image(tmp_path / "a.png", series=1)


WAYS = {
    "plain.tif": {},
    "zlib.tif": {"compression": "zlib"},
    "jpeg.tif": {"compression": "jpeg", "tile": (32, 32)},
    "strips.tif": {"rowsperstrip": 8},
    "imagej.tif": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "a.ome.tif": {"metadata": {"axes": "TYX"}},
    "pages.tif": {"metadata": None},
    "big.tif": {"bigtiff": True, "byteorder": ">"},
}


@pytest.mark.parametrize("name", WAYS)
def test_a_file_cut_anywhere_is_an_error(tmp_path, stack, name):
    path = tmp_path / name
    tifffile.imwrite(path, stack, photometric="minisblack", **WAYS[name])
    content = path.read_bytes()
    found = read_image(path)
    assert found.data.shape == stack.shape
    for share in np.linspace(0.02, 0.98, 13):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises((ValueError, OSError), match=r"is (not|trun|dam)|shape"):
            read_image(path)


def test_an_imagej_stack_that_lacks_planes_says_how_many(tmp_path, stack):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="should hold 3 planes, and has 1"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_half_a_picture_is_an_error(tmp_path, stack, name):
    Image.fromarray(stack[0]).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is not a readable image"):
        read_image(tmp_path / name)


def claim(path, width, height):
    """Have a PNG or TIFF file say that it is of another size."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".png":
        import zlib

        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        path.write_bytes(content)
        return
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(width)
        tiff.pages[0].tags["ImageLength"].overwrite(height)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_the_size_is_asked_before_anything_is_decoded(
    tmp_path, stack, name, monkeypatch
):
    path = tmp_path / name
    if name == "a.png":
        Image.fromarray(stack[0]).save(path)
    else:
        tifffile.imwrite(path, stack[0], metadata=None, compression="zlib")
    monkeypatch.setattr("tifffile.TiffPageSeries.asarray", None)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    claim(path, 13000, 13000)
    with pytest.raises(TooLarge, match=r"13000 x 13000 = 169 megapixels; at most 100"):
        read_image(path)
    claim(path, 16384, 16384)
    with pytest.raises(TooLarge, match=r"is (an image of 16384 x 16384|too large)"):
        read_image(path)
    claim(path, 2000, 1000)
    with pytest.raises(TooLarge, match=r"2000 x 1000 = 2 megapixels; at most 1\.5"):
        read_image(path, max_megapixels=1.5)


def test_more_than_the_memory_holds_is_refused(tmp_path, stack, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    monkeypatch.setattr(decoding, "_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"the image of shape \(3, 64, 64\) takes"):
        read_image(tmp_path / "a.tif")


def test_what_holds_no_image_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((1, 1), np.uint8))
    for change in ((0, 0), (1, 0)):
        claim(path, *change)
        with pytest.raises(ValueError, match=r"is not a readable|no image"):
            read_image(path)


#: Damaged files of each kind.
EACH = 100


def _fuzzed(folder):
    """Yield small real files of six kinds with flipped bits, and cut short."""
    stack = load_sample("fields").image[:2, :48, :40]
    grey, colour = stack[0], load_sample("tissue").image[:48, :40]
    whole = {
        "plain.tif": lambda p: tifffile.imwrite(p, grey, compression="zlib"),
        "stack.tif": lambda p: tifffile.imwrite(
            p, stack, imagej=True, metadata={"axes": "TYX"}
        ),
        "a.ome.tif": lambda p: tifffile.imwrite(p, stack, metadata={"axes": "TYX"}),
        "jpeg.tif": lambda p: tifffile.imwrite(
            p, colour, compression="jpeg", photometric="rgb", tile=(16, 16)
        ),
        "a.png": lambda p: Image.fromarray(grey).save(p),
        "a.jpg": lambda p: Image.fromarray(colour).save(p),
    }
    for name, write in whole.items():
        path = folder / name
        write(path)
        content = path.read_bytes()
        random = np.random.default_rng(7)
        for _ in range(EACH):
            changed = bytearray(content)
            # The structure stands at the front, and in some kinds at the end.
            reach = [len(content), 400, 400][random.integers(3)]
            for _ in range(random.integers(1, 4)):
                place = int(random.integers(min(reach, len(content))))
                place = place if random.random() < 0.7 else -place - 1
                changed[place] ^= 1 << int(random.integers(8))
            if random.random() < 0.2:
                del changed[int(random.integers(len(changed))) :]
            path.write_bytes(changed)
            yield path


def test_a_damaged_file_is_an_image_or_a_plain_error(tmp_path):
    """Whatever a reader raises is that file's failure, with its reason."""
    read = failed = 0
    for path in _fuzzed(tmp_path):
        try:
            found = read_image(path)
        except (OSError, ValueError, MemoryError) as e:
            failed += len(str(e)) > 10
        else:
            assert found.data.ndim >= 2
            assert found.data.size
            read += 1
    assert read + failed == 6 * EACH
    assert min(read, failed) > EACH


def test_the_axes_of_a_file_that_has_changed_are_read_anew(tmp_path):
    path, image = tmp_path / "a.ome.tif", np.zeros((2, 16, 16), np.uint8)
    for axes in ("CYX", "TYX"):
        tifffile.imwrite(path, image, photometric="minisblack", metadata={"axes": axes})
        assert read_axes(path, image.shape) == axes

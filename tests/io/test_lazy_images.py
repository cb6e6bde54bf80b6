"""Image files that are read a window at a time give what they give when read whole."""

import sys
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.planes import read_as, to_planes
from napari_nucleiseg.io.images import read_image
from napari_nucleiseg.io.lazy_images import open_image

from .vendor_samples import write_lif, write_nd2


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)


def window_of(path, window):
    with closing(open_image(path)) as image:
        planes = LazyPlanes(image.data, read_as(image.data.shape, image.axes))
        return planes[0][window], planes.shape


@pytest.mark.parametrize("kind", ["palette", "grey palette", "inks", "plain"])
def test_a_window_is_as_if_the_file_were_read_whole(tmp_path, colours, kind):
    path = tmp_path / "image.tif"
    numbers = colours[..., 0]
    table = np.random.default_rng(1).integers(0, 2**16, (3, 256), np.uint16)
    if kind == "grey palette":
        table[:] = table[:1]
    if "palette" in kind:
        how = {"photometric": "palette", "colormap": table, "tile": (32, 32)}
        tifffile.imwrite(path, numbers, **how)
    elif kind == "inks":
        inks = np.dstack([colours, numbers // 3])
        tifffile.imwrite(path, inks, photometric="separated", tile=(32, 32))
    else:
        tifffile.imwrite(path, colours, photometric="rgb")
    whole = read_image(path)
    planes, _ = to_planes(whole.data, axes=whole.axes)
    window = np.s_[10:50, 33:80]
    found, shape = window_of(path, window)
    assert shape == planes.shape
    np.testing.assert_array_equal(found, planes[0][window])


def test_a_file_of_which_a_part_is_missing_is_refused(tmp_path, colours):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, colours, photometric="rgb", tile=(32, 32))
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.98):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=r"truncated|damaged|not a readable image"):
            open_image(path)


def test_a_slide_is_read_with_the_size_of_its_pixels(tmp_path, colours):
    pytest.importorskip("tiffslide")
    path = tmp_path / "slide.svs"
    about = "Aperio Image Library v11.2.1\n90x70 (32x32)|AppMag = 20|MPP = 0.4990"
    how = {"photometric": "rgb", "tile": (32, 32), "metadata": None}
    tifffile.imwrite(path, colours, description=about, **how)
    with closing(open_image(path)) as image:
        assert image.axes == "YXS"
        assert image.scale == {"Y": 0.499, "X": 0.499}
        assert set(image.units.values()) == {"micrometer"}
        np.testing.assert_array_equal(
            np.asarray(image.data[5:40, 20:60]), colours[5:40, 20:60]
        )
    with pytest.raises(ValueError, match="received series 1"):
        open_image(path, series=1)


@pytest.mark.parametrize(
    ("suffix", "library"),
    [
        (".svs", "tiffslide"),
        (".ndpi", "tiffslide"),
        (".nd2", "nd2"),
        (".lif", "liffile"),
    ],
)
def test_a_library_that_is_not_there_is_named(tmp_path, monkeypatch, suffix, library):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=f"{library}.*napari-nucleiseg\\[formats\\]"):
        open_image(path)


def test_axes_and_sizes_come_from_what_the_libraries_say(tmp_path, monkeypatch):
    data = np.zeros((3, 2, 40, 50), np.uint16)
    closed = []
    nikon = SimpleNamespace(
        sizes={"P": 3, "C": 2, "Y": 40, "X": 50},
        voxel_size=lambda: SimpleNamespace(x=0.3, y=0.2, z=1.0),
        to_dask=lambda: data,
        close=lambda: closed.append("nd2"),
    )
    leica = SimpleNamespace(
        dims=("Z", "C", "Y", "X"),
        coords={"X": np.linspace(0, 49e-6, 50), "Y": np.linspace(0, 19.5e-6, 40)},
        asarray=lambda out: data,
    )
    lif = SimpleNamespace(images=[leica, leica], close=lambda: closed.append("lif"))
    for name, how in (
        ("nd2", {"ND2File": lambda path: nikon}),
        ("liffile", {"LifFile": lambda path: lif}),
    ):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**how))
    for name in ("a.nd2", "a.lif"):
        (tmp_path / name).write_bytes(b"")
    with closing(open_image(tmp_path / "a.nd2")) as image:
        assert (image.axes, image.scale) == ("PCYX", {"Y": 0.2, "X": 0.3})
    with closing(open_image(tmp_path / "a.lif", series=1)) as image:
        assert image.axes == "ZCYX"
        assert image.scale == pytest.approx({"Y": 0.5, "X": 1.0})
    assert closed == ["nd2", "lif"]


def test_nd2_and_lif_are_read_as_their_libraries_read_them(tmp_path):
    pytest.importorskip("nd2")
    pytest.importorskip("liffile")
    random = np.random.default_rng(0)
    stack = random.integers(0, 60_000, (3, 40, 50, 2)).astype(np.uint16)
    write_nd2(tmp_path / "a.nd2", stack)
    with closing(open_image(tmp_path / "a.nd2")) as image:
        assert image.axes == "ZCYX"
        assert image.scale == {"Z": 1.3, "Y": 0.65, "X": 0.65}
        part = np.asarray(image.data[1, 1, 5:20, 7:30])
    np.testing.assert_array_equal(part, stack[1, 5:20, 7:30, 1])
    stack = random.integers(0, 60_000, (2, 3, 40, 50)).astype(np.uint16)
    colours = random.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    path = tmp_path / "a.lif"
    write_lif(path, [("ZCYX", stack), ("YXS", colours)])
    with closing(open_image(path)) as image:
        assert image.axes == "ZCYX"
        assert image.scale == pytest.approx({"Z": 0.5, "Y": 0.5, "X": 0.5})
        np.testing.assert_array_equal(image.data[1, 2, 5:20], stack[1, 2, 5:20])
    with closing(open_image(path, series=1)) as image:
        assert image.axes == "YXS"
        assert isinstance(image.data, np.memmap)
        # Leica's files have blue first.
        np.testing.assert_array_equal(image.data, colours[..., ::-1])
    with pytest.raises(ValueError, match="holds 2 series"):
        open_image(path, series=2)

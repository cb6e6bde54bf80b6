import numpy as np
import pytest
import scipy.ndimage as ndi

from napari_nucleiseg.core.segment.blending import TiledMaps, run_tiled
from napari_nucleiseg.core.segment.image import resize
from napari_nucleiseg.core.segment.tiling import mirror_pad, plan_tiles

SIZES = {"largest": 64, "overlap": 16, "multiple": 16}
SHAPES = [
    (1, 1),
    (1, 200),
    (63, 64),
    (64, 64),
    (65, 64),
    (64, 65),
    (101, 203),
    (150, 37),
    (257, 255),
]


def run(image, predict, **sizes):
    plan = plan_tiles(image.shape[:2], **sizes)
    padded = mirror_pad(image, plan.padded)
    return run_tiled(plan, lambda tile: predict(padded[tile.window][None])[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_cover_every_pixel_and_fit_the_network(shape):
    plan = plan_tiles(shape, **SIZES)
    times = np.zeros(plan.padded, int)
    for tile in plan.tiles:
        assert tile.height <= 64
        assert tile.width <= 64
        assert tile.height % 16 == tile.width % 16 == 0
        part = times[tile.window]
        assert part.shape == (tile.height, tile.width)
        part += 1
    assert times.min() >= 1
    assert plan.padded >= shape


@pytest.mark.parametrize("length", [65, 100, 500, 1023])
def test_neighbours_overlap_as_much_as_asked(length):
    plan = plan_tiles((16, length), **SIZES)
    starts = sorted(tile.x for tile in plan.tiles)
    gaps = np.diff(starts)
    assert len(gaps)
    assert (plan.tiles[0].width - gaps >= 16).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_tiled_equals_whole_for_a_pointwise_predictor(shape):
    image = np.random.default_rng(1).random((*shape, 2), dtype=np.float32)
    out = run(image, lambda t: t[..., [1, 0, 1]] ** 2, **SIZES)
    assert out.shape == (*shape, 3)
    assert np.abs(out - image[..., [1, 0, 1]] ** 2).max() < 1e-5


def test_tiled_equals_whole_for_a_predictor_that_looks_around():
    # Neighbourhood well below half the overlap: only the tile's rim differs from
    # the whole, and there the neighbour counts.
    image = np.random.default_rng(2).random((150, 170, 1), dtype=np.float32)
    whole = ndi.uniform_filter(image, (3, 3, 0))

    def blur(tiles):
        return ndi.uniform_filter(tiles, (0, 3, 3, 0))

    out = run(image, blur, largest=64, overlap=32, multiple=16)
    assert np.abs(out - whole)[1:-1, 1:-1].max() < 0.02


def test_no_seams_between_tiles_that_disagree():
    calls = iter(range(100))

    def number(tiles):
        return np.full((*tiles.shape[:3], 1), next(calls), np.float32)

    out = run(np.zeros((64, 200, 1), np.float32), number, **SIZES)
    steps = np.abs(np.diff(out[..., 0], axis=1))
    assert steps.max() < 0.2  # a hard seam would be a step of 1


def test_a_place_to_stop_after_each_tile():
    plan = plan_tiles((100, 200), **SIZES)
    calls = []

    def maps_of(tile):
        calls.append("tile")
        return np.zeros((tile.height, tile.width, 1), np.float32)

    whole = run_tiled(plan, maps_of, on_tile=calls.append)
    assert whole.shape == (100, 200, 1)
    count = len(plan.tiles)
    assert count > 4
    assert calls == [x for n in range(1, count + 1) for x in ("tile", n)]

    class Stop(Exception):
        pass

    def stop(done):
        if done == 2:
            raise Stop

    calls.clear()
    with pytest.raises(Stop):
        run_tiled(plan, maps_of, on_tile=stop)
    assert calls == ["tile", "tile"]


@pytest.mark.parametrize("scale", [0.3, 0.8, 1.7, 4.0])
@pytest.mark.parametrize("shape", [(40, 41), (150, 170)])
def test_tiles_are_brought_to_another_size_one_by_one(shape, scale):
    seen = tuple(round(side * scale) for side in shape)
    y, x = np.mgrid[: seen[0], : seen[1]].astype(np.float32)
    whole = np.stack([np.sin(y / scale / 9), np.cos(x / scale / 7)], axis=-1)
    plan = plan_tiles(seen, largest=160, overlap=64, multiple=16)
    assert len(plan.tiles) > 1 or scale < 1 or shape == (40, 41)
    padded = mirror_pad(whole, plan.padded)
    sizes = []

    def finish(maps):
        sizes.append(maps[..., 0].size)
        return (maps * 100).astype(np.int16)

    found = run_tiled(
        plan, lambda tile: padded[tile.window], shape=shape, finish=finish
    )
    assert found.dtype == np.int16
    assert sum(sizes) == np.prod(shape)
    assert np.abs(found - 100 * resize(whole, shape)).max() < 4


def test_few_tiles_where_few_will_do():
    assert len(plan_tiles((512, 512)).tiles) == 1
    assert len(plan_tiles((520, 500)).tiles) == 2


@pytest.mark.parametrize("sizes", [{"largest": 100}, {"overlap": 512}, {"overlap": -1}])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match=r"multiple of 32 .* received"):
        plan_tiles((100, 100), **sizes)


@pytest.mark.parametrize("shape", [(150, 170), (64, 333), (401, 90)])
@pytest.mark.parametrize("kept", [0, 100])
def test_a_part_is_the_same_to_the_bit_as_in_the_whole(shape, kept):
    rng = np.random.default_rng(4)
    seen = tuple(round(side * 0.9) for side in shape)
    plan = plan_tiles(seen, **SIZES)
    given = {t: rng.random((t.height, t.width, 2), np.float32) for t in plan.tiles}
    whole = run_tiled(plan, given.get, shape=shape)
    made = []

    def maps_of(tile):
        made.append(tile)
        return given[tile]

    maps = TiledMaps(plan, maps_of, shape=shape, kept=kept)
    for _ in range(8):
        y, x = (np.sort(rng.choice(side + 1, 2, replace=False)) for side in shape)
        part = np.s_[int(y[0]) : int(y[1]), int(x[0]) : int(x[1])]
        assert np.array_equal(maps.read(part), whole[part])
    made.clear()
    maps.read(part)
    assert bool(made) == (kept == 0)


def test_a_part_needs_only_the_tiles_that_show_it():
    plan = plan_tiles((400, 400), **SIZES)
    made = []

    def maps_of(tile):
        made.append(tile)
        return np.ones((tile.height, tile.width, 1), np.float32)

    window = np.s_[120:240, 55:60]
    TiledMaps(plan, maps_of).read(window)
    for tile in made:
        for side, part in zip(tile.window, window, strict=True):
            assert side.start < part.stop
            assert side.stop > part.start
    seen = np.zeros(plan.padded, bool)
    for tile in made:
        seen[tile.window] = True
    assert seen[window].all()

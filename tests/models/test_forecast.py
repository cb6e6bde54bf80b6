"""What an image will take, from how fast a window of it went."""

import numpy as np
import pytest

from napari_nucleiseg.core.segment.region import Region, everywhere
from napari_nucleiseg.core.segment.tiling import plan_tiles
from napari_nucleiseg.models.forecast import Pace

SIDE = 8192


@pytest.fixture
def pace():
    """A second for each tile, and ten for each megapixel of what follows."""
    tiles = plan_tiles((SIDE, SIDE), largest=1024, multiple=32).tiles
    windows = tuple(tile.window for tile in tiles)
    return Pace((1, SIDE, SIDE), 1.0, windows, 5.0, 1.0, 0.0, 1e-5, 1e-5, by_block=True)


def square(low, high):
    corners = [[low, low], [low, high], [high, high], [high, low]]
    return Region(((0, np.array(corners, float)),))


def test_of_a_region_what_its_blocks_take(pace):
    whole = pace.forecast()
    assert pace.forecast(everywhere((SIDE, SIDE))).stages == whole.stages
    part = pace.forecast(square(2200, 2900))
    # One block, and the tiles that reach into it and its margin.
    flood = 1024**2 * 1e-5
    assert part.stages["Finding nuclei"] - flood == pytest.approx(6.5, abs=3)
    assert part.stages["Measuring nuclei"] == 5.0
    assert part.seconds < whole.seconds / 20
    more = pace.forecast(square(2200, 6000))
    assert part.seconds < more.seconds < whole.seconds


def test_what_is_done_is_not_done_again(pace):
    whole, rest = pace.forecast(), pace.forecast(done=0.75)
    assert rest.stages["Finding nuclei"] == whole.stages["Finding nuclei"] / 4
    assert rest.stages["Joining blocks"] == whole.stages["Joining blocks"]

"""The bar of a job that says nothing for a while."""

import pytest

from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.widgets.shared.stage_progress import StageProgress, clock


@pytest.mark.parametrize("whole", [None, 0.3])
def test_the_time_so_far_moves_while_nothing_is_reported(qtbot, whole):
    progress = StageProgress()
    qtbot.addWidget(progress.native)
    progress.show_progress(Progress("Joining blocks", 0, 0, whole=whole))
    assert progress.line.value == "Joining blocks …"
    qtbot.waitUntil(lambda: "0:01" in progress.line.value, timeout=3000)
    qtbot.waitUntil(lambda: "0:02" in progress.line.value, timeout=3000)
    assert progress.line.value.startswith("Joining blocks: ")
    # The next job begins anew.
    progress.show_progress(None)
    progress.show_progress(Progress("Writing labels", 0, 0))
    assert progress.line.value == "Writing labels …"


def test_hours_are_told_where_there_are_any():
    assert [clock(5), clock(75), clock(3675)] == ["0:05", "1:15", "1:01:15"]

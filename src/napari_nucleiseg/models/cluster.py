"""Work spread over processes, on this computer or on a dask.distributed cluster.

A task is a share of an image's blocks, or one image of a folder. What it has done is in
files, which all processes must be able to reach: a share that is begun again, where a
process was lost, goes on where the first one was, and what is done twice is the same.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.io.block_files import BlockFiles
from napari_nucleiseg.io.lazy_images import open_image
from napari_nucleiseg.models.block_plan import BlockPlan
from napari_nucleiseg.models.by_block import segment_blocks
from napari_nucleiseg.models.predictor import load_model

if TYPE_CHECKING:
    from distributed import Client, Future

#: A share is so many blocks at most; and there are so many shares for each process, so
#: that none waits long for the last one.
_BLOCKS, _SHARES = 32, 4

#: How often it is asked how far the work is, seconds.
_EVERY = 0.2


@contextlib.contextmanager
def connect(
    *, workers: int | None = None, scheduler: str | None = None
) -> Iterator[Client]:
    """Start processes on this computer, or connect to a cluster.

    Parameters
    ----------
    workers : int, optional
        How many processes to start; they end with this context.
    scheduler : str, optional
        Address of a cluster's scheduler, such as ``"tcp://10.0.0.1:8786"``. Its workers
        must have this package, and reach the files by the same names.

    Raises
    ------
    ValueError
        If dask.distributed is not installed.
    OSError
        If there is no such scheduler.
    """
    try:
        import distributed
    except ImportError as e:
        raise ValueError(
            "several processes need dask.distributed: pip install "
            '"napari-nucleiseg[cluster]"'
        ) from e
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            # Each has its share of the processors, and all the memory there is.
            where: Any = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs="CRITICAL",
                )
            )
        else:
            where = scheduler
        try:
            client = distributed.Client(where, timeout="10s")
        except (OSError, ValueError) as e:
            raise OSError(f"there is no scheduler at {scheduler}") from e
        yield stack.enter_context(client)


def segment_blocks_on(
    client: Client,
    path: Path,
    result: Path,
    model: str,
    *,
    series: int = 0,
    params: SegmentParams | None = None,
    axes: str | None = None,
    channel: int | None = None,
    block: int | None = None,
    monitor: Monitor | None = None,
) -> BlockPlan:
    """Find what there is in an image's blocks, by several processes.

    Parameters
    ----------
    client : Client
        From `connect`.
    path : pathlib.Path
        The image; see `io.lazy_images.open_image`.
    result, params, axes, channel, block, monitor
        See `segment_blocks`.
    model : str
        Name or folder of the model.
    series : int
        Which series of a file that has several.

    Returns
    -------
    BlockPlan

    Raises
    ------
    Cancelled, ValueError, NotWritten
        See `segment_blocks`.
    OSError
        If no process is left, or one after the other ended at a share.
    """
    monitor = monitor or SilentMonitor()
    how: dict[str, Any] = {
        "path": path.absolute(),
        "result": result.absolute(),
        "model": model,
        "series": series,
        "how": {"params": params, "axes": axes, "channel": channel, "block": block},
    }
    # What all have in common is settled before they begin.
    plan = _do_share((0, 1), monitor=monitor, **how)
    files, total = BlockFiles(result), plan.planes * len(plan.windows)
    count = min(total, max(_SHARES * _processes(client), -(-total // _BLOCKS)))
    shares = [(number, count) for number in range(1, count + 1)]

    def on_wait() -> None:
        done = min(files.count(), total)
        monitor.report(Progress("Finding nuclei", done, total))
        check_cancelled(monitor)

    for _, future in run_all(client, _do_share, shares, how, files.folder, on_wait):
        result_of(future)
    return plan


def run_all(
    client: Client,
    task: Callable[..., Any],
    items: Sequence[Any],
    how: dict[str, Any],
    folder: Path,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, Future]]:
    """Have a task done for each of several items; give each one's place when it is.

    Parameters
    ----------
    client : Client
        From `connect`.
    task : callable
        Called as ``task(item, monitor=…, threads=…, **how)``, in any process, and again
        in another if that was lost.
    items : sequence
        For each of which it is called.
    how : dict
        What all have in common.
    folder : pathlib.Path
        One that all processes reach, made already.
    on_wait : callable
        Called again and again; may raise, to stop.
    """
    stop = folder / f"stop-{uuid.uuid4().hex[:12]}"
    threads = None
    if client.cluster is not None:
        threads = max(1, (os.cpu_count() or 1) // _processes(client))
    futures: list[Future] = client.map(
        _call, items, task=task, how=how, stop=stop, threads=threads, pure=False
    )
    waiting = dict(enumerate(futures))
    try:
        while waiting:
            on_wait()
            for index, future in list(waiting.items()):
                if future.done():
                    del waiting[index]
                    yield index, future
            time.sleep(_EVERY)
    finally:
        if waiting:
            stop.touch()
        client.cancel(futures)


def result_of(future: Future) -> Any:
    """Return what a task returned, or raise what it raised.

    Raises
    ------
    OSError
        If several processes were lost at it, one after the other.
    """
    import distributed

    try:
        return future.result()
    except distributed.KilledWorker as e:
        raise OSError(
            "several processes ended at the same part of the work, one after the "
            "other: they may have had too little memory"
        ) from e


class _Stop:
    """A monitor in another process: it stops when there is a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def report(self, progress: Progress) -> None:
        """Drop the report: what is done can be seen in the folder."""

    def should_stop(self) -> bool:
        """Look for the file."""
        return self._path.exists()


def _call(
    item: Any,
    *,
    task: Callable[..., Any],
    how: dict[str, Any],
    stop: Path,
    threads: int | None,
) -> Any:
    import distributed

    if threads is None:
        threads = distributed.get_worker().state.nthreads
    return task(item, monitor=_Stop(stop), threads=threads, **how)


def _processes(client: Client) -> int:
    return max(1, len(client.scheduler_info(n_workers=-1)["workers"]))


def _do_share(
    share: tuple[int, int],
    *,
    path: Path,
    result: Path,
    model: str,
    series: int,
    how: dict[str, Any],
    monitor: Monitor,
    threads: int | None = None,
) -> BlockPlan:
    engine = (how["params"] or SegmentParams()).engine
    with closing(open_image(path, series=series)) as image:
        return segment_blocks(
            image,
            result,
            load_model(model, engine, threads=threads),
            share=share,
            monitor=monitor,
            **how,
        )

import csv
import errno
import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.training import report as reports
from napari_nucleiseg.training.drawing import Drawing
from napari_nucleiseg.training.plots import panel
from napari_nucleiseg.training.report import (
    MOST_PANELS,
    TensorBoardLog,
    write_history,
    write_panels,
    write_report,
)

HISTORY = [
    {"epoch": 0, "minutes": 0.0, "val_loss": 0.5, "val_AP50": 0.4},
    {"epoch": 1, "minutes": 0.2, "loss": 0.6, "val_loss": 0.4, "learning_rate": 1e-3},
    {"epoch": 2, "minutes": 0.4, "loss": 0.4, "val_loss": 0.3, "learning_rate": 5e-4},
]


def size_of(path):
    with Image.open(path) as picture:
        picture.load()
        return picture.size


def events_of(folder):
    """Return (file, step, tag, value or kind) of all events, as TensorBoard reads."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        at = 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += length + 16
            if event.HasField("session_log"):
                found.append((path.name, event.step, "start", None))
            for value in event.summary.value:
                found.append((path.name, event.step, value.tag, value.simple_value))
    return found


# --- curves


def test_the_history_is_a_table_and_a_picture(tmp_path):
    write_history(tmp_path / "report", HISTORY)
    with (tmp_path / "report" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [row["loss"] for row in rows] == ["", "0.6", "0.4"]  # epoch 0 has none
    assert tuple(rows[0]) == reports.COLUMNS
    width, height = size_of(tmp_path / "report" / "curves.png")
    assert width > 600
    assert height > 400


def test_the_curves_show_what_there_is(tmp_path):
    pictures = []
    for history in ([], HISTORY[:1], HISTORY):
        write_history(tmp_path, history)
        with Image.open(tmp_path / "curves.png") as picture:
            pictures.append(np.asarray(picture).astype(int))
    nothing, one, all_of_them = pictures
    # The upper left quarter is the loss.
    for before, after in ((nothing, one), (one, all_of_them)):
        assert (before != after)[:300, :420].any()


def test_a_figure_nobody_thought_of_gets_a_column(tmp_path):
    write_history(tmp_path, [{**HISTORY[0], "val_F1": 0.7}])
    assert (tmp_path / "history.csv").read_text().splitlines()[0].endswith(",val_F1")


# --- TensorBoard


def test_the_log_holds_every_epoch(tmp_path):
    log = TensorBoardLog(tmp_path)
    for row in HISTORY:
        log.add(row)
    log.close()
    train = [event[1:] for event in events_of(tmp_path / "train")]
    assert [(s, v) for s, tag, v in train if tag == "loss"] == [
        (1, pytest.approx(0.6)),
        (2, pytest.approx(0.4)),
    ]
    assert [s for s, tag, _ in train if tag == "learning_rate"] == [1, 2]
    held_out = [event[1:] for event in events_of(tmp_path / "validation")]
    assert [s for s, tag, _ in held_out if tag == "loss"] == [0, 1, 2]
    assert (0, "AP/0.50", pytest.approx(0.4)) in held_out


@pytest.mark.parametrize("first", [0, 1])
def test_every_epoch_is_logged_once_as_training_goes(tmp_path, first):
    drawing = Drawing(tmp_path)
    history = []
    for epoch in range(first, 4):
        history.append({"epoch": epoch, "val_loss": 0.5})
        if epoch:
            drawing.epoch(SimpleNamespace(history=history, latest=None))
    drawing.close()
    events = events_of(tmp_path / "tensorboard" / "validation")
    logged = [step for _, step, tag, _ in events if tag == "loss"]
    assert logged == list(range(first, 4))


def test_what_is_logged_can_be_read_while_training_goes_on(tmp_path):
    log = TensorBoardLog(tmp_path)
    log.add(HISTORY[1])
    assert (1, "loss", pytest.approx(0.6)) in [
        e[1:] for e in events_of(tmp_path / "train")
    ]
    log.close()


def test_a_log_opened_again_goes_on_from_the_epoch_done_again(tmp_path):
    for rows in (HISTORY, HISTORY[2:]):
        log = TensorBoardLog(tmp_path)
        for row in rows:
            log.add(row)
        log.close()
    events = events_of(tmp_path / "train")
    first, second = sorted({name for name, *_ in events})  # an old file is not lost
    assert [e[1:] for e in events if e[0] == second][:2] == [
        (2, "start", None),  # voids what the first says from here on
        (2, "loss", pytest.approx(0.4)),
    ]
    assert [s for name, s, tag, _ in events if (name, tag) == (first, "loss")] == [1, 2]


# --- pictures


def nuclei(*boxes, shape=(64, 64)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(boxes, start=1):
        labels[y : y + 12, x : x + 12] = number
    return labels


def orange(picture):
    return (np.abs(picture.astype(int) - (255, 115, 0)) < 3).all(axis=-1)


def thirds(picture):
    return np.array_split(picture, 3, axis=1)


def test_a_panel_shows_image_truth_and_prediction(tmp_path):
    rng = np.random.default_rng(0)
    labels = nuclei((5, 5), (30, 30))
    image = (labels > 0) * 100 + rng.random(labels.shape)
    picture = panel(image, labels, labels)
    assert picture.dtype == np.uint8
    assert picture.shape[1] > 3 * 256 > picture.shape[0] > 256  # enlarged to be seen
    plain, true, predicted = thirds(picture[30:])
    assert not orange(picture).any()
    assert np.ptp(plain.astype(int), axis=-1).max() == 0  # a grey image, nothing on it
    for part in (true, predicted):
        assert np.ptp(part.astype(int), axis=-1).max() > 50
    # The titles are there: dark on white.
    for title in thirds(picture[:20]):
        assert title.min() < 80


def test_missed_and_wrong_nuclei_stand_out():
    truth = nuclei((5, 5), (30, 30))
    picture = panel(truth * 10, truth, nuclei((5, 5), (45, 5)))
    plain, true, predicted = thirds(orange(picture))
    assert not plain.any()
    assert true.any()
    assert predicted.any()
    rows = np.flatnonzero(true.any(axis=1)) - 22
    assert rows.min() >= 30 * 4  # the nucleus that was found is not among them
    known = np.zeros(truth.shape, bool)
    known[:20] = True  # nothing is known of those that differ
    assert not orange(panel(truth * 10, truth, nuclei((5, 5), (45, 5)), known)).any()


@pytest.mark.parametrize(
    "shape", [(40, 90), (700, 500), (3, 200), (32, 32, 3), (9, 9, 2)]
)
def test_panels_of_any_size(shape):
    rng = np.random.default_rng(0)
    labels = np.zeros(shape[:2], np.int32)
    picture = panel(rng.random(shape), labels, labels)
    assert max(picture.shape[0], picture.shape[1] / 3) <= 480
    assert picture.shape[2] == 3


def test_sizes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"\(8, 8\), \(8, 8\) and \(8, 9\)"):
        panel(np.zeros((8, 8)), np.zeros((8, 8), int), np.zeros((8, 9), int))


def test_panels_stay_few_and_keep_first_and_latest(tmp_path):
    labels = np.zeros((8, 8), np.int32)
    crops = [
        (labels, labels, labels),
        (np.zeros((8, 6, 3)), labels[:, :6], labels[:, :6]),
    ]
    for epoch in range(20):
        path = write_panels(tmp_path, crops, epoch)
        assert path.is_file()
    found = sorted(int(p.stem.split("_")[1]) for p in (tmp_path / "panels").iterdir())
    assert len(found) == MOST_PANELS
    assert found[0] == 0
    assert found[-1] == 19
    assert np.diff(found).max() <= 5  # and some from all along


# --- tables


@pytest.fixture(scope="module")
def compared():
    sample = load_sample("crowded")
    truth = sample.labels.astype(np.int32)
    merged = (truth > 0).astype(np.int32)  # every pixel right, hardly a nucleus
    return [Pair(sample.image, truth, "crowded")], [merged]


def test_a_report_sets_pixels_and_nuclei_side_by_side(tmp_path, compared):
    found = write_report(tmp_path, *compared, title="Merged")
    assert found == json.loads((tmp_path / "report.json").read_text())
    truth = compared[0][0].labels > 0
    assert found["pixels"]["accuracy"] == 1
    assert found["pixels"]["IoU"] == 1
    assert found["pixels"]["nucleus"]["support"] == truth.sum()
    assert found["confusion"] == [[int((~truth).sum()), 0], [0, int(truth.sum())]]
    assert found["nuclei"]["pooled"]["AP"]["0.50"] < 0.1  # one big nucleus
    text = (tmp_path / "report.txt").read_text()
    for part in ("Merged", "precision", "recall", "F1", "support", "IoU", "AP at IoU"):
        assert part in text
    assert size_of(tmp_path / "confusion_matrix.png")[0] > 300


def test_what_is_not_known_does_not_count(tmp_path, compared):
    (pair,), _ = compared
    known = np.zeros(pair.labels.shape, bool)
    known[:200] = True
    half = Pair(pair.image, pair.labels, known=known)
    spoilt = np.where(known, pair.labels, 0)
    found = write_report(tmp_path, [half], [spoilt])
    assert np.sum(found["confusion"]) == known.sum()
    assert found["pixels"]["accuracy"] == 1


def test_nothing_to_report_on_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one image"):
        write_report(tmp_path, [], [])


# --- disks


def writers():
    labels = np.ones((8, 8), np.int32)
    return {
        "history.csv": lambda folder: write_history(folder, HISTORY),
        "epoch_0001.png": lambda folder: write_panels(folder, [(labels,) * 3], 1),
        "report.txt": lambda folder: write_report(
            folder, [Pair(labels, labels)], [labels]
        ),
    }


@pytest.mark.parametrize("name", writers())
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, monkeypatch, name):
    write = writers()[name]
    write(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename.endswith(name)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == before


def test_a_full_disk_under_the_log_is_named(tmp_path, monkeypatch):
    log = TensorBoardLog(tmp_path)
    log.add(HISTORY[1])

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tensorboardX.RecordWriter.flush", full)
        with pytest.raises(OSError, match="No space left") as caught:
            log.add(HISTORY[2])
    assert str(tmp_path) in caught.value.filename
    log.add(HISTORY[2])  # there is room again
    log.close()
    assert any(event[1:3] == (2, "loss") for event in events_of(tmp_path / "train"))


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "report").write_text("not a folder")
    with pytest.raises(OSError, match="report"):
        write_history(tmp_path / "report", HISTORY)
    with pytest.raises(OSError, match="report"):
        TensorBoardLog(tmp_path / "report").add(HISTORY[1])

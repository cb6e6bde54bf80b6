import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg import segment
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.models import registry
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import (
    DEFAULT_MODEL,
    INT8_FILE,
    RUN_FILE,
    TRAIN_FILE,
    find_model,
    is_taken,
    list_models,
    models_folder,
    own_model_folder,
    save_model,
    unique_name,
)


@pytest.fixture
def built_in():
    return find_model()


def copy_of(model, folder, **changes):
    """Save a copy of a model under the folder's name."""
    card = model.card.replace(name=folder.name, **changes)
    files = {name: (model.folder / name).read_bytes() for name in model.card.files}
    return save_model(folder, card, files)


def tree(folder):
    """Return every path below a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_built_in_model_is_there_and_whole(built_in):
    assert built_in.built_in
    assert built_in.card.name == DEFAULT_MODEL == "nuclei"
    assert set(built_in.card.files) == {RUN_FILE, INT8_FILE, TRAIN_FILE}
    assert built_in.card.maps == (*MAPS, "offset_y", "offset_x", "size")
    assert built_in.card.license


def test_an_unknown_name_lists_what_there_is(built_in, own_models):
    copy_of(built_in, own_models / "mine")
    with pytest.raises(ValueError, match=r"'no-such'.*nuclei, mine"):
        find_model("no-such")


def test_own_models_are_found_by_name_and_listed_after_the_built_in(
    built_in, own_models
):
    assert models_folder() == own_models
    copy_of(built_in, own_models / "mine", title="For mine")
    assert [m.card.name for m in list_models()] == ["nuclei", "mine"]
    assert find_model("mine").card.title == "For mine"
    assert not find_model("mine").built_in


def test_a_folder_is_taken_as_it_is(built_in, tmp_path):
    copy_of(built_in, tmp_path / "elsewhere" / "m1")
    assert load_model(tmp_path / "elsewhere" / "m1").spec.name == "m1"
    assert load_model(str(tmp_path / "elsewhere" / "m1")).spec.name == "m1"


@pytest.mark.parametrize("given", ["./nuclei", "../place/nuclei"])
def test_a_folder_named_like_a_model_is_still_that_folder(
    built_in, tmp_path, monkeypatch, given
):
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    copy_of(built_in, Path("nuclei"), title="Mine, not the built-in one")
    assert load_model(given).model.card.title == "Mine, not the built-in one"


def test_a_relative_folder_as_a_path_is_that_folder(built_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_of(built_in, Path("nuclei"), title="Mine, not the built-in one")
    folder = Path("nuclei").resolve()
    assert load_model(folder).model.card.title == "Mine, not the built-in one"


def test_a_name_means_the_model_even_beside_a_folder_of_that_name(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("nuclei").mkdir()
    assert load_model("nuclei").model.built_in


def test_a_model_replaced_on_disk_is_loaded_anew(built_in, tmp_path):
    folder = tmp_path / "m1"
    copy_of(built_in, folder)
    assert load_model(folder) is load_model(folder)
    thresholds = built_in.card.thresholds.replace(probability=0.6)
    copy_of(built_in, folder, thresholds=thresholds)
    assert load_model(folder).spec.settings.probability == 0.6


@pytest.mark.parametrize("name", [RUN_FILE, TRAIN_FILE])
def test_a_changed_file_is_refused(built_in, own_models, name):
    folder = copy_of(built_in, own_models / "mine").folder
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    for given in ("mine", folder):
        with pytest.raises(ValueError, match=f"{name} is damaged or was changed"):
            find_model(given)


def test_a_file_cut_short_is_refused(built_in, tmp_path):
    folder = copy_of(built_in, tmp_path / "mine").folder
    content = (folder / RUN_FILE).read_bytes()
    (folder / RUN_FILE).write_bytes(content[:-1])
    with pytest.raises(ValueError, match="damaged or was changed"):
        segment(np.zeros((40, 40)), folder)


def test_a_missing_file_is_named(built_in, tmp_path):
    folder = copy_of(built_in, tmp_path / "mine").folder
    (folder / TRAIN_FILE).unlink()
    with pytest.raises(ValueError, match=f"{TRAIN_FILE} is missing"):
        find_model(folder)


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", "{}", '{"name": "x"}', "3", "null", '{"thresholds": 3}'],
)
def test_a_spoilt_card_is_refused_and_spoils_no_list(
    built_in, own_models, caplog, text
):
    copy_of(built_in, own_models / "good")
    folder = copy_of(built_in, own_models / "spoilt").folder
    (folder / CARD_FILE).write_text(text)
    with caplog.at_level(logging.WARNING):
        assert [m.card.name for m in list_models()] == ["nuclei", "good"]
    assert "spoilt" in caplog.text
    with pytest.raises(ValueError, match="is not a model's card"):
        find_model(folder)


def test_a_card_that_is_no_text_spoils_no_list(built_in, own_models):
    folder = copy_of(built_in, own_models / "spoilt").folder
    (folder / CARD_FILE).write_bytes(b"\xff\xfe\x00\x80")
    assert [m.card.name for m in list_models()] == ["nuclei"]


def test_a_folder_without_a_card_is_no_model(tmp_path):
    with pytest.raises(ValueError, match=r"is not a model: it has no card\.json"):
        find_model(tmp_path)


def test_a_card_may_not_name_files_elsewhere(built_in, tmp_path):
    folder = copy_of(built_in, tmp_path / "mine").folder
    card = json.loads((folder / CARD_FILE).read_text())
    (tmp_path / "other").write_bytes((folder / RUN_FILE).read_bytes())
    card["files"]["../other"] = card["files"][RUN_FILE]
    (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(ValueError, match="other is missing"):
        find_model(folder)


def test_a_saved_model_reads_back_the_same(built_in, tmp_path):
    saved = copy_of(built_in, tmp_path / "mine")
    found = find_model(tmp_path / "mine")
    assert found.card == saved.card
    assert found.card == built_in.card.replace(name="mine")


def test_a_model_is_replaced_as_a_whole(built_in, tmp_path):
    folder = copy_of(built_in, tmp_path / "mine").folder
    card = built_in.card.replace(name="mine", version="2")
    save_model(folder, card, {RUN_FILE: (built_in.folder / RUN_FILE).read_bytes()})
    assert tree(tmp_path) == {"mine", f"mine/{CARD_FILE}", f"mine/{RUN_FILE}"}
    assert find_model(folder).card.version == "2"


@pytest.mark.parametrize("step", ["write_bytes", "write_text", "chmod"])
def test_a_failed_write_leaves_nothing(built_in, tmp_path, monkeypatch, step):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OSError, match=r"could not be saved as .*mine: No space left"):
        copy_of(built_in, tmp_path / "mine")
    assert tree(tmp_path) == set()


@pytest.mark.parametrize("step", ["write_bytes", "write_text", "chmod", "mkdir"])
def test_a_full_disk_leaves_the_old_model(built_in, tmp_path, monkeypatch, step):
    folder = copy_of(built_in, tmp_path / "mine").folder
    before = tree(tmp_path)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OSError, match=r"No space left.*was there is as it was\."):
        copy_of(built_in, folder, version="2")
    assert tree(tmp_path) == before
    assert find_model(folder).card.version == built_in.card.version


@pytest.mark.parametrize("at", [1, 2])
def test_a_failed_replacement_leaves_the_old_model(built_in, tmp_path, monkeypatch, at):
    folder = copy_of(built_in, tmp_path / "mine").folder
    before = tree(tmp_path)
    rename, calls = Path.rename, []

    def fail(path, target):
        calls.append(path)
        if len(calls) == at:
            raise OSError("Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Permission denied"):
        copy_of(built_in, folder, version="2")
    assert tree(tmp_path) == before
    assert find_model(folder).card.version == built_in.card.version


def test_something_else_is_not_replaced(built_in, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("Once upon a time")
    (tmp_path / "notes").write_text("a file")
    for name in ("thesis", "notes"):
        with pytest.raises(ValueError, match="exists and is not a model"):
            copy_of(built_in, tmp_path / name)
    assert tree(tmp_path) == {"thesis", "thesis/chapter1.txt", "notes"}


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, ".hidden", "ä"])
def test_names_that_will_not_do(built_in, tmp_path, name):
    with pytest.raises(ValueError, match="1 to 64 letters"):
        save_model(tmp_path / "mine", built_in.card.replace(name=name), {})
    with pytest.raises(ValueError, match="1 to 64 letters"):
        own_model_folder(name)
    assert tree(tmp_path) == set()


def test_a_half_copied_folder_is_not_listed(built_in, own_models):
    shutil.copytree(built_in.folder, own_models / ".mine-abc123")
    assert [m.card.name for m in list_models()] == ["nuclei"]


def test_a_report_goes_into_the_model_with_the_rest(built_in, tmp_path):
    report = tmp_path / "run" / "report"
    (report / "logs").mkdir(parents=True)
    (report / "curves.csv").write_text("epoch,loss")
    (report / "logs" / "events").write_bytes(b"1")
    folder = tmp_path / "models" / "mine"
    files = {RUN_FILE: (built_in.folder / RUN_FILE).read_bytes()}
    card = built_in.card.replace(name="mine")
    save_model(folder, card, files, report=report)
    assert (folder / "report" / "curves.csv").read_text() == "epoch,loss"
    assert (folder / "report" / "logs" / "events").read_bytes() == b"1"
    assert (report / "curves.csv").is_file()
    with pytest.raises(OSError, match="was there is as it was"):
        save_model(folder, card, files, report=tmp_path / "none")
    assert (folder / "report" / "curves.csv").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that are read to be hashed."""
    names, real = [], registry.file_hash

    def count(path):
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(registry, "file_hash", count)
    monkeypatch.setattr(registry, "_known_hashes", {})
    return names


def settle(folder, seconds=3600):
    """Make a folder's files look older than they are."""
    for path in folder.iterdir():
        state = path.stat()
        os.utime(path, (state.st_atime, state.st_mtime - seconds))


def test_a_file_is_hashed_once_and_again_when_it_has_changed(
    built_in, own_models, hashed
):
    folder = copy_of(built_in, own_models / "mine").folder
    settle(folder)
    hashed.clear()
    for _ in range(3):
        find_model("mine")
    assert set(hashed) == {TRAIN_FILE, RUN_FILE, INT8_FILE}
    content = bytearray((folder / RUN_FILE).read_bytes())
    content[100] ^= 1
    state = (folder / RUN_FILE).stat()
    (folder / RUN_FILE).write_bytes(content)
    with pytest.raises(ValueError, match="damaged or was changed"):
        find_model("mine")
    # Not even a change that gives the file its old size and time passes.
    os.utime(folder / RUN_FILE, ns=(state.st_atime_ns, state.st_mtime_ns))
    if os.name == "posix":
        with pytest.raises(ValueError, match="damaged or was changed"):
            find_model("mine")


def test_a_file_that_was_just_written_is_not_trusted_yet(built_in, own_models, hashed):
    copy_of(built_in, own_models / "mine")
    hashed.clear()
    find_model("mine")
    find_model("mine")
    assert len(hashed) == 6


def test_unique_names(built_in, own_models):
    assert unique_name("my-nuclei") == "my-nuclei"
    assert unique_name("nuclei") == "nuclei-2"
    copy_of(built_in, own_models / "My-nuclei")
    copy_of(built_in, own_models / "my-nuclei-2")
    assert unique_name("my-nuclei") == "my-nuclei-3"
    (own_models / "spoilt").mkdir()
    assert unique_name("spoilt") == "spoilt-2"
    (own_models / "begun.training").mkdir()
    assert unique_name("begun") == "begun-2"
    long = "x" * 64
    copy_of(built_in, own_models / long)
    assert unique_name(long) == "x" * 62 + "-2"
    with pytest.raises(ValueError, match="1 to 64 letters"):
        unique_name("a b")


def test_a_model_of_ones_own_cannot_take_the_built_in_ones_name(own_models):
    assert own_model_folder("mine") == own_models / "mine"
    with pytest.raises(ValueError, match="'Nuclei' is the name of a built-in model"):
        own_model_folder("Nuclei")
    with pytest.raises(ValueError, match="1 to 64 letters"):
        own_model_folder("..")


def test_two_models_of_one_name_are_said(mine, own_models):
    shutil.copytree(mine.folder, own_models / "copy")
    with pytest.raises(ValueError, match=r"2 models are named .*copy and .*mine"):
        find_model("mine")
    assert find_model(mine.folder).folder == mine.folder
    assert find_model("copy").card.name == "mine"


@pytest.mark.parametrize("name", ["con", "NUL", "Com1", "lpt9", "aux"])
def test_names_that_are_devices_on_windows_are_refused(name):
    with pytest.raises(ValueError, match="name of a device on Windows"):
        own_model_folder(name)


def test_files_beside_the_models_take_no_name(own_models):
    own_models.mkdir()
    (own_models / "speed.json").write_text("{}")
    (own_models / "later.training").mkdir()
    assert not is_taken("speed")
    assert unique_name("speed") == "speed"
    assert is_taken("later")

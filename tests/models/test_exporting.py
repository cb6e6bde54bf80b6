import json
import stat
import struct
import zipfile

import pytest

from napari_nucleiseg.models import library, registry
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.library import (
    NameTaken,
    export_model,
    import_model,
)
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    TRAIN_FILE,
    find_model,
    list_models,
)


def tree(folder):
    """Return every file below a folder, hidden ones too, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names():
    return [model.card.name for model in list_models()]


def test_a_model_goes_from_one_computer_to_another(mine, tmp_path, monkeypatch):
    file = export_model(mine, tmp_path)
    assert file == tmp_path / "mine.nucleiseg"
    assert file.stat().st_size < 20_000  # packed
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "another" / "models"))
    assert names() == ["nuclei"]
    model = import_model(file)
    assert model == find_model("mine")
    assert model.card == mine.card
    assert tree(model.folder) == tree(mine.folder)
    assert [p.name for p in model.folder.parent.iterdir()] == ["mine"]


def test_the_built_in_model_is_exported_and_imported_by_another_name(tmp_path):
    file = export_model(find_model(), tmp_path / "n.nucleiseg")
    with pytest.raises(ValueError, match="name of a built-in model"):
        import_model(file)
    assert import_model(file, name="copy").card.name == "copy"
    assert find_model("copy").card.files == find_model().card.files


def test_a_file_is_not_overwritten_unless_asked(mine, tmp_path):
    file = tmp_path / "a.nucleiseg"
    file.write_text("precious")
    with pytest.raises(FileExistsError, match="exists already; it is left unchanged"):
        export_model(mine, file)
    assert file.read_text() == "precious"
    export_model(mine, file, replace=True)
    assert import_model(file, name="again")


def test_a_failed_export_leaves_no_half_file(mine, tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    file = tmp_path / "place" / "a.nucleiseg"
    file.write_text("the old one")
    real, calls = zipfile.ZipFile.write, []

    def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "write", fail)
    with pytest.raises(OSError, match=r"seg could not be written: No space left"):
        export_model(mine, file, replace=True)
    assert tree(file.parent) == {"a.nucleiseg": b"the old one"}


def test_a_damaged_model_is_not_exported(mine, tmp_path):
    (mine.folder / TRAIN_FILE).write_bytes(b"other")
    with pytest.raises(ValueError, match="damaged or was changed"):
        export_model(mine, tmp_path / "a.nucleiseg")
    assert not (tmp_path / "a.nucleiseg").exists()


def test_an_export_goes_into_a_folder_that_is_there(mine, tmp_path):
    with pytest.raises(ValueError, match="There is no folder"):
        export_model(mine, tmp_path / "none" / "a.nucleiseg")


def test_a_taken_name_is_said_and_another_can_be_given(mine, tmp_path, own_models):
    file = export_model(mine, tmp_path)
    before = tree(own_models)
    with pytest.raises(NameTaken, match="a model named 'mine' already") as caught:
        import_model(file)
    assert caught.value.name == "mine"
    assert tree(own_models) == before
    model = import_model(file, name="mine-too")
    assert find_model("mine-too") == model
    assert names() == ["nuclei", "mine", "mine-too"]
    with pytest.raises(ValueError, match="1 to 64 letters"):
        import_model(file, name="../escaped")


@pytest.fixture
def parts(mine):
    """What an exported model holds."""
    return tree(mine.folder)


def packed(file, parts, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


def refused(file, own_models, match):
    """Check that a file is refused, in words, and leaves no trace."""
    before = tree(own_models)
    with pytest.raises(ValueError, match=match):
        import_model(file, name="new")
    assert tree(own_models) == before
    assert {path.name for path in own_models.iterdir()} == {"mine"}
    assert not (own_models.parent / "evil").exists()


@pytest.mark.parametrize(
    "name",
    ["../evil", "report/../../evil", "/evil", "C:evil", "report\\..\\evil", "a//b"],
)
def test_nothing_is_written_outside(parts, tmp_path, own_models, name):
    file = packed(tmp_path / "a.nucleiseg", {**parts, name: b"evil"})
    refused(file, own_models, "cannot be imported. It has a file with the invalid name")


def test_links_are_refused(parts, tmp_path, own_models):
    file = packed(tmp_path / "a.nucleiseg", parts)
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo("report/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(file, own_models, "'report/link' in it is a link")


@pytest.mark.parametrize("name", ["run.py", "networks/a", "report", ".hidden"])
def test_files_that_no_model_has_are_refused(parts, tmp_path, own_models, name):
    parts = {key: value for key, value in parts.items() if "report" not in key}
    file = packed(tmp_path / "a.nucleiseg", {**parts, name: b"?"})
    refused(file, own_models, f"has the file '{name}', which its card does not name")


def test_a_file_there_twice_is_refused(parts, tmp_path, own_models):
    file = packed(tmp_path / "a.nucleiseg", {**parts, "Report/Curves.csv": b"?"})
    refused(file, own_models, "has 'Report/Curves.csv' twice|which its card")


def test_absurd_sizes_are_refused(parts, tmp_path, own_models, monkeypatch):
    bomb = packed(tmp_path / "a.nucleiseg", {**parts, "report/zeros": bytes(3_000_000)})
    assert bomb.stat().st_size < 100_000
    monkeypatch.setattr(library, "MOST_BYTES", 1_000_000)
    refused(bomb, own_models, "It is too large: 'report/zeros' has 3000000 bytes")
    monkeypatch.setattr(library, "MOST_FILES", 3)
    refused(bomb, own_models, "It holds 6 files; 3 are allowed at most")


def test_a_size_that_is_a_lie_is_found_out(parts, tmp_path, own_models):
    file = packed(tmp_path / "a.nucleiseg", {**parts, "report/z": bytes(3_000_000)})
    content = file.read_bytes()
    size = struct.pack("<L", 3_000_000)
    assert content.count(size) == 2
    file.write_bytes(content.replace(size, struct.pack("<L", 10)))
    refused(file, own_models, "is damaged")


def test_odd_packings_are_refused(parts, tmp_path, own_models):
    file = packed(tmp_path / "a.nucleiseg", parts, zipfile.ZIP_LZMA)
    refused(file, own_models, "compressed in an unusual way")


@pytest.mark.parametrize("name", [RUN_FILE, TRAIN_FILE])
def test_a_network_that_is_not_the_cards_is_refused(parts, tmp_path, own_models, name):
    file = packed(tmp_path / "a.nucleiseg", {**parts, name: b"another"})
    refused(file, own_models, f"{name} is damaged or was changed")
    file = packed(
        tmp_path / "a.nucleiseg", {k: v for k, v in parts.items() if k != name}
    )
    refused(file, own_models, f"the file {name} is missing")


def test_cards_that_will_not_do_are_refused(parts, tmp_path, own_models):
    card = json.loads(parts[CARD_FILE])
    for content, message in (
        (b"{}", "is not a model's card: name is missing. title is missing"),
        (b"\xff", "is not a model's card"),
        (json.dumps({**card, "extra": 1}).encode(), "Unknown entry 'extra'"),
        (json.dumps({**card, "files": {}}).encode(), "which its card does not name"),
    ):
        file = packed(tmp_path / "a.nucleiseg", {**parts, CARD_FILE: content})
        refused(file, own_models, message)
    del parts[CARD_FILE]
    file = packed(tmp_path / "a.nucleiseg", parts)
    refused(file, own_models, "has no card.json")


def test_files_that_are_no_exported_model(parts, tmp_path, own_models):
    file = tmp_path / "a.nucleiseg"
    file.write_text("not a model at all")
    refused(file, own_models, "is not an exported model, or is damaged")
    file.write_bytes(packed(file, parts).read_bytes()[:-200])
    refused(file, own_models, "is not an exported model, or is damaged")
    refused(tmp_path / "none", own_models, "There is no file")


def test_a_full_disk_while_importing(mine, tmp_path, own_models, monkeypatch):
    file = export_model(mine, tmp_path)
    before = tree(own_models)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(library, "put_in_place", fail)
    with pytest.raises(OSError, match=r"could not be imported .*: No space left"):
        import_model(file, name="new")
    assert tree(own_models) == before
    assert {path.name for path in own_models.iterdir()} == {"mine"}
    assert registry.is_taken("mine")

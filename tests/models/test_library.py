from pathlib import Path

import pytest

from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.library import (
    delete_model,
    rename_model,
)
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    find_model,
    list_models,
    save_model,
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


def test_a_renamed_model_is_found_by_its_new_name_only(mine, own_models):
    before = tree(mine.folder)
    renamed = rename_model(mine, "yours")
    assert find_model("yours") == renamed  # its hashes hold
    assert renamed.card == mine.card.replace(name="yours")
    assert names() == ["nuclei", "yours"]
    after = tree(own_models / "yours")
    assert {n: c for n, c in after.items() if n != CARD_FILE} == {
        n: c for n, c in before.items() if n != CARD_FILE
    }
    with pytest.raises(ValueError, match="no model named 'mine'"):
        find_model("mine")


def test_only_the_case_of_a_name_is_changed(mine):
    assert rename_model(mine, "Mine").card.name == "Mine"
    assert names() == ["nuclei", "Mine"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "There is a model named 'other' already"),
        ("OTHER", "There is a model named 'OTHER' already"),
        ("nuclei", "'nuclei' is the name of a built-in model"),
        ("a b", "1 to 64 letters"),
        ("../x", "1 to 64 letters"),
    ],
)
def test_names_a_model_cannot_be_given(mine, own_models, name, message):
    save_model(own_models / "other", mine.card.replace(name="other"), {})
    before = tree(own_models)
    with pytest.raises(ValueError, match=message):
        rename_model(mine, name)
    assert tree(own_models) == before


@pytest.mark.parametrize("step", ["write_text", "rename", "replace"])
def test_a_failed_renaming_changes_nothing(mine, own_models, monkeypatch, step):
    before, real, calls = tree(own_models), getattr(Path, step), []

    def fail(path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OSError, match="mine could not be renamed: No space left"):
        rename_model(mine, "yours")
    assert tree(own_models) == before
    assert find_model("mine")


def test_a_deleted_model_is_gone(mine, own_models):
    (mine.folder / ".DS_Store").touch()
    delete_model(mine)
    assert names() == ["nuclei"]
    assert list(own_models.iterdir()) == []


def test_a_damaged_model_can_be_deleted(mine):
    (mine.folder / RUN_FILE).write_bytes(b"")
    delete_model(find_model("mine", check=False))
    assert names() == ["nuclei"]


def test_a_folder_with_other_things_in_it_is_not_deleted(mine):
    (mine.folder / "thesis.docx").write_text("Once upon a time")
    before = tree(mine.folder)
    with pytest.raises(ValueError, match=r"not the model's \(thesis\.docx\)"):
        delete_model(mine)
    assert tree(mine.folder) == before


def test_of_a_link_only_the_link_is_deleted(mine, own_models, tmp_path):
    elsewhere = mine.folder.rename(tmp_path / "elsewhere")
    try:
        (own_models / "mine").symlink_to(elsewhere)
    except OSError:
        pytest.skip("no links on this system")
    delete_model(find_model("mine"))
    assert names() == ["nuclei"]
    assert find_model(elsewhere)


def test_built_in_models_stay(own_models):
    before = tree(find_model().folder)
    with pytest.raises(ValueError, match="nuclei is a built-in model; it cannot be re"):
        rename_model(find_model(), "mine")
    with pytest.raises(ValueError, match="nuclei is a built-in model; it cannot be de"):
        delete_model(find_model())
    assert tree(find_model().folder) == before

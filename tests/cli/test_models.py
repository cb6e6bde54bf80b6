import io
import json
import sys

import pytest

from napari_nucleiseg.models.registry import (
    RUN_FILE,
    find_model,
    list_models,
    save_model,
)

from .conftest import run


@pytest.fixture
def mine(own_models):
    card = find_model().card.replace(name="mine", title="For mine")
    return save_model(own_models / "mine", card, {RUN_FILE: b"network"})


def names():
    return [model.card.name for model in list_models()]


def test_models_are_listed_with_their_cards(own_models):
    done = run("models")
    assert done.status == 0
    assert "nuclei" in done.out
    assert "built in" in done.out
    assert "CC-BY-4.0" in done.out
    assert str(own_models) in done.out
    cards = json.loads(run("models", "--json").out)
    assert [card["name"] for card in cards] == ["nuclei"]
    assert len(cards[0]["files"]["network.tflite"]) == 64


def test_a_card_is_shown(mine):
    done = run("models", "show", "mine")
    assert done.status == 0, done.err
    assert f"mine {find_model().card.version} (your own)" in done.out
    assert "nuclei 1" not in done.out
    training = mine.card.training
    best, last = training["best_epoch"], training["history"][-1]["epoch"]
    assert f"best epoch   {best} of {last}" in done.out
    assert "test fluo" in done.out
    card = json.loads(run("models", "show", mine.folder, "--json").out)
    assert card["title"] == "For mine"
    # The option is that of either command.
    assert json.loads(run("models", "--json", "show", "mine").out) == card


def test_a_damaged_model_is_not_shown_as_if_it_were_sound(mine):
    (mine.folder / RUN_FILE).write_bytes(b"other")
    done = run("models", "show", "mine")
    assert done.status == 2
    assert "damaged or was changed" in done.err


def test_renaming(mine):
    done = run("models", "rename", "mine", "yours")
    assert (done.status, done.out) == (0, "mine is now yours\n")
    assert names() == ["nuclei", "yours"]
    done = run("models", "rename", "nuclei", "better")
    assert done.status == 2
    assert "nuclei is a built-in model; it cannot be renamed" in done.err


def test_deleting_without_anyone_to_ask_needs_yes(mine, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    done = run("models", "delete", "mine")
    assert done.status == 2
    assert "--yes deletes without asking" in done.err
    assert names() == ["nuclei", "mine"]
    done = run("models", "delete", "mine", "--yes")
    assert (done.status, done.out) == (0, "Deleted mine\n")
    assert names() == ["nuclei"]
    assert "no model named 'mine'" in run("models", "delete", "mine", "--yes").err


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("answer", "deleted"), [("y\n", True), ("Yes\n", True), ("\n", False), ("", False)]
)
def test_deleting_asks_on_a_terminal(mine, monkeypatch, answer, deleted):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    done = run("models", "delete", "mine")
    assert str(mine.folder) in done.out
    assert done.status == (0 if deleted else 1)
    assert ("mine" in names()) == (not deleted)


def test_a_built_in_model_is_not_deleted():
    done = run("models", "delete", "nuclei", "--yes")
    assert done.status == 2
    assert "cannot be deleted" in done.err
    assert names() == ["nuclei"]


def test_exporting_and_importing(mine, tmp_path):
    file = tmp_path / "mine.nucleiseg"
    done = run("models", "export", "mine", tmp_path)
    assert (done.status, done.out) == (0, f"Wrote {file}\n")
    done = run("models", "export", "mine", file)
    assert done.status == 2
    assert "exists already; it is left unchanged. --force replaces it." in done.err
    assert run("models", "export", "mine", file, "--force").status == 0
    done = run("models", "import", file)
    assert done.status == 2
    assert "a model named 'mine' already" in done.err
    assert "--name gives it another name here" in done.err
    assert run("models", "import", file, "--name", "yours").status == 0
    assert find_model("yours").card.title == "For mine"
    run("models", "delete", "mine", "--yes")
    done = run("models", "import", file)
    assert (done.status, done.out) == (0, f"Imported mine into {mine.folder}\n")
    assert names() == ["nuclei", "mine", "yours"]


def test_importing_what_is_no_model(tmp_path):
    (tmp_path / "a.nucleiseg").write_text("Once upon a time")
    done = run("models", "import", tmp_path / "a.nucleiseg")
    assert done.status == 2
    assert "is not an exported model" in done.err
    assert "Traceback" not in done.err

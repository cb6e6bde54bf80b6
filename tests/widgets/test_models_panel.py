from types import SimpleNamespace

import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QFileDialog, QInputDialog, QMessageBox

from napari_nucleiseg.models.registry import (
    RUN_FILE,
    find_model,
    list_models,
    models_folder,
    save_model,
)
from napari_nucleiseg.widgets.train import models_panel
from napari_nucleiseg.widgets.train.card_dialog import CardDialog
from napari_nucleiseg.widgets.train.models_panel import ModelsPanel


def make_model(name, **changes):
    card = find_model().card.replace(name=name, **changes)
    return save_model(models_folder() / name, card, {RUN_FILE: name.encode()})


@pytest.fixture
def panel(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "own models"))
    make_model("mine", title="For mine")
    widget = ModelsPanel()
    qtbot.addWidget(widget)
    widget.resize(320, 300)
    widget.show()
    return widget


@pytest.fixture
def answers(monkeypatch):
    """What the user answers to the dialogs, and what was asked."""
    given = SimpleNamespace(text=None, file="", yes=False, asked=[])

    def text(parent, title, label, **kwargs):
        given.asked.append((title, label, kwargs["text"]))
        answer = given.text.pop(0) if isinstance(given.text, list) else given.text
        return (answer or "", answer is not None)

    def file(parent, title, folder, filters):
        given.asked.append((title, folder))
        return str(given.file), filters

    def question(parent, title, text, *_):
        given.asked.append((title, text))
        buttons = QMessageBox.StandardButton
        return buttons.Yes if given.yes else buttons.Cancel

    monkeypatch.setattr(QInputDialog, "getText", text)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", file)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", file)
    monkeypatch.setattr(QMessageBox, "question", question)
    return given


def choose(panel, name):
    item = panel.list.findItems(name, Qt.MatchFlag.MatchStartsWith)[0]
    panel.list.setCurrentItem(item)


def press(qtbot, panel, name):
    qtbot.mouseClick(panel.buttons[name], Qt.MouseButton.LeftButton)


def shown(panel):
    return [panel.list.item(i).text() for i in range(panel.list.count())]


def names():
    return [model.card.name for model in list_models()]


def test_the_models_are_listed_and_fit_a_narrow_dock(panel):
    assert shown(panel) == ["nuclei (built in)", "mine"]
    assert panel.minimumSizeHint().width() <= 300
    make_model("another")
    choose(panel, "mine")
    panel.refresh()
    assert shown(panel) == ["nuclei (built in)", "another", "mine"]
    assert panel.chosen_model().card.name == "mine"


def test_a_built_in_model_can_only_be_looked_at_and_exported(panel):
    choose(panel, "nuclei")
    able = {name for name, button in panel.buttons.items() if button.isEnabled()}
    assert able == {"Card", "Export", "Import"}
    assert "cannot be changed" in panel.buttons["Delete"].toolTip()
    choose(panel, "mine")
    assert all(button.isEnabled() for button in panel.buttons.values())


def test_the_card_can_be_read(qtbot, panel, monkeypatch):
    dialogs = []
    monkeypatch.setattr(
        models_panel.CardDialog, "exec", lambda dialog: dialogs.append(dialog)
    )
    choose(panel, "mine")
    press(qtbot, panel, "Card")
    text = dialogs[0].text
    assert text.isReadOnly()
    assert "For mine" in text.toPlainText()
    assert str(models_folder() / "mine") in text.toPlainText()
    # Notes are kept when it is closed.
    dialogs[0].notes.setPlainText("Good on gut.\nMisses mitoses.")
    dialogs[0].reject()
    assert find_model("mine").card.notes == "Good on gut.\nMisses mitoses."
    panel.refresh()  # as after `exec`, which the stand-in has left too early
    press(qtbot, panel, "Card")
    assert "Misses mitoses." in dialogs[1].notes.toPlainText()


def test_the_pictures_of_a_training_are_in_the_card(qtbot, panel):
    model = find_model("mine")
    panels = model.folder / "report" / "panels"
    panels.mkdir(parents=True)
    for path in (panels / "epoch_0003.png", panels.parent / "curves.png"):
        Image.new("RGB", (300, 100)).save(path)
    dialog = CardDialog(model)
    qtbot.addWidget(dialog)
    dialog.show()
    assert len(dialog.pictures) == 2
    qtbot.mouseClick(dialog.pictures[0], Qt.MouseButton.LeftButton)
    (window,) = dialog.findChildren(QDialog, "enlarged")
    assert window.isVisible()


def test_renaming(qtbot, panel, answers):
    choose(panel, "mine")
    answers.text = " yours "
    with qtbot.waitSignal(panel.changed):
        press(qtbot, panel, "Rename")
    assert names() == ["nuclei", "yours"]
    assert shown(panel) == ["nuclei (built in)", "yours"]
    assert panel.chosen_model().card.name == "yours"
    assert panel.message.text() == "mine is now yours."
    for answer in (None, "yours"):  # thought better of it
        answers.text = answer
        with qtbot.assertNotEmitted(panel.changed):
            press(qtbot, panel, "Rename")
    assert names() == ["nuclei", "yours"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "There is a model named 'other' already"),
        ("nuclei", "'nuclei' is the name of a built-in model"),
        ("a b", "must be 1 to 64 letters"),
        ("", "must be 1 to 64 letters"),
    ],
)
def test_a_name_that_will_not_do_is_said_in_the_panel(
    qtbot, panel, answers, name, message
):
    make_model("other")
    panel.refresh()
    choose(panel, "mine")
    answers.text = name
    with qtbot.assertNotEmitted(panel.changed):
        press(qtbot, panel, "Rename")
    assert message in panel.message.text()
    assert panel.message.isVisible()
    assert names() == ["nuclei", "mine", "other"]
    choose(panel, "other")
    assert not panel.message.isVisible()


def test_deleting_asks_first(qtbot, panel, answers):
    choose(panel, "mine")
    with qtbot.assertNotEmitted(panel.changed):
        press(qtbot, panel, "Delete")
    assert names() == ["nuclei", "mine"]
    assert str(models_folder() / "mine") in answers.asked[0][1]
    answers.yes = True
    with qtbot.waitSignal(panel.changed):
        press(qtbot, panel, "Delete")
    assert names() == ["nuclei"]
    assert shown(panel) == ["nuclei (built in)"]


def test_a_model_that_cannot_be_deleted_is_still_there(qtbot, panel, answers):
    choose(panel, "mine")
    (models_folder() / "mine" / "notes.txt").write_text("precious")
    answers.yes = True
    with qtbot.assertNotEmitted(panel.changed):
        press(qtbot, panel, "Delete")
    assert "holds what is not the model's (notes.txt)" in panel.message.text()
    assert names() == ["nuclei", "mine"]


def test_a_model_that_has_gone_meanwhile(qtbot, panel, answers):
    choose(panel, "mine")
    for path in (models_folder() / "mine").iterdir():
        path.unlink()
    (models_folder() / "mine").rmdir()
    answers.text = "yours"
    press(qtbot, panel, "Rename")
    assert "mine could not be renamed" in panel.message.text()
    assert shown(panel) == ["nuclei (built in)"]


def test_exporting_and_importing_again(qtbot, panel, answers, tmp_path):
    choose(panel, "mine")
    press(qtbot, panel, "Export")  # and cancel
    assert answers.asked[0][1].endswith("mine.nucleiseg")
    answers.file = tmp_path / "mine"
    with qtbot.assertNotEmitted(panel.changed):
        press(qtbot, panel, "Export")
    file = tmp_path / "mine.nucleiseg"
    assert file.is_file()
    assert str(file) in panel.message.text()
    answers.yes = True
    press(qtbot, panel, "Delete")
    answers.file = file
    with qtbot.waitSignal(panel.changed):
        press(qtbot, panel, "Import")
    assert panel.chosen_model() == find_model("mine")


def test_only_the_file_that_the_dialog_asked_about_is_replaced(
    qtbot, panel, answers, tmp_path
):
    choose(panel, "mine")
    file = tmp_path / "a.nucleiseg"
    file.write_text("precious")
    answers.file = tmp_path / "a"
    press(qtbot, panel, "Export")
    assert "exists already" in panel.message.text()
    assert file.read_text() == "precious"
    answers.file = file
    press(qtbot, panel, "Export")
    assert file.read_bytes()[:2] == b"PK"


def test_an_imported_model_whose_name_is_taken_gets_another(
    qtbot, panel, answers, tmp_path
):
    choose(panel, "mine")
    answers.file = tmp_path / "a.nucleiseg"
    press(qtbot, panel, "Export")
    answers.text = [None]
    with qtbot.assertNotEmitted(panel.changed):
        press(qtbot, panel, "Import")
    assert answers.asked[-1][2] == "mine-2"
    answers.text = ["mine", "mine-2"]  # the first is taken too
    with qtbot.waitSignal(panel.changed):
        press(qtbot, panel, "Import")
    assert names() == ["nuclei", "mine", "mine-2"]
    assert panel.chosen_model().card.name == "mine-2"


def test_a_file_that_is_no_model_is_said_in_the_panel(qtbot, panel, answers, tmp_path):
    answers.file = tmp_path / "a.nucleiseg"
    answers.file.write_text("Once upon a time")
    with qtbot.assertNotEmitted(panel.changed):
        press(qtbot, panel, "Import")
    assert "is not an exported model" in panel.message.text()
    assert names() == ["nuclei", "mine"]

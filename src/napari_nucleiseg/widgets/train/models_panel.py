"""The list of models, and what can be done with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.models import library
from napari_nucleiseg.models.registry import Model, list_models, unique_name
from napari_nucleiseg.widgets.shared.controls import MessageLine, explain
from napari_nucleiseg.widgets.train.card_dialog import CardDialog

_FILES = f"Nuclei models (*{library.SUFFIX});;All files (*)"

_BUILT_IN = "The built-in model cannot be changed."


class ModelsPanel(QWidget):
    """The list of models, and buttons to manage the user's own.

    Parameters
    ----------
    parent : QWidget, optional
        See Qt.
    """

    #: Emitted when a model was renamed, deleted or imported, with the old and the new
    #: name of the one that was renamed, if one was.
    changed = Signal(dict)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = QListWidget()
        self.list.setObjectName("models_list")
        self.list.setToolTip("The models there are: built-in ones, then your own.")
        self.list.setMinimumHeight(72)
        self.list.setMaximumHeight(110)
        self.message = MessageLine("models_message")
        # An error names files: it can be copied from here.
        self.message.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.message.hide()
        self._tips = {
            "Card": "What the model is, how it was trained, and how good it is.",
            "Rename": "Give the model another name.",
            "Export": "Write the model as one file, to keep or to pass on.",
            "Import": "Add a model from an exported file.",
            "Delete": "Delete the model from this computer.",
        }
        actions: dict[str, Callable[[], None]] = {
            "Card": self.show_card,
            "Rename": self.rename,
            "Export": self.export,
            "Import": self.import_file,
            "Delete": self.delete,
        }
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        for number, (name, action) in enumerate(actions.items()):
            button = self.buttons[name] = QPushButton(f"{name}…")
            button.setObjectName(f"models_{name.lower()}")
            button.clicked.connect(lambda *_, act=action: self._try(act))
            grid.addWidget(button, number // 3, number % 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addLayout(grid)
        layout.addWidget(self.message)
        layout.addStretch(1)
        self.list.currentItemChanged.connect(self._on_choice_changed)
        self.list.itemDoubleClicked.connect(lambda *_: self._try(self.show_card))
        self.refresh()

    # ---- the list -------------------------------------------------------------------

    def refresh(self, choose: str | None = None) -> None:
        """Read the list of models again.

        Parameters
        ----------
        choose : str, optional
            Model to choose; the one that is chosen, if it is still there, if not
            given.
        """
        chosen = self.chosen_model()
        wanted = choose or (chosen.card.name if chosen else None)
        self.list.blockSignals(True)
        self.list.clear()
        for model in list_models():
            ending = " (built in)" if model.built_in else ""
            item = QListWidgetItem(model.card.name + ending)
            item.setData(Qt.ItemDataRole.UserRole, model)
            item.setToolTip(f"{model.card.title}\n{model.folder}")
            self.list.addItem(item)
            if model.card.name == wanted:
                self.list.setCurrentItem(item)
        if self.list.currentItem() is None:
            self.list.setCurrentRow(0)
        self.list.blockSignals(False)
        self._update_buttons()

    def chosen_model(self) -> Model | None:
        """Return the model that is chosen, if there is one."""
        item = self.list.currentItem()
        return None if item is None else item.data(Qt.ItemDataRole.UserRole)

    def _on_choice_changed(self, *_: object) -> None:
        self._say("")
        self._update_buttons()

    def _update_buttons(self) -> None:
        model = self.chosen_model()
        for name, button in self.buttons.items():
            own_only = name in ("Rename", "Delete")
            refused = own_only and model is not None and model.built_in
            button.setEnabled(name == "Import" or not (model is None or refused))
            button.setToolTip(_BUILT_IN if refused else self._tips[name])

    # ---- what the buttons do --------------------------------------------------------

    def _try(self, action: Callable[[], None]) -> None:
        """Do something; what goes wrong is said in the panel."""
        self._say("")
        try:
            action()
        except (OSError, ValueError) as e:
            self._say(explain(e))
            # Perhaps the list on the screen is out of date.
            self.refresh()

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _on_models_changed(
        self,
        text: str,
        choose: str | None = None,
        renamed: dict[str, str] | None = None,
    ) -> None:
        self.refresh(choose)
        self._say(text)
        self.changed.emit(renamed or {})

    def show_card(self) -> None:
        """Show the chosen model's card."""
        if (model := self.chosen_model()) is not None:
            CardDialog(model, self).exec()
            self.refresh()

    def rename(self) -> None:
        """Ask for another name for the chosen model."""
        model = self.chosen_model()
        if model is None:
            return
        old = model.card.name
        name, given = QInputDialog.getText(
            self, f"Rename {old}", "New name (letters, digits, - and _):", text=old
        )
        name = name.strip()
        if given and name != old:
            library.rename_model(model, name)
            self._on_models_changed(f"{old} is now {name}.", name, {old: name})

    def delete(self) -> None:
        """Ask, and delete the chosen model."""
        model = self.chosen_model()
        if model is None:
            return
        name = model.card.name
        answer = QMessageBox.question(
            self,
            f"Delete {name}?",
            f"Delete the model {name} from this computer? This cannot be undone; "
            f"Export keeps a copy.\n\n{model.folder}",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        if answer == QMessageBox.StandardButton.Yes:
            library.delete_model(model)
            self._on_models_changed(f"{name} was deleted.")

    def export(self) -> None:
        """Ask for a file, and write the chosen model to it."""
        model = self.chosen_model()
        if model is None:
            return
        proposed = Path.home() / f"{model.card.name}{library.SUFFIX}"
        chosen, _ = QFileDialog.getSaveFileName(
            self, f"Export {model.card.name}", str(proposed), _FILES
        )
        if not chosen:
            return
        file = Path(chosen)
        # The dialog has asked whether to replace this very file, but no other.
        agreed = bool(file.suffix)
        if not agreed:
            file = file.with_name(file.name + library.SUFFIX)
        library.export_model(model, file, replace=agreed)
        self._say(f"{model.card.name} was written to {file}.")

    def import_file(self) -> None:
        """Ask for a file, and take the model in it among the user's own."""
        chosen, _ = QFileDialog.getOpenFileName(
            self, "Import a model", str(Path.home()), _FILES
        )
        if not chosen:
            return
        name: str | None = None
        while True:
            try:
                model = library.import_model(Path(chosen), name=name)
            except library.NameTaken as e:
                name = self._ask_name(e.name)
                if name is None:
                    return
            else:
                self._on_models_changed(
                    f"{model.card.name} was imported.", model.card.name
                )
                return

    def _ask_name(self, taken: str) -> str | None:
        """Ask what to call a model whose name is taken; None if not at all."""
        name, given = QInputDialog.getText(
            self,
            "Import a model",
            f"There is a model named {taken} already. Name for the new one:",
            text=unique_name(taken),
        )
        return name.strip() if given else None

"""Whether a network to train further is what we write, before Keras reads it.

Keras's safe mode refuses code that is in a file. This is a second lock, which needs no
Keras: a `.keras` file from elsewhere is refused when it is imported, and again before
it is loaded, if it holds more than layers of Keras itself.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

#: What such a file consists of, and how many bytes each may have, unpacked.
MEMBERS = {"metadata.json": 2**16, "config.json": 2**24, "model.weights.h5": 2**30}

#: Classes whose configuration is code, or leads to code.
_CODE = {"lambda", "__lambda__", "function", "torchmodulewrapper", "tfsmlayer"}


def check_keras_file(path: Path) -> None:
    """Check that a file holds a network made of Keras's own layers, and no code.

    Parameters
    ----------
    path : pathlib.Path
        A ``.keras`` file.

    Raises
    ------
    ValueError
        If it is no such file, or holds anything else; the message says what.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            for info in infos:
                most = MEMBERS.get(info.filename)
                if most is None:
                    raise ValueError(f"it holds the file {info.filename!a}")
                if info.file_size > most:
                    raise ValueError(
                        f"{info.filename} in it has {info.file_size} bytes; {most} "
                        "are the most"
                    )
            names = sorted(info.filename for info in infos)
            if names != sorted(MEMBERS):
                raise ValueError(
                    f"it must hold {', '.join(sorted(MEMBERS))}, each once; it holds "
                    f"{', '.join(names) or 'nothing'}"
                )
            _check_config(json.loads(archive.read("config.json")))
            _check_weights(archive.read("model.weights.h5"))
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as e:
        raise ValueError(f"{path} is no network to train further: {e}.") from e
    except ValueError as e:
        raise ValueError(f"{path} is refused as a network: {e}.") from e


def _check_weights(content: bytes) -> None:
    """Raise ValueError if weights are elsewhere than in the file itself."""
    import h5py

    with h5py.File(io.BytesIO(content)) as file:
        waiting: list[h5py.Group] = [file]
        while waiting:
            group = waiting.pop()
            for name in group:
                kind = group.get(name, getclass=True, getlink=True)
                if kind is not h5py.HardLink:
                    raise ValueError(f"its weights have a link, {name!a}")
                found = group[name]
                if isinstance(found, h5py.Group):
                    waiting.append(found)
                elif not isinstance(found, h5py.Dataset):
                    raise ValueError(f"its weights have {name!a}, which is no array")
                elif found.external or found.is_virtual:
                    raise ValueError(f"its weights {name!a} are in another file")


def _check_config(config: Any) -> None:
    """Raise ValueError at the first thing that is not of Keras itself."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        if "class_name" not in value:
            continue
        kind, module = value["class_name"], value.get("module")
        named = value.get("registered_name")
        own = module is None or str(module).split(".")[0] == "keras"
        if not own or named not in (None, kind) or str(kind).lower() in _CODE:
            raise ValueError(
                f"its configuration names {kind!a} of {module or named!a}, which is "
                "not a layer of Keras that is known to run no code of the file"
            )

"""What the README and its neighbours say is there, and is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "NOTICES.md")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_readme_is_one_page():
    assert len(read("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", ROOT_PAGES)
def test_links_lead_to_files_that_there_are(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", read(page))
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing


def test_every_module_that_the_map_of_the_code_names_is_there():
    package = ROOT / "src" / "napari_nucleiseg"
    rooms = "|".join(path.name for path in package.iterdir() if path.is_dir())
    named = set(re.findall(rf"`((?:{rooms})/[\w/.]*)`", read("CONTRIBUTING.md")))
    assert named
    assert not [name for name in named if not (package / name).exists()]


def test_data_and_weights_have_notices():
    notices = read("NOTICES.md")
    assert {"BBBC038v1", "NuInsSeg", "TNBC", "Aitslab"} <= set(
        re.findall(r"\w+", notices)
    )
    assert notices.count("Licence: CC") == notices.count("\n- **")

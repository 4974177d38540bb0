"""What the tests of the clients share: the installed clients, and a scratch folder with something to read."""

from pathlib import Path

import pytest

from tests.clients.answers import NOTES
from tests.clients.install import copy_programs, missing

collect_ignore = ["programs"]  # they run with the clients' own packages, which are not here


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A client's folder and home; what belongs to the test lies beside it."""
    assert not missing(), "`make test-clients` installs the clients"
    copy_programs()
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "notes.txt").write_text(NOTES)
    return folder

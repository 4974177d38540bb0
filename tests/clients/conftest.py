"""What the tests of the clients share: the installed clients, a scratch folder with something to read, and models behind different upstreams."""

from pathlib import Path

import pytest

from tests.clients.answers import NOTES
from tests.clients.install import copy_programs, missing
from tests.clients.scripted_model import ScriptedModel
from tests.support.sdk_model import ScriptedAgent

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


@pytest.fixture(params=[ScriptedModel, ScriptedAgent], ids=["composer", "sdk-bridge"])
def scripted(request: pytest.FixtureRequest) -> type[ScriptedModel] | type[ScriptedAgent]:
    """A model behind each upstream that has its tools called by the client; the same script is played over both."""
    kind: type[ScriptedModel] | type[ScriptedAgent] = request.param
    return kind

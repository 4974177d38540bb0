"""The count of what the case table's tests tried, shown behind the tests."""

import pytest

from tests.machine.forms import Tally

_TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(request) -> Tally:
    return request.config.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(_TALLY, None)
    if found is not None:
        terminalreporter.write_sep("-", "the marker grammar")
        terminalreporter.write_line(str(found))

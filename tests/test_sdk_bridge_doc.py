"""docs/sdk-bridge.md holds what the program does: its settings load, its names exist, its figures are measured."""

import ast
import re
from collections import defaultdict

import pytest

from pipeline import errors
from pipeline.notices import NOTICES
from pipeline.prompt.agent_message import agent_message
from pipeline.request import Request
from pipeline.upstream.bridge.launch import NEVER_PASSED
from pipeline.upstream.bridge.scratch import PREFIX
from pipeline.upstream.bridge.states import State
from pipeline.upstream.images import MAX_BYTES
from server.config import load_settings
from server.config_schema import structs_of
from server.upstream_settings import SdkBridge
from tests.prompt.shapes import HELLO, READ, SHAPES, SUM
from tests.support.processes import ROOT
from tests.support.sdk_bridge_doc import OWN_NOTICES, REGIONS, meanings
from tests.support.settings_files import usual_umask

TEXT = (ROOT / "docs/sdk-bridge.md").read_text(encoding="utf-8")
WRITTEN = re.sub(r"^<!-- generated: .*?^<!-- end -->$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
SOURCES = "".join(path.read_text(encoding="utf-8") for room in ("pipeline", "server") for path in sorted((ROOT / room).rglob("*.py")))


def test_its_settings_are_valid(tmp_path):
    (settings,) = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    with usual_umask():
        (tmp_path / "penstock.toml").write_text(settings, encoding="utf-8")
        loaded = load_settings(overrides={}, config=None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    (upstream,) = loaded.settings.upstreams.values()
    assert isinstance(upstream, SdkBridge)


def test_every_state_of_a_run_is_drawn_and_said():
    assert meanings().keys() == {state.name for state in State}
    drawn = REGIONS["run"]()
    assert all(re.search(rf"^    {state.name} --> ", drawn, re.MULTILINE) for state in State)


def test_the_settings_that_it_names_exist():
    fields = {name for struct in structs_of(SdkBridge) for name in struct.__struct_fields__} | {
        "parallel_tool_calls",
        "response_format",
        "tool_choice",
    }
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", WRITTEN)) - set(NOTICES)
    unknown = named - fields - {kind.default_code for kind in KINDS.values()} - {"max_tokens"}
    assert {name for name in unknown if f'"{name}"' not in SOURCES} == set()
    assert set(re.findall(r"notice `(\w+)`", WRITTEN)) <= set(NOTICES)


@pytest.mark.parametrize(("status", "code"), re.findall(r"^\| (\d\d\d) `(\w+)`", WRITTEN, re.MULTILINE))
def test_the_bridge_s_own_errors_have_these_statuses(status, code):
    assert STATUSES[code] == {int(status)}


def statuses() -> dict[str, set[int]]:
    """Code -> the statuses that it is said with: those of the classes that it stands beside in a call, and of the class whose default it is."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for kind in KINDS.values():
        found[kind.default_code].add(kind.status)
    for path in BRIDGE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            words = [call.func, *call.args, *(keyword.value for keyword in call.keywords)]
            names = [word.id for word in words if isinstance(word, ast.Name)]
            said = [word for word in (*words, *(constants[name] for name in names if name in constants)) if isinstance(word, ast.Constant)]
            for word in said:
                if isinstance(word.value, str):
                    found[word.value] |= {KINDS[name].status for name in names if name in KINDS}
    return found


KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.PenstockError)}
BRIDGE = [
    *(ROOT / "pipeline/upstream/bridge").glob("*.py"),
    *(ROOT / "pipeline/upstream").glob("sdk_*.py"),
    *(ROOT / "pipeline/wire").glob("sdk_*.py"),
    ROOT / "pipeline/wire/outcomes.py",
]
OTHERS = [path for path in (ROOT / "pipeline").rglob("*.py") if path not in BRIDGE and path.name != "notices.py"]
STATUSES = statuses()


def test_its_notices_are_those_that_only_this_upstream_says():
    said = {name for name in NOTICES if any(f'Notice("{name}"' in path.read_text(encoding="utf-8") for path in BRIDGE)}
    others = {name for name in said if any(f'"{name}"' in path.read_text(encoding="utf-8") for path in OTHERS)}
    assert said - others == set(OWN_NOTICES)


def test_no_cell_breaks_its_table():
    for table in re.findall(r"^(?:\|.*\n)+", TEXT, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table[:200]


def test_its_figures():
    """What stands in front of a conversation, in characters; and what no variable may bring."""
    without, with_tools = (int(figure) for figure in re.findall(r"some (\d+) characters in front of it, (\d+) where there are tools", WRITTEN)[0])
    assert abs(len(agent_message(SHAPES["turns"])) - len("\n\nUSER: Hello\n\nASSISTANT: Hi.\n\nUSER: Again") - without) < 30
    offered = {len(agent_message(Request("m", HELLO, tools))) - len("\n\nUSER: Hello") for tools in ((READ,), (READ, SUM))}
    assert all(abs(length - with_tools) < 30 for length in offered)
    assert len(offered) == 1
    assert f"`{PREFIX}…`" in TEXT
    assert MAX_BYTES == 1 << 20
    assert f"`{NEVER_PASSED[0]}`" in TEXT

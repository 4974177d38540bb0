"""The documents hold what the program says, their links lead somewhere, and their commands run."""

import re
import subprocess
from enum import Enum

import msgspec
import pytest

from pipeline.machine.markers import SPELLINGS
from server.upstream_settings import ToolPolicy
from tests.machine.cases import CASES
from tests.support.documents import ASKED, DOCUMENTS, ROOT, fill
from tests.support.markdown import code, diagram
from tests.support.processes import PENSTOCK, clean_environment
from tests.support.tool_calls_doc import MEANINGS, PARTS, REGIONS
from tests.support.tool_calls_examples import COMPARED_WITH

TOOL_CALLS = (ROOT / "docs/tool-calls.md").read_text(encoding="utf-8")
GENERATED = re.compile(r"^<!-- generated: .*?^<!-- end -->$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_would_be_written(name):
    held = (ROOT / name).read_text(encoding="utf-8")
    assert DOCUMENTS[name](held) == held, "run: make docs"


def test_writing_again_changes_nothing():
    old = "a\n<!-- generated: x -->\n<!-- end -->\nb\n"
    once = fill(old, {"x": lambda: "new"})
    assert once != old
    assert fill(once, {"x": lambda: "new"}) == once
    assert fill(once, {"x": lambda: "newer"}) == once.replace("new", "newer")


@pytest.mark.parametrize(
    "text",
    [
        "nothing generated\n",
        "<!-- generated: y -->\n<!-- end -->\n",
        "<!-- generated: x -->\nno end\n",
        "<!-- generated: x -->\n<!-- generated: x -->\n<!-- end -->\n",
        "<!-- generated: x -->\n<!-- end -->\n<!-- end -->\n",
    ],
    ids=["no place", "another name", "no end", "no end before the next", "an end too many"],
)
def test_places_and_functions_match_one_to_one(text):
    with pytest.raises(ValueError, match=r"generated place|in the code alone"):
        fill(text, {"x": lambda: "new"})


def test_a_place_that_is_not_written_would_be_seen():
    assert fill(TOOL_CALLS, {**REGIONS, "stream": lambda: "something else"}) != TOOL_CALLS


class Door(Enum):
    OPEN = 1
    SHUT = 2
    STUCK = 3


def test_a_diagram_draws_every_transition():
    drawn = diagram({Door.OPEN: {"push": Door.SHUT, "pull {": Door.SHUT, ",": Door.OPEN}, Door.SHUT: {}, Door.STUCK: {}}, Door.OPEN)
    assert drawn.splitlines()[3:] == [
        "    [*] --> OPEN",
        "    OPEN --> SHUT: push / pull opening brace",
        "    OPEN --> OPEN: comma",
        "    SHUT --> [*]",
        "```",
        "",
        "Anything else leads to STUCK.",
    ]


@pytest.mark.parametrize(("text", "expected"), [("a|b", "`a\\|b`"), ("a`b", "``a`b``"), ("`a", "`` `a ``")])
def test_code_stays_in_its_cell(text, expected):
    assert code(text) == expected


def test_every_row_of_the_case_table_and_every_marker_is_in_it():
    assert max(PARTS.values()) == max(row.number for row in CASES)
    assert list(PARTS.values()) == sorted(PARTS.values())
    assert MEANINGS.keys() == SPELLINGS.keys()
    assert len(re.findall(r"^\| \d+ \|", REGIONS["cases"](), re.MULTILINE)) == len(CASES)


def test_no_cell_breaks_its_table():
    """Every line of a table has as many cells as its head; a `|` in a cell is escaped."""
    for table in re.findall(r"^(?:\|.*\n)+", TOOL_CALLS, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table[:200]


@pytest.mark.parametrize("name", [*(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))), "README.md", "ARCHITECTURE.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)\s]+)?\)", text):
        if not target.startswith("http"):
            path = (ROOT / name).parent / target if target else ROOT / name
            assert path.exists(), target
            assert not anchor or anchor[1:] in anchors(path.read_text(encoding="utf-8")), anchor


def test_a_file_that_architecture_names_is_where_it_says():
    """A name without its whole path was named with it before, or is in the folder of the last one that was."""
    folder, whole = ROOT, list[str]()
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")):
        if (ROOT / name).exists():
            folder = (ROOT / name).parent if name.endswith(".py") else ROOT / name
            whole.append(name)
        elif name.endswith(".py"):
            assert (folder / name).exists() or any(each.endswith(f"/{name}") for each in whole), f"{name}, in {folder.relative_to(ROOT)}"


def test_make_says_which_documents_it_writes():
    (told,) = re.findall(r"^docs:.*## (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"docs/[\w-]+\.md", told)) == set(DOCUMENTS | ASKED)


def anchors(text: str) -> set[str]:
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_it_names_exists():
    written = GENERATED.sub("", TOOL_CALLS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    fields = {field.encode_name for field in msgspec.structs.fields(ToolPolicy)}
    assert {target for target in re.findall(r"`make (\w+)", written) if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
    assert set(re.findall(r"`tools\.(\w+)", written)) <= fields
    assert f"https://github.com/{COMPARED_WITH})" in written


def test_its_commands_run():
    commands = [command for block in re.findall(r"^```console\n(.*?)^```", TOOL_CALLS, re.DOTALL | re.MULTILINE) for command in block.splitlines()]
    assert commands
    for command in commands:
        words = command.removeprefix("$ ").split()
        assert words[0] == ".venv/bin/penstock"
        done = subprocess.run([PENSTOCK, *words[1:]], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout

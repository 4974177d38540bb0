"""The alias tables: what they hold, and what names and keys they resolve to on the tools that a client offers."""

import subprocess
import sys
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.machine.tools.aliases import OBSERVED, alias_table_markdown, concept_of, concepts, fold, roles_of
from pipeline.machine.tools.inventory import MAX_CALLED, Inventory
from pipeline.machine.tools.json_types import ANY
from pipeline.machine.tools.schema import MAX_KEY_CHARS
from pipeline.request import Tool


def tool(name: str, /, **types: str) -> Tool:
    return Tool(name, parameters={"type": "object", "properties": {key: {"type": kind} for key, kind in types.items()}})


WRITE = tool("write", filePath="string", content="string")
EDIT = tool("edit", filePath="string", oldString="string", newString="string", replaceAll="boolean")
BASH = tool("bash", command="string", timeout="integer")
OPENCODE = [
    WRITE,
    EDIT,
    BASH,
    tool("read", filePath="string", offset="integer", limit="integer"),
    tool("glob", pattern="string", path="string"),
    tool("grep", pattern="string", path="string", include="string"),
    tool("todowrite", todos="array"),
    tool("task", description="string", prompt="string", subagent_type="string"),
    tool("webfetch", url="string", format="string", timeout="number"),
    tool("skill", name="string"),
]
ROWS = [(concept, row) for concept in concepts() for row in concept.rows]
NAMES = sorted({row.tool for _, row in ROWS} | {"Read", "get_weather", "", "_", "READ", "grep-search"})
KEYS = sorted({key for _, row in ROWS for key in row.arguments.values()} | {"extra", "file path", "-A", ""})
ids = [f"{row.client} {row.tool} {number}" for number, (_, row) in enumerate(ROWS)]


# -- what the tables hold --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concept", "row"), ROWS, ids=ids)
def test_every_row_is_whole_and_says_where_it_was_read(concept, row):
    assert row.source == OBSERVED or (row.source.startswith("https://") and " " not in row.source)
    assert date(2026, 1, 1) < row.seen <= date.today()
    assert row.arguments
    assert set(row.arguments) <= set(concept.roles), "a role that the concept does not have"


@pytest.mark.parametrize("concept", concepts(), ids=[concept.name for concept in concepts()])
def test_a_concept_is_whole(concept):
    assert any(role.required for role in concept.roles.values()), "nothing tells whether a tool is meant"
    assert not any(role.required and role.drop for role in concept.roles.values())
    assert {role.type for role in concept.roles.values()} <= ANY
    assert set(concept.roles) == {role for row in concept.rows for role in row.arguments}, "a role that no row spells"


@pytest.mark.parametrize(("concept", "row"), ROWS, ids=ids)
def test_a_row_that_is_offered_says_how_to_know_the_tool(concept, row):
    required = {role for role, meaning in concept.roles.items() if meaning.required}
    assert not row.offered or required <= set(row.arguments), "a required role has no key, so that no tool is like this row"
    assert row.offered or not row.marks
    assert not {fold(mark) for mark in row.marks} & {fold(row.arguments[role]) for role in required if role in row.arguments}


def test_what_models_were_only_seen_to_write_is_not_offered():
    assert not [row.tool for _, row in ROWS if row.offered and row.source == OBSERVED]


def test_a_client_that_is_offered_everything_of_its_own_is_understood():
    """Each row that is offered, with the keys that it asks for, takes a call under any other name of its concept."""
    for concept, row in ROWS:
        if row.offered:
            for _, other in (pair for pair in ROWS if pair[0] is concept and fold(pair[1].tool) != fold(row.tool)):
                schema = Inventory([whole(concept, row)]).find(other.tool)
                assert schema is not None, (row, other.tool)
                assert (schema.name, schema.alias) == (row.tool, other.tool)


def test_a_tool_s_name_means_one_concept():
    meanings = {(fold(row.tool), concept.name) for concept, row in ROWS}
    assert len(meanings) == len({name for name, _ in meanings})


def test_a_key_means_one_role_in_a_concept():
    meanings = {(concept.name, fold(key), role) for concept, row in ROWS for role, key in row.arguments.items()}
    assert len(meanings) == len({(concept, key) for concept, key, _ in meanings})


def test_all_spellings_can_be_found_behind_a_marker():
    """The scan for keys takes words of a bounded length; a spelling that is none would never be seen."""
    for key in (key for _, row in ROWS for key in row.arguments.values()):
        assert len(key) <= MAX_KEY_CHARS
        assert fold(key)
        assert not set(key) & set(" \t\r\n<>=:")


def test_only_the_rows_of_the_public_record_say_that_they_were_observed():
    observed = {(row.tool, *sorted(row.arguments.values())) for _, row in ROWS if row.source == OBSERVED}
    assert observed == {("write_file", "new_contents", "target_file"), ("edit_file", "new_contents", "old_string", "path"), ("delete", "path")}


def test_the_tables_are_not_read_before_they_are_needed():
    program = """if True:
        import sys
        from pipeline.machine.tools.inventory import Inventory
        from pipeline.request import Tool
        inventory = Inventory([Tool("write", parameters={"properties": {"filePath": {}, "content": {}}})])
        schema = inventory.find("Write")
        assert schema.key("file_path") == "filePath" and schema.accepts_key("content", "\\n", frozenset())
        before = "tomllib" in sys.modules
        inventory.find("write_file")
        print(before, "tomllib" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False True\n"


def test_the_document_shows_every_row():
    lines = alias_table_markdown().splitlines()
    assert alias_table_markdown().endswith("\n")
    assert [line for line in lines if line.startswith("### ")] == [f"### {concept.name[0].upper()}{concept.name[1:]}" for concept in concepts()]
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| client", "| ---"))]
    assert len(rows) == len(ROWS)
    for line, (concept, row) in zip(rows, ROWS, strict=True):
        assert line.count("|") == len(concept.roles) + 5
        assert (" | no | " in line) is not row.offered
        assert all(f"`{mark}`" in line for mark in row.marks)
        assert line.startswith(f"| {row.client} | `{row.tool}` | ")
        assert row.source in line
        assert all(f"`{key}`" in line for key in row.arguments.values())


# -- what they resolve to --------------------------------------------------------------------------------------------------------------------------

MAPPED = {
    "40 a file under Composer's names": ("write_file", "write", {"target_file": "filePath", "new_contents": "content", "extra": None}),
    "41 an edit under Composer's names": ("edit_file", "edit", {"path": "filePath", "old_string": "oldString", "new_contents": "newString"}),
    "41 a command under its short name": ("run_terminal_cmd", "bash", {"cmd": "command"}),
    "41 the editor's own edit": ("StrReplace", "edit", {"path": "filePath", "old_string": "oldString", "new_string": "newString"}),
    "43 a command": ("run_terminal_cmd", "bash", {"command": "command"}),
    "a shell": ("Shell", "bash", {"command": "command"}),
    "a file to read": ("read_file", "read", {"target_file": "filePath", "offset": "offset"}),
    "a search for names": ("glob_file_search", "glob", {"glob_pattern": "pattern", "target_directory": "path"}),
    "a search in files": ("grep_search", "grep", {"query": "pattern", "include_pattern": "include"}),
    "to-dos fold": ("todo_write", "todowrite", {"todos": "todos", "merge": None}),
    "a skill": ("use_skill", "skill", {"skill_name": "name"}),
    "a sub-agent": ("Agent", "task", {"prompt": "prompt", "subagent_type": "subagent_type"}),
    "a replacement everywhere": ("search_replace", "edit", {"replace_all": "replaceAll"}),
}


@pytest.mark.parametrize(("called", "offered", "keys"), MAPPED.values(), ids=MAPPED)
def test_other_clients_names_are_the_offered_tool(called, offered, keys):
    schema = Inventory(OPENCODE).find(called)
    assert schema is not None
    assert schema.name == offered
    assert schema.alias == (None if fold(called) == fold(offered) else called)
    assert {key: schema.key(key) for key in keys} == keys
    for key, place in keys.items():
        assert schema.accepts_key(key, "\n", frozenset()) is (place is not None)
        assert place is None or not schema.accepts_key(key, "\n", frozenset({place}))


@pytest.mark.parametrize("name", ["delete", "Delete", "delete_file", "rm", "apply_patch", "update_plan", "codebase_search", "web_search"])
def test_a_tool_that_was_not_offered_is_not_made_of_another(name):
    """Case 42 among them: whoever has only a shell is never sent a command that deletes."""
    assert Inventory(OPENCODE).find(name) is None


def test_arguments_have_other_names_under_the_tool_s_own_name_too():
    schema = Inventory([tool("Write", filePath="string", content="string")]).find("Write")
    assert schema is not None
    assert (schema.alias, schema.key("contents"), schema.key("target_file")) == (None, "content", "filePath")
    assert schema.accepts_key("contents", "\n", frozenset({"filePath"}))
    assert not schema.accepts_key("contents", "\n", frozenset({"content"}))


def test_what_may_be_left_out_is_left_out_only_where_it_has_no_place():
    bare, described = (Inventory([offered]).find("Shell") for offered in (BASH, tool("bash", command="string", description="string")))
    assert bare is not None
    assert described is not None
    assert bare.drops("description")
    assert not described.drops("description")
    assert bare.drops("is_background")
    assert not bare.drops("command")
    assert not bare.drops("timeout_ms"), "a time limit is no word for people"
    assert bare.accepts_key("explanation", "\n", frozenset({"command"}))
    assert not bare.accepts_key("Explanation", "\n", frozenset({"command", "explanation"}))
    background = Inventory([tool("Bash", command="string", run_in_background="boolean")]).find("run_terminal_cmd")
    assert background is not None
    assert background.key("is_background") == "run_in_background"


UNKNOWN = {
    "two tools do it": ("run_terminal_cmd", [BASH, tool("exec_command", cmd="string")]),
    "the command is a list of words": ("run_terminal_cmd", [tool("shell", command="array", workdir="string")]),
    "the edits are a list": ("StrReplace", [tool("edit", path="string", edits="array")]),
    "the edit is a sketch": ("StrReplace", [tool("edit_file", target_file="string", instructions="string", code_edit="string")]),
    "the files are a list": ("Read", [tool("read_file", files="array")]),
    "two properties are the path": ("write_file", [tool("write", path="string", file_path="string", content="string")]),
    "the tool says nothing of its arguments": ("run_terminal_cmd", [Tool("bash")]),
    "the name folds to two tools": ("READ", [tool("read", path="string"), tool("Read", path="integer")]),
    "no tools": ("run_terminal_cmd", []),
}


MCP_FILESYSTEM = [
    tool("read_file", path="string", tail="number", head="number"),
    tool("read_text_file", path="string", tail="number", head="number"),
    tool("read_media_file", path="string"),
    tool("read_multiple_files", paths="array"),
    tool("write_file", path="string", content="string"),
    tool("edit_file", path="string", edits="array", dryRun="boolean"),
    tool("create_directory", path="string"),
    tool("list_directory", path="string"),
    tool("list_directory_with_sizes", path="string", sortBy="string"),
    tool("directory_tree", path="string", excludePatterns="array"),
    tool("move_file", source="string", destination="string"),
    tool("search_files", path="string", pattern="string", excludePatterns="array"),
    tool("get_file_info", path="string"),
    tool("list_allowed_directories"),
]
REST = [
    tool("get", path="string", query="object"),
    tool("put", path="string", body="object"),
    tool("delete", path="string"),
    tool("list", path="string", limit="integer"),
    tool("find", path="string", pattern="string"),
    tool("search", path="string", query="string"),
    tool("task", prompt="string"),
    tool("ls", path="string"),
    tool("read", path="string"),
]
DATABASE = [
    tool("query", sql="string"),
    tool("read_query", query="string"),
    tool("write_query", query="string"),
    tool("execute_command", command="string"),
    tool("list_tables"),
    tool("describe_table", table_name="string"),
    tool("find", collection="string", filter="object"),
    tool("delete", collection="string", filter="object", path="string"),
    tool("list_files", path="string"),
    tool("file_search", query="string"),
    tool("write", table="string", content="string"),
]


@pytest.mark.parametrize("offered", [MCP_FILESYSTEM, REST, DATABASE], ids=["MCP's filesystem server", "a REST client", "a database"])
@pytest.mark.parametrize("called", sorted({row.tool for _, row in ROWS}))
def test_no_alias_leads_into_tools_of_the_same_names_that_are_something_else(called, offered):
    """Neither with all of them, nor with one alone, where no second one makes a name ambiguous."""
    for some in (offered, *([one] for one in offered)):
        found = Inventory(some).find(called)
        assert found is None or (found.alias is None and fold(found.name) == fold(called))


def test_a_tool_is_known_by_one_row_s_own_keys():
    """Roo's `search_files` has `regex`; one with `pattern` finds file names, though another client's search has that key."""
    assert Inventory([tool("search_files", path="string", regex="string")]).find("grep") is not None
    assert Inventory([tool("search_files", path="string", pattern="string")]).find("grep") is None
    assert Inventory([tool("search_files", path="string", regex="integer")]).find("grep") is None
    assert Inventory([tool("edit", filePath="string", old_string="string", newText="string")]).find("StrReplace") is None


@pytest.mark.parametrize("name", ["_", "...", "-", "", "🙂"])
def test_punctuation_means_nothing_but_itself(name):
    inventory = Inventory([tool("__", path="string"), BASH])
    assert inventory.find(name) is None
    assert (found := inventory.find("__")) is not None
    assert found.name == "__"


def test_a_schema_under_another_name_is_made_once_and_shares_what_it_knows():
    inventory = Inventory([BASH])
    own, first = inventory.find("bash"), inventory.find("run_terminal_cmd")
    assert own is not None
    assert first is not None
    assert inventory.find("run_terminal_cmd") is first
    assert first.key_pattern is own.key_pattern
    for number in range(MAX_CALLED + 1):
        spelling = "Shell" + "_" * number
        assert (found := inventory.find(spelling)) is not None
        assert (found.name, found.alias) == ("bash", spelling)
    assert inventory.find("run_terminal_cmd") is not first, "what is kept is bounded"


CANNOT_BE_TOLD = {
    "another folder": ("shell_command", BASH, {"workdir": True, "description": False, "is_background": False, "extra": False}),
    "all places": ("search_replace", tool("edit", path="string", oldText="string", newText="string"), {"replace_all": True, "instructions": False}),
    "some files": ("grep", tool("search_files", path="string", regex="string"), {"glob": True, "path": False, "explanation": False}),
    "no files": ("list_dir", tool("ls", path="string", limit="integer"), {"ignore_globs": False, "explanation": False}),
    "the whole of it": ("read_file", tool("read", filePath="string"), {"should_read_entire_file": False, "offset": False}),
}


@pytest.mark.parametrize(("called", "offered", "keys"), CANNOT_BE_TOLD.values(), ids=CANNOT_BE_TOLD)
def test_what_changes_the_deed_is_refused_and_the_rest_is_left_out(called, offered, keys):
    schema = Inventory([offered]).find(called)
    assert schema is not None
    assert {key: schema.refuses(key) for key in keys} == keys


@pytest.mark.parametrize(("called", "offered"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_could_be_wrong_is_unknown(called, offered):
    assert Inventory(offered).find(called) is None
    assert all((found := Inventory(offered).find(tool.name)) is not None and found.alias is None for tool in offered)


def test_a_tool_that_cannot_take_the_arguments_is_not_in_the_way():
    schema = Inventory([tool("shell", command="array"), tool("shell_command", command="string", workdir="string")]).find("run_terminal_cmd")
    assert schema is not None
    assert schema.name == "shell_command"


def test_a_property_that_does_not_take_the_role_s_type_is_not_its_place():
    schema = Inventory([tool("bash", command="string", run_in_background="string")]).find("bash")
    assert schema is not None
    assert schema.key("is_background") is None
    assert not schema.drops("is_background"), "there is a place, and it wants something else"


# -- for any tools and any names -------------------------------------------------------------------------------------------------------------------

kinds = st.sampled_from(["string", "integer", "boolean", "array", "object"])
spellings = st.sampled_from(NAMES) | st.text(max_size=12)
keys = st.sampled_from(KEYS) | st.text(max_size=12)
tools = st.lists(
    st.builds(lambda name, types: tool(name, **types), spellings, st.dictionaries(keys, kinds, max_size=5)),
    max_size=6,
    unique_by=lambda made: made.name,
)


@given(tools, spellings, keys, st.frozensets(keys, max_size=3))
@example([WRITE], "write_file", "new_contents", frozenset())
def test_resolution_is_total_and_means_what_was_offered(offered, name, key, done):
    inventory = Inventory(offered)
    schema = inventory.find(name)
    own = {tool.name: tool for tool in offered}
    if name in own:
        assert schema is not None
        assert (schema.name, schema.alias) == (name, None)
    if schema is None:
        return
    assert schema.name in own
    properties = own[schema.name].parameters["properties"]
    place = schema.key(key)
    assert place is None or place in properties
    assert key not in properties or place == key
    assert not (place is not None and schema.drops(key))
    schema.accepts_key(key, "\n", done)
    schema.starts_key(key, done)
    if schema.alias is not None:
        concept = concept_of(name)
        assert concept is not None
        assert concept_of(schema.name) is concept
        assert schema.alias == name
        assert all(role.type in schema.types(schema.key(spelling) or "") for spelling, role in required_spellings(schema, concept))


def required_spellings(schema, concept):
    """For each required role the spelling that the tool itself has."""
    for role, meaning in concept.roles.items():
        if meaning.required:
            yield next(key for key, found in roles_of(concept.name).items() if found == role and schema.key(key) is not None), meaning


@given(tools, spellings, st.randoms(use_true_random=False))
def test_the_order_of_the_tools_makes_no_difference(offered, name, chance):
    shuffled = list(offered)
    chance.shuffle(shuffled)
    found, again = Inventory(offered).find(name), Inventory(shuffled).find(name)
    assert (found and (found.name, found.alias)) == (again and (again.name, again.alias))


@given(st.sampled_from(ROWS), st.sampled_from(ROWS), st.sampled_from(ROWS))
def test_two_tools_of_one_concept_leave_a_third_name_unknown(first, second, called):
    offered = {row.tool: whole(concept, row) for concept, row in (first, second)}
    found = Inventory(list(offered.values())).find(called[1].tool)
    fits = [row.tool for concept, row in {row.tool: (concept, row) for concept, row in (first, second)}.values() if does(concept, row, called[0])]
    named = [name for name in offered if fold(name) == fold(called[1].tool)]
    if called[1].tool in offered:
        assert found is not None
        assert found.name == called[1].tool
    elif named:
        assert (found is not None) is (len(named) == 1)
    else:
        assert (found is not None) is (len(fits) == 1)


def does(concept, row, called):
    """Whether the tool of this row takes calls under another name of that concept: one that is not offered may be like another row of its name."""
    keys = {fold(key) for key in whole(concept, row).parameters["properties"]}
    alike = (concept.keys_of(other) for other in concept.rows if fold(other.tool) == fold(row.tool))
    return concept is called and any(needs is not None and needs <= keys for needs in alike)


def whole(concept, row):
    """A tool of this row with a property for everything that its concept is about, and for what marks it."""
    names = {
        role: row.arguments.get(role) or next(other.arguments[role] for other in concept.rows if role in other.arguments) for role in concept.roles
    }
    required = {names[role]: meaning.type for role, meaning in concept.roles.items() if meaning.required}
    types = {key: concept.roles[role].type for role, key in row.arguments.items()}
    return tool(row.tool, **required, **{mark: types.get(mark, "string") for mark in row.marks})


@given(st.sampled_from(OPENCODE), st.sampled_from([key for key in KEYS if key]), st.sampled_from(["\n", "\r\n", ": ", " ", "="]), st.integers(0, 16))
def test_a_key_that_will_be_taken_is_waited_for_at_every_cut(offered, key, separator, spaces):
    """What `accepts_key` takes when it is complete, `starts_key` must not refuse while it arrives."""
    schema = Inventory([offered]).find(offered.name)
    assert schema is not None
    text = " " * spaces + key + separator
    found = schema.key_pattern.match(text)
    if found is None or not schema.accepts_key(found["key"], found["separator"], frozenset()):
        return
    for cut in range(found.end()):
        if not schema.key_pattern.match(text[:cut]):
            assert schema.starts_key(text[:cut], frozenset()), text[:cut]


@given(st.sampled_from(OPENCODE), keys)
def test_what_cannot_become_a_key_is_not_waited_for(offered, key):
    """The hold-back inside a value is bounded by what can still become a key, also with the tables."""
    schema = Inventory([offered]).find(offered.name)
    assert schema is not None
    if schema.starts_key(key + "§", frozenset()):
        known = [*offered.parameters["properties"], *roles_of(concept.name if (concept := concept_of(offered.name)) else "")]
        assert any(fold(name).startswith(fold(key)) for name in known)

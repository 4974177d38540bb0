"""The tools and the choice among them in every form (N7, N8), what of them is left out, and what is refused."""

import pytest

from tests.support.cursor_bodies import FLAT_PATCH, GRAMMAR, HELLO, NESTED_PATCH, NESTED_READ, READ_SCHEMA, normalised, parse, refused

EMPTY = {"type": "object", "properties": {}}
FLAT_READ = {"type": "function", "name": "Read", "description": "Read a file.", "parameters": READ_SCHEMA}
ANTHROPIC_READ = {"name": "Read", "description": "Read a file.", "input_schema": READ_SCHEMA}
NOW = {"type": "function", "function": {"name": "now", "parameters": EMPTY}}


def function(parameters, **more):
    return {"type": "function", "function": {"name": "f", "parameters": parameters, **more}}


def flat(**more):
    return {"type": "function", "name": "f", **more}


def custom(**more):
    return {"type": "custom", "custom": {"name": "p", **more}}


GRAMMARS = {"type": "grammar", "grammar": GRAMMAR}

# one entry -> the tool
TOOLS = {
    "N7 nested": (NESTED_READ, NESTED_READ),
    "N7 flat": (FLAT_READ, NESTED_READ),
    "N7 flat without a type": ({"name": "f", "parameters": EMPTY}, function(EMPTY)),
    "N7 strict": (flat(strict=True), function(EMPTY, strict=True)),
    "N7 strict nested": (function(EMPTY, strict=True), function(EMPTY, strict=True)),
    "N7 strict false": (function(EMPTY, strict=False), function(EMPTY)),
    "N7 strict null": (flat(strict=None, description=None), function(EMPTY)),
    "N7 Anthropic": ({**ANTHROPIC_READ, "cache_control": {"type": "ephemeral"}}, NESTED_READ),
    "N7 Anthropic with type function": ({**ANTHROPIC_READ, "type": "function"}, NESTED_READ),
    "N7 Anthropic with type custom": ({**ANTHROPIC_READ, "type": "custom"}, NESTED_READ),
    "N7 Anthropic schema": ({"name": "f", "input_schema": {"$schema": "http://json-schema.org/draft-07/schema#", **EMPTY}}, function(EMPTY)),
    "N7 schema missing": (flat(), function(EMPTY)),
    "N7 schema null": (flat(parameters=None), function(EMPTY)),
    "N7 schema empty": (function({}), function(EMPTY)),
    "N7 schema without a type": (
        flat(parameters={"properties": {"a": {}}, "required": ["a"]}),
        function({"type": "object", "properties": {"a": {}}, "required": ["a"]}),
    ),
    "N7 schema without properties": (flat(parameters={"type": "object"}), function(EMPTY)),
    "N7 schema type null": (flat(parameters={"type": None}), function(EMPTY)),
    "N7 schema of another type": (flat(parameters={"type": "string"}), function({"type": "string"})),
    "N7 schema without a type, of alternatives": (
        flat(parameters={"anyOf": [{"$ref": "#/a"}], "$defs": {}}),
        function({"type": "object", "anyOf": [{"$ref": "#/a"}], "$defs": {}, "properties": {}}),
    ),
    "N7 grammar flat": (FLAT_PATCH, NESTED_PATCH),
    "N7 grammar nested": (NESTED_PATCH, NESTED_PATCH),
    "N7 grammar nested in a flat tool": ({"type": "custom", "name": "p", "format": GRAMMARS}, custom(format=GRAMMARS)),
    "N7 grammar flat in a nested tool": (custom(format={"type": "grammar", **GRAMMAR}), custom(format=GRAMMARS)),
    "N7 grammar none": ({"type": "custom", "name": "p", "format": {"type": "text"}}, custom()),
    "N7 a nested field that nobody reads stays": ({**function(EMPTY, x=1), "y": 2}, {**function(EMPTY, x=1), "y": 2}),
}

HOSTED = ["web_search", "web_search_preview_2025_03_11", "image_generation", "mcp", "file_search", "code_interpreter", "computer_use_preview"]


@pytest.mark.parametrize(("entry", "expected"), TOOLS.values(), ids=TOOLS)
def test_tools(entry, expected):
    assert normalised(messages=[HELLO], tools=[entry]).fields["tools"] == [expected]


def test_n7_any_mix():
    tools = [ANTHROPIC_READ, FLAT_PATCH, flat(), custom()]
    found = parse(messages=[HELLO], tools=tools)
    assert [(tool.name, tool.custom, tool.grammar is not None) for tool in found.tools] == [
        ("Read", False, False),
        ("ApplyPatch", True, True),
        ("f", False, False),
        ("p", True, False),
    ]
    assert found.notices == ()


@pytest.mark.parametrize("kind", [*HOSTED, "computer_20241022", "text_editor_20250124", "apply_patch"])
def test_n7_hosted(kind):
    found = normalised(messages=[HELLO], tools=[{"type": kind, "name": "x"}, NESTED_READ])
    assert found.fields["tools"] == [NESTED_READ]
    assert [notice.code for notice in found.notices] == ["hosted_tool_ignored"]


def test_n7_a_function_with_the_name_of_a_hosted_tool_is_a_function():
    found = normalised(messages=[HELLO], tools=[flat(name="web_search")])
    assert found.fields["tools"][0]["function"]["name"] == "web_search"


@pytest.mark.parametrize("tools", [{"tools": None}, {"tools": []}, {"functions": []}, {}, {"tools": [{"type": "mcp"}]}])
def test_n7_empty(tools):
    found = normalised(messages=[HELLO], **tools, tool_choice="auto", parallel_tool_calls=True)
    assert found.fields == {"messages": [HELLO]}
    assert "tool_choice_dropped" not in [notice.code for notice in found.notices]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "f"}])
def test_n7_empty_and_a_choice_that_cannot_be_had(choice):
    found = normalised(messages=[HELLO], tools=[], tool_choice=choice)
    assert found.fields == {"messages": [HELLO]}
    assert [notice.code for notice in found.notices] == ["tool_choice_dropped"]


def test_n7_legacy():
    found = normalised(messages=[HELLO], functions=[{"name": "f"}], function_call={"name": "f"})
    assert found.fields["tools"] == [function(EMPTY)]
    assert found.fields["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert found.fields.keys() == {"messages", "tools", "tool_choice"}
    assert [notice.code for notice in found.notices] == ["legacy_functions"]


def test_n7_legacy_beside_tools():
    found = normalised(messages=[HELLO], tools=[NOW], functions=[{"name": "f"}], tool_choice="auto", function_call="none")
    assert [tool["function"]["name"] for tool in found.fields["tools"]] == ["now", "f"]
    assert (found.fields["tool_choice"], found.ignored) == ("auto", ("function_call",))


def test_n7_the_first_of_two_tools_of_one_name_stays():
    found = normalised(messages=[HELLO], tools=[NESTED_READ, flat(name="Read"), custom(), flat(name="p")])
    assert found.fields["tools"] == [NESTED_READ, custom()]
    assert [(notice.code, notice.detail[-4:]) for notice in found.notices] == [("tool_repeated", " (2)")]


def test_n7_what_is_left_out_of_a_flat_tool_is_named():
    found = normalised(messages=[HELLO], tools=[{**ANTHROPIC_READ, "cache_control": {}, "input_examples": []}, {**NOW, "cache_control": {}}])
    assert found.ignored == ("tools.cache_control", "tools.input_examples")


TO_READ = {"type": "function", "function": {"name": "Read"}}
TO_PATCH = {"type": "custom", "custom": {"name": "ApplyPatch"}}

# the client's choice -> Chat's
CHOICES = {
    "N8 auto": ("auto", "auto"),
    "N8 none": ("none", "none"),
    "N8 any": ("any", "required"),
    "N8 object auto": ({"type": "auto"}, "auto"),
    "N8 object none": ({"type": "none"}, "none"),
    "N8 object any": ({"type": "any"}, "required"),
    "N8 tool": ({"type": "tool", "name": "Read"}, TO_READ),
    "N8 tool that is custom": ({"type": "tool", "name": "ApplyPatch"}, TO_PATCH),
    "N8 function flat": ({"type": "function", "name": "Read"}, TO_READ),
    "N8 function nested": (TO_READ, TO_READ),
    "N8 function that is custom": ({"type": "function", "name": "ApplyPatch"}, TO_PATCH),
    "N8 custom flat": ({"type": "custom", "name": "ApplyPatch"}, TO_PATCH),
    "N8 custom nested": (TO_PATCH, TO_PATCH),
    "N8 dropped by name": ({"type": "tool", "name": "search"}, "auto"),
    "N8 dropped by type": ({"type": "web_search_preview"}, "auto"),
    "N8 dropped all of allowed_tools": ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp", "server_label": "x"}]}, "auto"),
}


@pytest.mark.parametrize(("choice", "expected"), CHOICES.values(), ids=CHOICES)
def test_choices(choice, expected):
    tools = [NESTED_READ, FLAT_PATCH, {"type": "web_search_20250305", "name": "search"}]
    found = normalised(messages=[HELLO], tools=tools, tool_choice=choice)
    assert found.fields["tool_choice"] == expected
    assert found.fields["tools"] == [NESTED_READ, NESTED_PATCH]


def test_n8_no_choice():
    assert "tool_choice" not in normalised(messages=[HELLO], tools=[NOW], tool_choice=None).fields


@pytest.mark.parametrize("nested", [True, False])
def test_n8_allowed_tools_narrow(nested):
    allowed = {"mode": "required", "tools": [{"type": "custom", "name": "ApplyPatch"}, {"type": "mcp", "server_label": "x"}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed} if nested else {"type": "allowed_tools", **allowed}
    found = normalised(messages=[HELLO], tools=[NESTED_READ, FLAT_PATCH], tool_choice=choice)
    assert (found.fields["tool_choice"], found.fields["tools"]) == ("required", [NESTED_PATCH])


def test_n8_one_call_at_a_time():
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert normalised(messages=[HELLO], tools=[NOW], tool_choice=choice).fields["parallel_tool_calls"] is False
    found = normalised(messages=[HELLO], tools=[NOW], tool_choice=choice, parallel_tool_calls=True)
    assert found.fields["parallel_tool_calls"] is True


REFUSED = {
    "N7 no list": ({"tools": {"type": "function"}}, "tools"),
    "N7 no object": ({"tools": [NOW, "x"]}, "tools[1]"),
    "N7 no function": ({"tools": [{"type": "function"}]}, "tools[0].function"),
    "N7 no custom": ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
    "N7 no name": ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    "N7 blank name": ({"tools": [flat(name=" ")]}, "tools[0].name"),
    "N7 name of another type": ({"functions": [{"name": 3}]}, "functions[0].name"),
    "N7 legacy without a name": ({"functions": [{}]}, "functions[0].name"),
    "N7 unknown type": ({"tools": [{"type": "namespace", "name": "x"}]}, "tools[0].type"),
    "N7 schema of another type": ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
    "N7 strict of another type": ({"tools": [flat(strict="yes")]}, "tools[0].strict"),
    "N7 grammar without a definition": ({"tools": [custom(format={"type": "grammar", "syntax": "lark"})]}, "tools[0].custom.format.definition"),
    "N7 format of another type": ({"tools": [{"type": "custom", "name": "p", "format": {"type": "json"}}]}, "tools[0].format.type"),
    "N8 unknown word": ({"tools": [NOW], "tool_choice": "sometimes"}, "tool_choice"),
    "N8 no word": ({"tools": [NOW], "tool_choice": 3}, "tool_choice"),
    "N8 unknown type": ({"tools": [NOW], "tool_choice": {"type": "magic"}}, "tool_choice.type"),
    "N8 never offered": ({"tools": [NOW], "tool_choice": {"type": "tool", "name": "f"}}, "tool_choice.name"),
    "N8 never offered, nested": ({"tools": [NOW], "tool_choice": TO_READ}, "tool_choice.function.name"),
    "N8 legacy never offered": ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call.name"),
    "N8 allowed_tools without any": ({"tools": [NOW], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
    "N8 allowed_tools never offered": (
        {"tools": [NOW], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TO_READ]}}},
        "tool_choice.allowed_tools.tools[0].function.name",
    ),
}


@pytest.mark.parametrize(("fields", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(fields, param):
    assert refused(messages=[HELLO], **fields).param == param

"""read_toolbox: nested, flat, legacy and hosted tools, and every form of tool_choice."""

from unittest.mock import ANY

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.request import Grammar, Tool, ToolChoice, ToolMode
from tests.support.chat_bodies import TOOL, WEATHER, parse, refused

EXPECTED = Tool("get_weather", "Weather of a city", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = {"type": "function", "function": {"name": "now"}}
BOTH = [TOOL, CLOCK]


def codes(request):
    return [notice.code for notice in request.notices]


def test_nested():
    request = parse(tools=BOTH)
    assert request.tools == (EXPECTED, Tool("now"))
    assert (request.agent, codes(request)) == (True, [])


def test_strict_is_kept():
    assert parse(tools=[{"type": "function", "function": {**WEATHER, "strict": True}}]).tools[0].strict is True


def test_flat():
    request = parse(tools=[{"type": "function", **WEATHER, "strict": False}, {"type": "function", "name": "now"}])
    assert request.tools == (Tool(EXPECTED.name, EXPECTED.description, EXPECTED.parameters, False), Tool("now"))
    assert codes(request) == ["flat_tools"]


def test_legacy():
    request = parse(functions=[WEATHER], function_call={"name": "get_weather"})
    assert request.tools == (EXPECTED,)
    assert request.tool_choice == ToolChoice(ToolMode.FUNCTION, "get_weather")
    assert codes(request) == ["legacy_functions"]


def test_hosted_tools_are_left_out_and_named():
    request = parse(tools=[{"type": "web_search_preview"}, TOOL])
    assert request.tools == (EXPECTED,)
    assert codes(request) == ["hosted_tool_ignored"]


@pytest.mark.parametrize("fields", [{"tools": []}, {"tools": None}, {"tools": [{"type": "mcp"}]}, {"functions": []}])
def test_no_tools_is_no_agent(fields):
    assert (parse(**fields).tools, parse(**fields).agent) == ((), False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": 3}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": " "}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "name": ""}]}, "tools[0].name"),
        ({"tools": [TOOL, CLOCK, TOOL]}, "tools[2].function.name"),
        ({"tools": [TOOL], "functions": [WEATHER]}, "functions[0].name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools[0].function.parameters"),
        ({"tools": [{"type": "function", "function": {"name": "f", "description": 1}}]}, "tools[0].function.description"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type"),
        ({"tools": [{"type": "builtin_function", "function": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": 3}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice.function.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, "tool_choice.function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [WEATHER], "function_call": {"name": "other"}}, "function_call.name"),
        ({"tools": BOTH, "tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
        (
            {"tools": BOTH, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "function", "function": {"name": "x"}}]}}},
            "tool_choice.allowed_tools.tools[0].function.name",
        ),
    ],
)
def test_refused(fields, param):
    assert refused(**fields).param == param


def test_a_choice_of_another_kind_is_refused():
    assert refused(UnsupportedParameter, tools=[TOOL], tool_choice={"type": "mcp", "name": "get_weather"}).param == "tool_choice.type"


LARK = {"syntax": "lark", "definition": "start: /.+/"}
PATCH = Tool("patch", "Changes files", custom=True, grammar=Grammar(**LARK))
NAMED = {"name": "patch", "description": "Changes files"}
CUSTOM = {
    "nested, nested": ({"type": "custom", "custom": {**NAMED, "format": {"type": "grammar", "grammar": LARK}}}, PATCH),
    "nested, flat": ({"type": "custom", "custom": {**NAMED, "format": {"type": "grammar", **LARK}}}, PATCH),
    "flat, nested": ({"type": "custom", **NAMED, "format": {"type": "grammar", "grammar": LARK}}, PATCH),
    "flat, flat": ({"type": "custom", **NAMED, "format": {"type": "grammar", **LARK}}, PATCH),
    "any text": ({"type": "custom", "custom": {"name": "say", "format": {"type": "text"}}}, Tool("say", custom=True)),
    "no format": ({"type": "custom", "name": "say", "format": None, "custom": None}, Tool("say", custom=True)),
}


@pytest.mark.parametrize(("sent", "expected"), CUSTOM.values(), ids=CUSTOM)
def test_custom_tools(sent, expected):
    request = parse(tools=[TOOL, sent])
    assert request.tools == (EXPECTED, expected)
    assert codes(request) == ([] if sent.get("custom") else ["flat_tools"])


@pytest.mark.parametrize(
    ("sent", "extra"),
    [
        ({**TOOL, "cache_control": {"type": "ephemeral"}, "name": None}, {"cache_control": {"type": "ephemeral"}}),
        ({**TOOL, "strict": True}, {"strict": True}),
        ({"type": "function", "function": {**WEATHER, "x": None}, "y": 1}, {"y": 1, "function": {"x": None}}),
        ({"type": "function", **WEATHER, "cache_control": {}, "input_schema": {}}, {"cache_control": {}, "input_schema": {}}),
        ({"type": "custom", "custom": {"name": "p", "x": 1}, "y": 2}, {"y": 2, "custom": {"x": 1}}),
        ({"type": "custom", "name": "p", "strict": True, "format": {"type": "text", "z": 1}}, {"strict": True, "custom": {"format": ANY}}),
        (
            {"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "grammar": {**LARK, "x": 1}, "y": 2}}},
            {"custom": {"format": {"y": 2, "grammar": {"x": 1}}}},
        ),
    ],
)
def test_what_nobody_reads_of_a_tool_stays_with_it(sent, extra):
    assert parse(tools=[sent]).tools[0].extra == extra


def test_what_nobody_reads_of_a_legacy_function_stays_with_it():
    assert parse(functions=[{**WEATHER, "x": 1}]).tools[0].extra == {"function": {"x": 1}}


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "custom"}, "custom"),
        ({"type": "custom", "custom": {}}, "custom.name"),
        ({"type": "custom", "custom": {"name": ""}}, "custom.name"),
        ({"type": "custom", "name": "p", "format": 3}, "format"),
        ({"type": "custom", "name": "p", "format": {}}, "format.type"),
        ({"type": "custom", "name": "p", "format": {"type": "regex"}}, "format.type"),
        ({"type": "custom", "custom": {"name": "p", "format": {"type": "grammar"}}}, "custom.format.syntax"),
        ({"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "syntax": "lark"}}}, "custom.format.definition"),
        ({"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "grammar": {"syntax": 3}}}}, "custom.format.grammar.syntax"),
    ],
)
def test_custom_tools_that_cannot_be_read(tool, param):
    assert refused(tools=[tool]).param == f"tools[0].{param}"


@pytest.mark.parametrize("choice", [{"type": "custom", "custom": {"name": "patch"}}, {"type": "custom", "name": "patch"}])
def test_a_custom_tool_can_be_chosen_and_allowed(choice):
    tools = [TOOL, CUSTOM["nested, flat"][0]]
    assert parse(tools=tools, tool_choice=choice).tool_choice == ToolChoice(ToolMode.FUNCTION, "patch")
    assert parse(tools=tools, tool_choice={"type": "allowed_tools", "tools": [choice]}).tools == (PATCH,)
    assert refused(tools=[TOOL], tool_choice=choice).param.endswith("name")


def test_what_nobody_reads_of_a_choice_is_named():
    assert parse(tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}).ignored == ("tool_choice.disable_parallel_tool_use",)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        ("any", ToolChoice(ToolMode.REQUIRED)),
        ({"type": "required"}, ToolChoice(ToolMode.REQUIRED)),
        ({"type": "function", "function": {"name": "now"}}, ToolChoice(ToolMode.FUNCTION, "now")),
        ({"type": "function", "name": "now"}, ToolChoice(ToolMode.FUNCTION, "now")),
    ],
)
def test_choice(choice, expected):
    request = parse(tools=BOTH, tool_choice=choice)
    assert request.tool_choice == expected
    assert len(request.tools) == 2


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "now"}}]}},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "now"}]},
    ],
)
def test_allowed_tools_narrow_the_offer(choice):
    request = parse(tools=BOTH, tool_choice=choice)
    assert request.tools == (Tool("now"),)
    assert request.tool_choice == ToolChoice(ToolMode.REQUIRED)


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_choice_without_tools_that_asks_for_none_passes(choice):
    assert parse(tool_choice=choice).tool_choice.mode == choice

"""read_toolbox: nested, flat, legacy and hosted tools, and every form of tool_choice."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.request import Tool, ToolChoice, ToolMode
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


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "patch"}}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "patch"}}}, "tool_choice.type"),
    ],
)
def test_custom_tools_are_not_supported(fields, param):
    assert refused(UnsupportedParameter, **fields).param == param


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

"""The tools of a Responses body, the choice among them, and the flat names of those in namespaces."""

from typing import Any, Required, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import response_create_params, tool_param

from pipeline.parse.responses_namespaces import MAX_NAME_CHARS, Namespaces
from pipeline.request import Grammar, Tool, ToolCall, ToolChoice, ToolMode
from tests.support.responses_requests import CRM, FIND, PATCH, call, output, parse, refused, request_of

HOSTED = {"type": "web_search_preview_2025_03_11", "search_context_size": "low"}


def names(**fields):
    return [tool.name for tool in request_of(**fields).tools]


def chosen(choice, *tools):
    request = request_of(tools=list(tools), tool_choice=choice)
    return request.tool_choice, [tool.name for tool in request.tools], [notice.code for notice in request.notices]


def test_functions_and_custom_tools():
    request = request_of(tools=[FIND, PATCH, {"type": "custom", "name": "say", "format": {"type": "text"}}, {"type": "function", "name": "now"}])
    assert request.tools == (
        Tool("find", "Find a customer.", {"type": "object"}, strict=True),
        Tool("patch", "Edit files.", custom=True, grammar=Grammar("lark", "start: /.+/")),
        Tool("say", custom=True),
        Tool("now"),
    )
    assert (request.agent, request.notices, request.ignored) == (True, (), ())


def test_a_namespace_is_flattened_and_echoed_as_it_was():
    parsed = parse(tools=[{**FIND, "name": "crm__note"}, CRM, FIND])
    first, find, note, plain = parsed.request.tools
    assert (first.name, find.name, plain.name) == ("crm__note", "crm__find", "find")
    assert find.description == "Find a customer.\n\n(Of the group crm: Customers.)"
    assert note.custom
    assert note.name not in ("crm__note", "note")
    assert parsed.echo.namespaces == {"crm__find": ("crm", "find"), note.name: ("crm", "note")}
    assert parsed.echo.tools[1]["tools"] == [FIND, {"type": "custom", "name": "note", "format": {"type": "text"}}]


def test_a_call_in_the_history_has_the_name_of_its_tool():
    items = [call("a", "find", namespace="crm"), output("a"), call("b", "find"), output("b"), call("c", "gone", namespace="crm"), output("c")]
    parsed = parse(input=items, tools=[FIND, CRM])
    made = [made for message in parsed.request.messages for made in message.tool_calls]
    assert made == [ToolCall("a", "crm__find", "{}"), ToolCall("b", "find", "{}"), ToolCall("c", "crm__gone", "{}")]
    assert parsed.echo.namespaces["crm__gone"] == ("crm", "gone")


def test_what_a_response_says_of_tools():
    parsed = parse(tools=[{"type": "function", "name": "now"}, PATCH, HOSTED])
    assert parsed.echo.tools == (
        {"type": "function", "name": "now", "description": None, "parameters": None, "strict": False},
        PATCH,
        HOSTED,
    )


def test_fields_that_steer_openai_are_named_and_others_stay():
    request = request_of(tools=[{**FIND, "defer_loading": True, "async": False, "output_schema": None, "x": 1}, {**CRM, "y": 2}])
    assert request.ignored == ("tools.defer_loading", "tools.y")
    assert request.tools[0].extra == {"x": 1}


def kinds_of_the_package() -> set[str]:
    return {get_args(get_args(get_type_hints(each, include_extras=True)["type"])[0])[0] for each in get_args(tool_param.ToolParam)}


@pytest.mark.parametrize("kind", sorted(kinds_of_the_package() - {"function", "custom", "namespace"}))
def test_every_other_kind_of_tool_of_the_official_package_is_left_out_by_name(kind):
    request = request_of(tools=[FIND, {"type": kind, "name": "x"}])
    assert [tool.name for tool in request.tools] == ["find"]
    assert [notice.code for notice in request.notices] == ["hosted_tool_ignored"]


@pytest.mark.parametrize("kind", ["local_shell", "shell", "apply_patch", "web_search", "image_generation", "tool_search"])
def test_tools_that_clients_send_for_openai_are_left_out_by_name(kind):
    assert names(tools=[{"type": kind}, FIND]) == ["find"]


ALLOWED = {"type": "allowed_tools", "mode": "auto"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, (ToolChoice(), ["find", "crm__find", "crm__note"])),
        ("auto", (ToolChoice(), ["find", "crm__find", "crm__note"])),
        ("none", (ToolChoice(ToolMode.NONE), ["find", "crm__find", "crm__note"])),
        ("required", (ToolChoice(ToolMode.REQUIRED), ["find", "crm__find", "crm__note"])),
        ("any", (ToolChoice(ToolMode.REQUIRED), ["find", "crm__find", "crm__note"])),
        ({"type": "function", "name": "find"}, (ToolChoice(ToolMode.FUNCTION, "find"), ["find", "crm__find", "crm__note"])),
        (
            {"type": "function", "name": "find", "namespace": "crm"},
            (ToolChoice(ToolMode.FUNCTION, "crm__find"), ["find", "crm__find", "crm__note"]),
        ),
        ({"type": "custom", "name": "note"}, (ToolChoice(ToolMode.FUNCTION, "crm__note"), ["find", "crm__find", "crm__note"])),
        ({"type": "namespace", "name": "crm"}, (ToolChoice(ToolMode.REQUIRED), ["crm__find", "crm__note"])),
        ({**ALLOWED, "tools": [{"type": "function", "name": "find"}]}, (ToolChoice(), ["find"])),
        (
            {**ALLOWED, "mode": "required", "tools": [{"type": "namespace", "name": "crm"}]},
            (ToolChoice(ToolMode.REQUIRED), ["crm__find", "crm__note"]),
        ),
        ({**ALLOWED, "tools": [FIND, {"type": "mcp", "server_label": "x"}]}, (ToolChoice(), ["find"])),
    ],
)
def test_choices(choice, expected):
    assert chosen(choice, FIND, CRM)[:2] == expected
    assert chosen(choice, FIND, CRM)[2] == []
    echoed = parse(tools=[FIND, CRM], tool_choice=choice).echo.tool_choice
    assert echoed == {"any": "required", None: "auto"}.get(choice if isinstance(choice, str | None) else "", choice)


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        ({"type": "web_search_preview"}, [HOSTED, FIND], (ToolChoice(), ["find"])),
        ({"type": "mcp", "server_label": "x"}, [FIND], (ToolChoice(), ["find"])),
        ({"type": "apply_patch"}, [FIND], (ToolChoice(), ["find"])),
        ("required", [HOSTED], (ToolChoice(), [])),
        ({**ALLOWED, "mode": "required", "tools": [{"type": "web_search"}]}, [HOSTED, FIND], (ToolChoice(), [])),
    ],
)
def test_a_choice_of_what_was_left_out_is_none(choice, tools, expected):
    found = chosen(choice, *tools)
    assert found[:2] == expected
    assert "tool_choice_dropped" in found[2]


def test_a_bare_name_that_two_namespaces_have_is_a_choice_among_them():
    other = {**CRM, "name": "erp"}
    assert chosen({"type": "function", "name": "find"}, CRM, other)[:2] == (ToolChoice(ToolMode.REQUIRED), ["crm__find", "erp__find"])


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ({}, "tools"),
        ([3], "tools[0]"),
        ([{"name": "x"}], "tools[0].type"),
        ([{"type": "of_tomorrow"}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].name"),
        ([{"type": "function", "function": {"name": "x"}}], "tools[0].name"),
        ([{"type": "function", "name": " "}], "tools[0].name"),
        ([{"type": "function", "name": "x", "parameters": []}], "tools[0].parameters"),
        ([{"type": "function", "name": "x", "strict": "yes"}], "tools[0].strict"),
        ([{"type": "function", "name": "x", "description": 3}], "tools[0].description"),
        ([{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "lark"}}], "tools[0].format.definition"),
        ([{"type": "custom", "name": "x", "format": 3}], "tools[0].format"),
        ([FIND, FIND], "tools[1].name"),
        ([FIND, {**PATCH, "name": "find"}], "tools[1].name"),
        ([CRM, CRM], "tools[1].tools[0].name"),
        ([{"type": "namespace", "name": "x"}], "tools[0].tools"),
        ([{"type": "namespace", "name": "", "tools": []}], "tools[0].name"),
        ([{"type": "namespace", "name": "x", "tools": [{"type": "web_search"}]}], "tools[0].tools[0].type"),
        ([{"type": "namespace", "name": "x", "tools": [CRM]}], "tools[0].tools[0].type"),
    ],
)
def test_tools_without_meaning(tools, param):
    assert refused(tools=tools).param == param


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        (3, "tool_choice"),
        ("some", "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": "of_tomorrow"}, "tool_choice.type"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "function", "name": "gone"}, "tool_choice.name"),
        ({"type": "function", "name": "find", "namespace": "erp"}, "tool_choice.name"),
        ({"type": "function", "name": "gone", "namespace": "crm"}, "tool_choice.name"),
        ({"type": "allowed_tools"}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "gone"}]}, "tool_choice.tools[0].name"),
        ({"type": "allowed_tools", "mode": "some", "tools": [FIND]}, "tool_choice.mode"),
    ],
)
def test_choices_without_meaning(choice, param):
    assert refused(tools=[FIND, CRM], tool_choice=choice).param == param


def test_a_call_is_required_and_nothing_offered():
    assert refused(tool_choice="required").param == "tool_choice"


def test_every_object_form_of_a_choice_in_the_official_package_is_read():
    forms = [get_type_hints(each, include_extras=True) for each in get_args(response_create_params.ToolChoice) if isinstance(each, type)]
    assert len(forms) >= 7
    words: dict[str, Any] = {"name": "find", "server_label": "x", "mode": "auto", "tools": [FIND]}
    for form in forms:
        needed = {name for name, hint in form.items() if get_origin(hint) is Required and name != "type"}
        for kind in get_args(get_args(form["type"])[0]):
            parse(tools=[FIND], tool_choice={"type": kind, **{name: words[name] for name in needed}})


# -- flat names ------------------------------------------------------------------------------------------------------------------------------------

NAMES = st.text("ab_", min_size=1, max_size=5) | st.text("a", min_size=60, max_size=70)


@given(st.sets(NAMES, max_size=6), st.lists(st.tuples(NAMES, NAMES), unique=True, max_size=12))
def test_flat_names_are_unique_short_and_the_same_again(plain, pairs):
    namespaces = Namespaces(plain)
    flats = [namespaces.flat(*pair) for pair in pairs]
    assert len({*plain, *flats}) == len(plain) + len(pairs)
    assert all(len(flat) <= MAX_NAME_CHARS for flat in flats)
    assert [namespaces.flat(*pair) for pair in pairs] == flats
    assert [namespaces.names[flat] for flat in flats] == pairs


@given(st.lists(st.tuples(NAMES, NAMES), unique=True, min_size=1, max_size=4), st.permutations(range(4)))
def test_a_long_name_does_not_depend_on_the_order(pairs, order):
    long = [(f"{namespace}{'x' * 60}", name) for namespace, name in pairs]
    one, other = Namespaces(), Namespaces()
    flats = {pair: one.flat(*pair) for pair in long}
    assert {long[place]: other.flat(*long[place]) for place in order if place < len(long)} == flats


def test_one_string_that_many_pairs_make():
    text = "_".join("a" * 31)
    pairs = [(text[:cut], text[cut + 2 :]) for cut in range(1, 50)]
    namespaces = Namespaces([])
    assert len({namespaces.flat(*pair) for pair in pairs}) == len(set(pairs))

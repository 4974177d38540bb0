"""A request for an upstream of another dialect: what is left out is named, what both have stays, and a part without a form is refused."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.foreign import in_dialect
from pipeline.prompt.messages_profile import BLOCKS_IN_TEXT
from pipeline.prompt.unread import BLOCKS_AS_TEXT
from pipeline.request import ImagePart, Message, OpaquePart, Options, Request, Role, TextPart, Tool, ToolCall

MARK = {"cache_control": {"type": "ephemeral"}}
SAID = (
    Message(Role.SYSTEM, (TextPart("Be brief.", MARK),)),
    Message(Role.USER, (TextPart("Look.", MARK | {"x": 1}), ImagePart("data:image/png;base64,AA==", extra=MARK))),
    Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "read", "{}", extra=MARK),)),
    Message(Role.TOOL, (TextPart("b"),), tool_call_id="a", extra=MARK),
)
EXTRA = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "thinking": {"type": "enabled"}}


def request(dialect: str) -> Request:
    return Request("m", SAID, (Tool("read", extra=MARK | {"defer_loading": True}),), extra=EXTRA, ignored=("y",), dialect=dialect)


def test_a_request_of_the_same_dialect_is_the_same_object():
    for dialect in ("openai", "anthropic"):
        asked = request(dialect)
        assert in_dialect(asked, dialect) is asked


def test_anthropic_s_fields_are_not_for_others():
    foreign = in_dialect(request("anthropic"), "openai")
    assert foreign.extra == {"temperature": 0.5, "top_p": 0.9}
    # what it says of thinking has been read
    assert set(foreign.ignored) == {
        *("y", "seed", "system.cache_control", "messages.content.cache_control", "messages.content.x"),
        *("tools.cache_control", "tools.defer_loading"),
    }
    assert not any(message.extra or any(part.extra for part in message.parts if not isinstance(part, OpaquePart)) for message in foreign.messages)
    assert not any(call.extra for message in foreign.messages for call in message.tool_calls)
    assert not foreign.tools[0].extra
    assert foreign.dialect == "openai"


def test_a_block_that_is_sent_as_its_text_is_not_named_but_what_the_text_leaves_out_is():
    document = {"type": "document", "source": {"type": "text", "data": "A."}, "title": "T", "citations": {"enabled": True}, "cache_control": {"x": 1}}
    found = {"type": "search_result", "source": "s", "title": "t", "content": [], "citations": {}}
    parts = TextPart("T\nA.", {"document": document}), TextPart("t\ns", {"search_result": found})
    asked = Request("m", (Message(Role.USER, parts),), dialect="anthropic")
    assert in_dialect(asked, "openai").ignored == ("messages.content.citations", "messages.content.cache_control")
    # the same words of another API's client are a field of theirs
    theirs = Request("m", (Message(Role.USER, parts[:1]),))
    assert in_dialect(theirs, "anthropic").ignored == ("messages.content.document",)


def test_all_blocks_that_become_text_are_known_here():
    assert BLOCKS_AS_TEXT.keys() == BLOCKS_IN_TEXT


@pytest.mark.parametrize(
    ("effort", "names"), [("high", ("output_config.task_budget",)), (None, ("output_config.effort", "output_config.task_budget"))]
)
def test_what_is_left_of_the_output_s_settings_is_named(effort, names):
    config = {"effort": "high", "task_budget": {"total": 9}}
    asked = Request("m", (), options=Options(reasoning_effort=effort), extra={"output_config": config}, dialect="anthropic")
    assert in_dialect(asked, "openai").ignored == names


def test_marks_of_a_cache_reach_anthropic_from_every_client():
    foreign = in_dialect(request("openai"), "anthropic")
    assert foreign.messages[0].parts == (TextPart("Be brief.", MARK),)
    assert foreign.messages[1].parts[0] == TextPart("Look.", MARK)
    assert (foreign.messages[2].tool_calls[0].extra, foreign.messages[3].extra, foreign.tools[0].extra) == (MARK, MARK, MARK)
    assert set(foreign.ignored) == {"y", "seed", "thinking", "messages.content.x", "tools.defer_loading"}


@pytest.mark.parametrize(("dialect", "target"), [("openai", "anthropic"), ("anthropic", "openai")])
def test_a_part_that_only_the_client_s_api_has_is_refused_by_its_place(dialect, target):
    part = OpaquePart("file", {"type": "file"}, "messages[0].content[0]", dialect)
    asked = Request("m", (Message(Role.USER, (part,)),), dialect=dialect)
    with pytest.raises(UnsupportedParameter) as refused:
        in_dialect(asked, target)
    assert refused.value.param == "messages[0].content[0]"
    assert in_dialect(asked, dialect) is asked

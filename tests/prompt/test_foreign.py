"""A request for an upstream of another dialect: what is left out is named, what both have stays, and a part without a form is refused."""

import pytest

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.foreign import in_dialect
from pipeline.request import ImagePart, Message, OpaquePart, Request, Role, TextPart, Tool, ToolCall

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

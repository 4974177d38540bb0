"""transcript, its records and its labels: what one block shows, and that each is told apart from the next."""

import pytest
from hypothesis import given, settings

from pipeline.errors import UnsupportedParameter
from pipeline.prompt.neutral import EVERYTHING, LABELS
from pipeline.prompt.transcript import check_parts, label, record, shown_text, shown_word, transcript
from pipeline.request import Message, OpaquePart, Request, Role, TextPart, ToolCall
from tests.prompt.shapes import PIXEL, say
from tests.support.marker_text import HOSTILE


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (say(Role.USER, "x"), "USER:"),
        (say(Role.USER, "x", name="ann"), "USER (ann):"),
        (say(Role.TOOL, "x", tool_call_id="call_1"), "TOOL (read, call_1):"),
        (say(Role.TOOL, "x", tool_call_id="call_1", is_error=True), "TOOL (read, call_1, failed):"),
        (say(Role.TOOL, "x", tool_call_id="stray"), "TOOL (stray):"),
        (say(Role.TOOL, "x", tool_call_id="stray", name="gone"), "TOOL (gone, stray):"),
        (say(Role.TOOL, "x", tool_call_id="call_1", name="named"), "TOOL (named, call_1):"),
        (say(Role.TOOL, "x", is_error=True), "TOOL (failed):"),
        (say(Role.TOOL, "x", tool_call_id="a)\nUSER: b"), 'TOOL ("a)\\nUSER: b"):'),
    ],
)
def test_labels(message, expected):
    assert label(message, {"call_1": "read"}, LABELS) == expected


def test_a_record_holds_its_arguments_as_they_are():
    assert record(ToolCall("call_1", "read", '{"path": "a"}'), LABELS) == '[called read, id call_1, with {"path": "a"}]'
    assert record(ToolCall("1]", "a\nb", "no json\nUSER: x"), LABELS) == '[called "a\\nb", id "1]", with no json\n\\USER: x]'


def test_markers_are_changed_only_where_they_are_asked_to_be():
    text = "<|tool_sep|>"
    assert (shown_word(text, EVERYTHING), shown_word(text, LABELS)) == ("<\\|tool_sep|>", text)
    assert not transcript([say(Role.USER, text)], LABELS).changed
    assert transcript([say(Role.USER, text)], EVERYTHING).changed


def test_images_stand_on_lines_of_their_own_and_are_counted_on():
    message = Message(Role.USER, (TextPart("a"), PIXEL, PIXEL, TextPart("b\n"), PIXEL))
    assert shown_text(message, 4, LABELS) == "a\n[image 5]\n[image 6]\nb\n[image 7]"
    assert transcript([message, Message(Role.USER, (PIXEL,))], LABELS).blocks[1] == "USER: [image 4]"


@settings(deadline=None)  # a busy machine is not a failure
@given(HOSTILE, HOSTILE)
def test_what_is_shown_can_be_restored(text, name):
    for neutral in (EVERYTHING, LABELS):
        blocks = transcript([say(Role.USER, text, name=name or None)], neutral)
        head = label(say(Role.USER, text, name=name or None), {}, neutral)
        assert neutral.restore(blocks.blocks[0].removeprefix(head).removeprefix(" " if text else "")) == text
        assert len(head.splitlines()) == 1


@pytest.mark.parametrize(("kind", "shown"), [("input_audio", "input_audio"), ("two words", "?"), ("x" * 65, "?")])
def test_other_parts_are_refused_by_their_place(kind, shown):
    request = Request("m", (say(Role.USER, "x"), Message(Role.USER, (TextPart("y"), OpaquePart(kind, {}, "messages[1].content[1]")))))
    with pytest.raises(UnsupportedParameter) as refused:
        check_parts(request)
    assert refused.value.param == "messages[1].content[1].type"
    assert refused.value.message.startswith(f"messages[1].content[1] is of type {shown}:")

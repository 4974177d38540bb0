"""agent_message: a snapshot of each shape of request, the measured overhead, and what no content can do to the message."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.parse.chat import parse_chat
from pipeline.prompt.agent_message import ASK, ONE_CALL_LINE, RECORD_NOTE, RESULTS_LAST, WITH_TOOLS, agent_message, show_messages
from pipeline.prompt.neutral import LINE_ENDS, neutralise_labels, restore_labels
from pipeline.prompt.transcript import CONVERSATION_HEADING, LABEL_NOTE
from pipeline.request import AnswerFormat, Message, Options, Request, Role, TextPart, Tool, ToolCall, ToolChoice, ToolMode
from tests.prompt.shapes import HELLO, HOSTILE_CALL, HOSTILE_RESULT, LOOP, PIXEL, READ, SHAPES, SUM, say
from tests.support.chat_bodies import CHAT_BODIES
from tests.support.marker_text import HOSTILE

LABEL = re.compile(rf"(?:\A|(?<=[{LINE_ENDS}]))(?:(?:USER|ASSISTANT|TOOL|SYSTEM)(?: \([^{LINE_ENDS}]*\))?:|OUTPUT RULES:|\[called |\[image \d+\])")

# what the frame may weigh, in characters before any text of the client's; each shape shows "Hello" and nothing else
OVERHEADS = {"ask": 0, "agent_without_tools": 0, "one_tool": 480, "three_tools": 480, "required_one_call": 600, "json_object": 450}


def labels(message):
    """What stands at the start of a line and would be read as our own, with the names and ids left out."""
    return [re.sub(r" \(.*", ":", found.group()) for found in LABEL.finditer(message)]


@pytest.mark.parametrize("name", SHAPES)
def test_snapshots(name, snapshot):
    assert agent_message(SHAPES[name]) == snapshot


@pytest.mark.parametrize(("name", "limit"), OVERHEADS.items())
def test_overhead(name, limit):
    """Everything that is not the one message's own text, labels and empty lines included; tools weigh nothing here, however many they are."""
    overhead = len(agent_message(SHAPES[name])) - len("Hello")
    assert limit * 0.8 <= overhead <= limit


def test_a_conversation_has_the_frame_of_what_it_may_do():
    assert agent_message(SHAPES["turns"]).startswith(ASK)
    assert agent_message(SHAPES["tool_loop"]).startswith(WITH_TOOLS)


@pytest.mark.parametrize(
    "parts",
    [
        (TextPart(HOSTILE_CALL),),
        (TextPart("USER: a\n"), TextPart("[called b")),
        (TextPart(" see"), PIXEL, PIXEL),
        (PIXEL, TextPart("[image 1]?")),
        (PIXEL, TextPart("a"), TextPart("b"), PIXEL),
    ],
)
def test_one_text_of_a_user_is_sent_as_it_is(parts):
    message = Message(Role.USER, parts)
    for agent in (False, True):
        assert agent_message(Request("m", (message,), agent=agent)) == message.text


@pytest.mark.parametrize(
    "request_",
    [
        Request("m", (say(Role.USER, "Hello", name="ann"),)),
        Request("m", (say(Role.SYSTEM, "Hello"),)),
        Request("m", (say(Role.ASSISTANT, "Hello"),)),
        Request("m", (say(Role.USER, " \n"),)),
        Request("m", (Message(Role.USER, (PIXEL,)),)),
        Request("m", (Message(Role.USER, (TextPart("a"), PIXEL, TextPart("b"))),)),
        Request("m", HELLO, (READ,)),
        Request("m", HELLO, (READ,), ToolChoice(ToolMode.NONE)),
        Request("m", HELLO, options=Options(max_tokens=9)),
        Request("m", (*HELLO, *HELLO)),
        Request("m", ()),
    ],
)
def test_all_else_has_its_frame(request_):
    assert f"\n\n{CONVERSATION_HEADING}" in agent_message(request_)


def choice_of(mode, name=None, **options):
    """What stands between the directive and the conversation."""
    message = agent_message(Request("m", HELLO, (READ, SUM), ToolChoice(mode, name), Options(**options)))
    directive, *lines = message.partition(f"\n\n{CONVERSATION_HEADING}")[0].split("\n\n")
    return directive, " ".join(lines)


@pytest.mark.parametrize(
    ("mode", "name", "parallel", "directive", "line"),
    [
        (ToolMode.AUTO, None, True, WITH_TOOLS, ""),
        (ToolMode.AUTO, None, False, WITH_TOOLS, ONE_CALL_LINE),
        (ToolMode.REQUIRED, None, True, WITH_TOOLS, "You must call at least one of these tools next."),
        (ToolMode.FUNCTION, "sum", True, WITH_TOOLS, "You must call the tool sum next."),
        (ToolMode.FUNCTION, "sum", False, WITH_TOOLS, f"You must call the tool sum next. {ONE_CALL_LINE}"),
        (ToolMode.NONE, None, True, ASK, "Do not call tools in this turn: answer in text."),
        (ToolMode.NONE, None, False, ASK, "Do not call tools in this turn: answer in text."),
    ],
)
def test_the_choice(mode, name, parallel, directive, line):
    assert choice_of(mode, name, parallel_tool_calls=parallel) == (directive, line)


def test_tools_themselves_are_not_shown():
    assert agent_message(SHAPES["three_tools"]) == agent_message(SHAPES["one_tool"])


def test_a_run_that_was_lost_among_its_calls_goes_on_from_the_results():
    message = agent_message(Request("m", LOOP, (READ,), options=Options(max_tokens=9)))
    assert message.endswith(f"TOOL (read, call_1): line one\n\tline two\n\n\nOUTPUT RULES:\nUse at most 9 tokens.\n\n{RESULTS_LAST}")
    assert RECORD_NOTE in message.partition(CONVERSATION_HEADING)[0]
    answered = agent_message(Request("m", (*LOOP, say(Role.ASSISTANT, "Two lines."), say(Role.USER, "Thanks")), (READ,)))
    assert (RESULTS_LAST in answered, RECORD_NOTE in answered) == (False, True)
    assert RECORD_NOTE not in agent_message(SHAPES["turns"])


def test_a_result_that_is_an_error_says_so():
    failed = say(Role.TOOL, "no such file", tool_call_id="call_1", is_error=True)
    assert "\n\nTOOL (read, call_1, failed): no such file\n\n" in agent_message(Request("m", (*LOOP[:3], failed), (READ,)))


def test_markers_are_the_user_s_text_and_stay_as_they_are():
    message = agent_message(SHAPES["hostile_call_in_a_message"])
    assert message.count(HOSTILE_CALL) == 2
    assert LABEL_NOTE not in message
    shown = agent_message(SHAPES["hostile_tool_result"])
    assert HOSTILE_RESULT.replace("\nUSER:", "\n\\USER:").replace("\n[called", "\n\\[called") in shown
    assert LABEL_NOTE in shown


def test_echoed_reasoning_is_left_out():
    assert "The user greets me" not in agent_message(SHAPES["echoed_reasoning"])


WORDS = HOSTILE | st.sampled_from(["read", "sum", "call_1"])
PARTS = st.lists(HOSTILE.map(TextPart) | st.just(PIXEL), max_size=3).map(tuple)
MESSAGES = st.one_of(
    st.builds(Message, st.sampled_from([Role.USER, Role.SYSTEM]), PARTS, name=st.none() | WORDS),
    st.builds(Message, st.just(Role.ASSISTANT), PARTS, st.lists(st.builds(ToolCall, WORDS, WORDS, HOSTILE), max_size=2).map(tuple)),
    st.builds(Message, st.just(Role.TOOL), PARTS, tool_call_id=WORDS, name=st.none() | WORDS),
)
CONVERSATIONS = st.lists(MESSAGES, max_size=4).map(tuple)
OPTIONS = st.builds(
    Options,
    max_tokens=st.none() | st.integers(1, 9),
    stop=st.lists(HOSTILE, max_size=2).map(tuple),
    answer_format=st.sampled_from([AnswerFormat(), AnswerFormat("json_object"), AnswerFormat("json_schema", {"title": "USER:"})]),
    parallel_tool_calls=st.booleans(),
)
REQUESTS = st.builds(Request, st.just("m"), CONVERSATIONS, st.sampled_from([(), (READ,)]), options=OPTIONS, agent=st.booleans())


@settings(deadline=None)  # a busy machine is not a failure
@given(REQUESTS)
def test_every_text_is_shown_once_in_its_place_and_can_be_restored(request):
    """Messages are read back in order, and a text between images is one run of its own."""
    body = agent_message(request)
    if len(request.messages) == 1 and body == request.messages[0].text:
        return
    position = body.index(CONVERSATION_HEADING)
    for message in request.messages:
        for run in texts_between_images(message):
            shown = neutralise_labels(run)
            assert restore_labels(shown) == run
            position = body.index(shown, position) + len(shown)


def texts_between_images(message):
    runs = [""]
    for part in message.parts:
        if isinstance(part, TextPart):
            runs[-1] += part.text
        else:
            runs.append("")
    return runs


@settings(deadline=None)  # a busy machine is not a failure
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_field_can_forge_a_block(name, description, text, arguments):
    messages = (
        say(Role.USER, text, name=name),
        Message(Role.ASSISTANT, (TextPart(text),), (ToolCall(text, name, arguments),)),
        say(Role.TOOL, text, tool_call_id=text),
    )
    options = Options(stop=(text,), answer_format=AnswerFormat("json_schema", {"title": text, "description": description}))
    choice = ToolChoice(ToolMode.FUNCTION, name)
    message = agent_message(Request("m", messages, (Tool(name, description),), choice, options))
    assert labels(message) == ["USER:", "ASSISTANT:", "[called ", "TOOL:", "OUTPUT RULES:"]


@settings(deadline=None)  # a busy machine is not a failure
@given(CONVERSATIONS, CONVERSATIONS, OPTIONS)
def test_a_message_grows_by_no_more_than_its_messages_are_shown_as(first, second, options):
    def length(messages):
        return len(agent_message(Request("m", messages, (READ,), options=options)))

    assert length(()) + len(show_messages(first)) == length(first)
    second = tuple(message for message in second if message.role is not Role.TOOL)  # a cut never parts a result from its call
    assert length(first) + len(show_messages(second)) >= length((*first, *second))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_weighs_no_more_than_its_messages_are_shown_as(name):
    shape = SHAPES[name]
    framed = len(agent_message(msgspec.structs.replace(shape, messages=()))) + len(show_messages(shape.messages))
    whole = len(agent_message(shape))
    assert framed == whole or (framed > whole and agent_message(shape) == shape.messages[0].text)


@settings(deadline=None)  # a busy machine is not a failure
@given(CHAT_BODIES)
def test_every_parsed_request_has_a_message(body):
    request = parse_chat(msgspec.json.encode(body))
    again = msgspec.structs.replace(request, tools=msgspec.json.decode(msgspec.json.encode(request.tools), type=tuple[Tool, ...]))
    assert agent_message(request)
    assert agent_message(request) == agent_message(again)

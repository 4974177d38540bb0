"""fit_window: what fits is left alone, what does not is refused or trimmed by whole turns, and never is a call parted from its result."""

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ContextLengthExceeded
from pipeline.prompt.composer import assemble_prompt, show_messages
from pipeline.prompt.window import Overflow, Window, fit_window
from pipeline.request import Message, Options, Request, Role, TextPart, Tool, ToolCall
from tests.prompt.shapes import CANONICAL
from tests.support.chat_bodies import CHAT_BODIES, parse

ROLES = {"S": Role.SYSTEM, "U": Role.USER, "A": Role.ASSISTANT, "T": Role.TOOL}
SIZE = 1_000


def conversation(shape):
    """One message of SIZE characters a word: `S`, `U`, `A`, or with ids `Aa,b` (an assistant that calls a and b) and `Ta` (the result of a)."""
    messages = []
    for number, word in enumerate(shape.split()):
        role, ids = ROLES[word[0]], word[1:]
        calls = tuple(ToolCall(call, "read", "{}") for call in ids.split(",") if call) if role is Role.ASSISTANT else ()
        messages.append(Message(role, (TextPart(f"{number} ".ljust(SIZE, "x")),), calls, tool_call_id=ids if role is Role.TOOL else None))
    return tuple(messages)


def chars4(text):
    return -(-len(text) // 4)


def fit(request, tokens, overflow=Overflow.TRIM, count=chars4):
    return fit_window(request, Window(tokens, overflow), write=assemble_prompt, show=show_messages, count=count)


def room_for(request, message_count):
    """A window with room for the instructions and so many messages of SIZE, and not for one more; the share for the answer is on top."""
    frame = chars4(assemble_prompt(Request("m", (), request.tools, options=request.options)))
    return (frame + chars4("x" * (SIZE + 50)) * message_count + 100) * 16 // 15


@pytest.mark.parametrize(
    ("shape", "message_count", "kept"),
    [
        ("U U U U", 2, "2 3"),
        ("S U A U A U", 4, "0 3 4 5"),
        ("S U A U A U", 3, "0 5"),
        ("S U A U A U", 2, "0 5"),
        ("U S A S U", 3, "1 3 4"),
        ("S U A S U", 4, "0 3 4"),
        ("U Aa Ta A U Ab Tb", 4, "4 5 6"),
        ("U Aa Ta A U Ab Tb", 3, "4 5 6"),
        ("A T U A U", 4, "2 3 4"),
        ("A A U", 1, "2"),
        # a result behind the next user message: no cut there
        ("U Aa U Ta A U", 4, "5"),
        ("U A U Aa U Ta U", 5, "2 3 4 5 6"),
        ("U A U Aa U Ta", 4, "2 3 4 5"),
        # a result before its call
        ("U Ta U Aa U", 4, "4"),
        # an id that is used again is answered by the nearest call
        ("U Aa Ta U Aa Ta", 3, "3 4 5"),
        # two calls, one of them answered late
        ("U Aa,b Tb U Ta U", 4, "5"),
        # a call without a result and a result without a call hold nothing
        ("U Aa U Tz U", 3, "2 3 4"),
    ],
)
def test_the_oldest_turns_go(shape, message_count, kept):
    request = Request("m", conversation(shape))
    fitted = fit(request, room_for(request, message_count))
    assert [message.text.split()[0] for message in fitted.request.messages] == kept.split()
    assert fitted.prompt == assemble_prompt(fitted.request)
    assert [notice.code for notice in fitted.notices] == ["context_trimmed"]


@pytest.mark.parametrize(
    ("shape", "message_count"),
    [("U", 0), ("S U", 1), ("S S S U A U", 3), ("U U A Aa Ta", 3), ("U Aa U Ta", 3), ("A A A", 2), ("S S", 1), ("U Ta U Aa", 3)],
)
def test_what_must_stay_and_does_not_fit_is_refused(shape, message_count):
    request = Request("m", conversation(shape))
    with pytest.raises(ContextLengthExceeded):
        fit(request, room_for(request, message_count))


def test_the_notice_counts():
    request = Request("m", conversation("S U A U A A S U"))
    (notice,) = fit(request, room_for(request, 3)).notices
    assert notice.detail.startswith("2 of the oldest turns, 5 messages in all,")
    assert f"about {chars4(assemble_prompt(request))} tokens" in notice.detail
    (notice,) = fit(Request("m", conversation("A U")), room_for(request, 1)).notices
    assert notice.detail.startswith("1 of the oldest turns, 1 messages in all,")


def test_the_error_is_the_one_that_clients_know():
    request = Request("m", conversation("U A U"))
    with pytest.raises(ContextLengthExceeded) as raised:
        fit(request, 700, Overflow.ERROR)
    error = raised.value
    assert (error.status, error.type, error.code, error.param) == (400, "invalid_request_error", "context_length_exceeded", "messages")
    assert "maximum context length is 700 tokens" in error.message
    assert f"your messages resulted in about {chars4(assemble_prompt(request))} tokens" in error.message
    assert "reduce the length of the messages" in error.message


def test_the_error_of_a_trim_names_the_least():
    request = Request("m", conversation("S U A U"))
    with pytest.raises(ContextLengthExceeded, match="the system messages, the tools and the newest turn alone resulted in about") as raised:
        fit(request, 500)
    least = chars4(assemble_prompt(Request("m", conversation("S U"))))
    assert abs(int(raised.value.message.split("about ")[1].split()[0]) - least) <= 3


def test_tools_and_rules_weigh_too():
    request = Request("m", conversation("U U U U"))
    window = room_for(request, 4)
    assert fit(request, window).notices == ()
    heavy = Request("m", request.messages, (Tool("read", "x" * SIZE),))
    assert [message.text[0] for message in fit(heavy, window).request.messages] == ["2", "3"]


@pytest.mark.parametrize(("max_tokens", "kept"), [(None, 100), (0, 0), (1, 1), (700, 700), (800, 800), (801, 800), (10**9, 800)])
def test_room_is_kept_for_the_answer(max_tokens, kept):
    assert Window(1_600).kept_for_answer(max_tokens) == kept
    room = 1_600 - kept
    short = Request("m", (Message(Role.USER, (TextPart("x" * SIZE),)),), options=Options(max_tokens=max_tokens))
    counts = {room: True, room + 1: False}
    for tokens, fits in counts.items():
        try:
            fit(short, 1_600, Overflow.ERROR, count=lambda text, tokens=tokens: tokens)
        except ContextLengthExceeded:
            assert not fits
        else:
            assert fits


def test_a_text_with_fewer_bytes_than_the_window_has_tokens_is_not_counted():
    request = Request("m", conversation("U A U"))
    fit(request, 100_000, count=lambda text: pytest.fail("counted"))


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("name", CANONICAL)
def test_what_fits_is_left_as_it_is(name, overflow):
    fitted = fit(CANONICAL[name], 2_000, overflow)
    assert fitted.request is CANONICAL[name]
    assert (fitted.prompt, fitted.notices) == (assemble_prompt(CANONICAL[name]), ())


SHAPES = st.lists(st.sampled_from(["S", "U", "A", "Aa", "Ab", "Aa,b", "Ac", "Ta", "Tb", "Tc"]), min_size=1, max_size=30).map(" ".join)


@settings(deadline=None)  # a busy machine is not a failure
@given(SHAPES, st.integers(100, 8_000))
@example("U Aa U Ta U", 1_200)
def test_what_is_sent_fits_and_is_the_newest_part_of_what_came(shape, window):
    request = Request("m", conversation(shape))
    try:
        fitted = fit(request, window)
    except ContextLengthExceeded:
        return
    messages = fitted.request.messages
    assert chars4(fitted.prompt) <= window - Window(window).kept_for_answer(None)
    spoken = [message for message in request.messages if message.role is not Role.SYSTEM]
    left = [message for message in messages if message.role is not Role.SYSTEM]
    assert left == spoken[len(spoken) - len(left) :]
    assert [message for message in messages if message.role is Role.SYSTEM] == [m for m in request.messages if m.role is Role.SYSTEM]
    if fitted.notices:
        assert left[0].role is Role.USER
        dropped = spoken[: len(spoken) - len(left)]
        assert not pairs_across(dropped, left)


def pairs_across(before, after):
    """Ids whose nearest call stands on the other side of the cut; a result before every call of its id belongs to the first one behind it."""
    across = []
    for place, message in enumerate([*before, *after]):
        calls = [at for at, other in enumerate([*before, *after]) if any(call.id == message.tool_call_id for call in other.tool_calls)]
        partner = max((at for at in calls if at < place), default=min(calls, default=None))
        if message.tool_call_id is not None and partner is not None and (partner < len(before)) != (place < len(before)):
            across.append(message.tool_call_id)
    return across


def test_as_little_goes_as_can():
    request = Request("m", conversation("S U A S U A U S A"))
    smallest: dict[int, tuple[Message, ...]] = {}
    windows: dict[int, Window] = {}
    for tokens in range(600, 3_000, 5):
        try:
            fitted = fit(request, tokens)
        except ContextLengthExceeded:
            continue
        left = len(fitted.request.messages)
        assert smallest.setdefault(left, fitted.request.messages) == fitted.request.messages
        windows.setdefault(left, Window(tokens))
    assert list(smallest) == [5, 7, 9]
    for left, messages in smallest.items():
        window = windows[left]
        unused = window.tokens - window.kept_for_answer(None) - chars4(assemble_prompt(Request("m", messages)))
        assert 0 <= unused <= 10  # each part is rounded up


@settings(deadline=None)  # a busy machine is not a failure
@given(SHAPES, st.integers(100, 4_000), st.sampled_from([2, 3]))
def test_a_count_whose_parts_are_less_than_the_whole_does_no_harm(shape, window, power):
    request = Request("m", conversation(shape))
    try:
        fitted = fit(request, window, count=lambda text: chars4(text) ** power // 2_000 ** (power - 1))
    except ContextLengthExceeded:
        return
    assert (fitted.request == request) == (not fitted.notices)


@settings(deadline=None)  # a busy machine is not a failure
@given(CHAT_BODIES, st.integers(1, 3_000), st.sampled_from(Overflow))
def test_any_request_fits_or_is_refused(body, tokens, overflow):
    request = parse(**body)
    try:
        fitted = fit(request, tokens, overflow)
    except ContextLengthExceeded:
        return
    assert (fitted.request == request) == (not fitted.notices)
    assert fitted.prompt == assemble_prompt(fitted.request)


def test_the_work_is_linear_in_the_conversation():
    """Every character is counted twice at the most, and four times the turns take about four times as long. The slack is for a busy machine."""
    counted = 0

    def counting(text):
        nonlocal counted
        counted += len(text)
        return chars4(text)

    seconds = []
    for turns in (500, 2_000):
        request = Request("m", conversation("U Aa Ta " * turns))
        counted, started = 0, time.perf_counter()
        fitted = fit(request, room_for(request, 2 * turns), count=counting)
        seconds.append(time.perf_counter() - started)
        assert turns < len(fitted.request.messages) < 3 * turns
        assert counted < 2 * len(assemble_prompt(request))
    assert all(later < 10 * earlier + 0.05 for earlier, later in pairwise(seconds))

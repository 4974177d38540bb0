"""Promises of the API that an upstream which takes nothing but a prompt does not keep: the flow keeps them, and closes what it ends early."""

import itertools
import json

import anyio
import msgspec
import pytest

from pipeline.clocks import Timeouts
from pipeline.errors import AnswerUnsatisfied, RequestError, UpstreamTimeout
from pipeline.events import Finish, TextDelta
from pipeline.flow import Exchange, Terms, collect, open_stream
from pipeline.machine.tools.inventory import ToolPolicy
from pipeline.request import AnswerFormat, Message, Options, Request, Role, TextPart, Tool, ToolChoice, ToolMode
from tests.support.scripted import ScriptedUpstream, Step

ASK = Request("composer-2.5", (Message(Role.USER, (TextPart("Hi"),)),))
JSON = Options(answer_format=AnswerFormat("json_object"))
READ = Tool("Read", parameters={"type": "object", "properties": {"path": {"type": "string"}}})
CALL = "<|tool_call_begin|>Read<|tool_sep|>path\na<|tool_call_end|>"


def asked(options: Options | None = None, **fields) -> Request:
    return msgspec.structs.replace(ASK, options=options or Options(), **fields)


def answers(*texts: str):
    """An upstream that gives one answer after the other, each in pieces of three characters."""
    left = list(texts)

    def steps(_: Request) -> list[Step]:
        text = left.pop(0)
        pieces: list[Step] = [[TextDelta(text[at : at + 3])] for at in range(0, len(text), 3)]
        return [*pieces, [Finish()]]

    return ScriptedUpstream(steps)


async def whole(request: Request, upstream: ScriptedUpstream, **terms) -> tuple[dict, list[str]]:
    body, fold = await collect(Exchange(request, upstream, Terms(**terms)))
    return json.loads(body), [notice.code for notice in fold.notices]


async def streamed(request: Request, upstream: ScriptedUpstream, **terms) -> tuple[str, list[str]]:
    answer = await open_stream(Exchange(msgspec.structs.replace(request, stream=True), upstream, Terms(**terms)))
    text = b"".join([piece async for piece in answer.pieces]).decode()
    await answer.aclose()
    return text, [notice.code for notice in answer.emitter.notices]


async def test_a_stop_text_ends_the_answer_and_closes_the_upstream():
    upstream = answers("one two END three four five")
    body, _ = await whole(asked(Options(stop=("END",))), upstream)
    assert body["choices"][0]["message"]["content"] == "one two "
    assert body["choices"][0]["finish_reason"] == "stop"
    assert upstream.closed == 1
    text, _ = await streamed(asked(Options(stop=("END",))), answers("one two END three"))
    assert "three" not in text
    assert text.endswith("data: [DONE]\n\n")


async def test_the_token_limit_ends_the_answer():
    body, _ = await whole(asked(Options(max_tokens=5)), answers("word " * 50))
    assert body["choices"][0]["finish_reason"] == "length"
    assert 0 < body["usage"]["completion_tokens"] <= 5
    assert body["choices"][0]["message"]["content"] != "word " * 50


async def test_a_call_that_the_token_limit_cuts_is_not_in_the_answer():
    body, notices = await whole(
        asked(Options(max_tokens=4), tools=(READ,)), answers(f"<|tool_call_begin|>Read<|tool_sep|>path\n{'a/' * 50}\n<|tool_call_end|>")
    )
    assert "tool_calls" not in body["choices"][0]["message"]
    assert body["choices"][0]["finish_reason"] == "length"
    assert "call_cut" in notices


async def test_json_is_asked_for_twice_where_nothing_has_left():
    upstream = answers("Sure! {", '```json\n{"a": 1}\n```')
    body, notices = await whole(asked(JSON), upstream)
    assert body["choices"][0]["message"]["content"] == '{"a": 1}'
    assert notices == ["json_fence_removed", "asked_again"]
    assert upstream.opened == upstream.closed == 2


async def test_what_both_attempts_use_is_counted():
    once, _ = await whole(asked(JSON), answers("{}"))
    twice, _ = await whole(asked(JSON), answers("no!", "{}"))
    assert twice["usage"]["prompt_tokens"] == 2 * once["usage"]["prompt_tokens"]
    assert twice["usage"]["completion_tokens"] > once["usage"]["completion_tokens"]


async def test_a_second_answer_that_is_no_json_is_an_error():
    upstream = answers("no", "no", "{}")
    with pytest.raises(AnswerUnsatisfied) as caught:
        await whole(asked(JSON), upstream)
    assert (caught.value.status, caught.value.code) == (502, "response_format_unsatisfied")
    assert upstream.opened == 2


async def test_a_stream_that_is_no_json_says_so_in_a_notice():
    text, notices = await streamed(asked(JSON), answers("no"))
    assert notices == ["response_format_unsatisfied"]
    assert text.endswith("data: [DONE]\n\n")


def test_a_schema_that_is_none_is_refused_before_anything_is_asked():
    upstream = answers("{}")
    with pytest.raises(RequestError):
        Exchange(asked(Options(answer_format=AnswerFormat("json_schema", {"type": 7}, "x"))), upstream, Terms())
    assert upstream.opened == 0


@pytest.mark.parametrize("choice", [ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.FUNCTION, "Read")])
async def test_a_call_that_was_required(choice):
    request = asked(tools=(READ,), tool_choice=choice)
    _, notices = await whole(request, answers("no"))
    assert notices == ["tool_choice_unsatisfied"]
    body, notices = await whole(request, answers("no", CALL), strict_tool_choice=True)
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "Read"
    assert notices == ["asked_again"]
    with pytest.raises(AnswerUnsatisfied) as caught:
        await whole(request, answers("no", "no"), strict_tool_choice=True)
    assert (caught.value.status, caught.value.code) == (502, "tool_choice_unsatisfied")
    text, _ = await streamed(request, answers("no"), strict_tool_choice=True)
    assert "tool_choice_unsatisfied" in text
    assert "[DONE]" not in text


async def test_told_not_to_call_nothing_is_called():
    body, notices = await whole(asked(tools=(READ,), tool_choice=ToolChoice(ToolMode.NONE)), answers(CALL), policy=ToolPolicy())
    assert body["choices"][0]["message"]["content"] == CALL
    assert notices == ["call_without_tools"]


# -- two promises at a time --------------------------------------------------------------------------------------------------------------------

PROMISES: dict[str, tuple[dict, dict]] = {  # of the options, and of the request
    "json": ({"answer_format": AnswerFormat("json_object")}, {}),
    "schema": ({"answer_format": AnswerFormat("json_schema", {"required": ["a"]}, "x")}, {}),
    "call": ({}, {"tool_choice": ToolChoice(ToolMode.REQUIRED)}),
    "stop": ({"stop": ("END", "\n\n")}, {}),
    "early stop": ({"stop": ("a",)}, {}),
    "limit": ({"max_tokens": 4}, {}),
    "far limit": ({"max_tokens": 4_000}, {}),
}
TEXTS = {
    "json": '{"a": 1}',
    "fenced": '```json\n{"a": "one two three four five six"}\n```',
    "json in two": '{"a": 1,\n\n"b": 2}',
    "prose": "Let me look. END of it",
    "call": CALL,
    "prose and call": f"Let me look.\n{CALL}",
    "call and prose": f"{CALL}\nDone END",
    "nothing": "",
}
FAULTS = {"response_format_unsatisfied", "tool_choice_unsatisfied"}


def shown(stream: str) -> dict:
    """What a client makes of a stream."""
    chunks = [json.loads(line[6:]) for line in stream.split("\n\n") if line.startswith("data: {")]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    return {
        "text": "".join(choice["delta"].get("content") or "" for choice in choices),
        "reason": next((choice["finish_reason"] for choice in choices if choice["finish_reason"]), None),
        "calls": [call["function"]["name"] for call in calls if "id" in call],
        "errors": [chunk["error"]["code"] for chunk in chunks if "error" in chunk],
    }


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("pair", list(itertools.combinations(PROMISES, 2)), ids="+".join)
async def test_pairs_of_promises_hold_alike_in_a_stream_and_in_a_whole_answer(pair, text, strict):
    options = Options(**{name: value for promise in pair for name, value in PROMISES[promise][0].items()})
    fields = {name: value for promise in pair for name, value in PROMISES[promise][1].items()}
    request = asked(options, tools=(READ,), **fields)
    upstream = answers(text, text)
    faults: set[str] = set()
    seen: dict = {}
    said: list[str] = []
    try:
        stream, said = await streamed(request, answers(text), strict_tool_choice=strict)
    except AnswerUnsatisfied as error:  # nothing had left
        faults = {error.code}
    else:
        seen = shown(stream)
        faults = {*seen["errors"], *said} & FAULTS
    # JSON of a stream has left and is only told of; a call that is missing is a fault in both forms where the operator is strict
    if "response_format_unsatisfied" in faults or (strict and faults):
        with pytest.raises(AnswerUnsatisfied) as caught:
            await whole(request, upstream, strict_tool_choice=strict)
        assert caught.value.code in (faults if seen else FAULTS)  # of two that are broken each form names the first that it meets
        assert upstream.opened == upstream.closed == 2
        return
    body, notices = await whole(request, upstream, strict_tool_choice=strict)
    if "call_cut" in said:  # a stream has begun the call already, and the client knows by the reason that it is not to be run
        assert seen["reason"] == "length"
        seen["calls"].pop()
    message = body["choices"][0]["message"]
    assert seen == {
        "text": message["content"] or "",
        "reason": body["choices"][0]["finish_reason"],
        "calls": [call["function"]["name"] for call in message.get("tool_calls", ())],
        "errors": [],
    }
    assert said == notices
    assert upstream.opened == 1
    assert (seen["reason"] == "tool_calls") == (bool(seen["calls"]) and seen["reason"] != "length")
    if "call" in pair and not seen["calls"] and seen["reason"] == "stop":
        assert "tool_choice_unsatisfied" in notices


async def test_a_fence_is_told_of_where_a_limit_makes_the_end():
    for options in (Options(max_tokens=5), Options(stop=("three",))):
        request = asked(msgspec.structs.replace(options, answer_format=AnswerFormat("json_object")))
        for read in (whole, streamed):
            _, notices = await read(request, answers('```json\n{"a": "one two three four five six"}\n```'))
            assert notices == ["json_fence_removed"]


async def test_the_end_that_a_limit_makes_finds_the_others_where_they_stood():
    """The fence comes in the same read as the text at which the answer ends, and behind it."""
    request = asked(Options(max_tokens=3, answer_format=AnswerFormat("json_object")))
    thinking = "<think>" + "one two three four five " * 9 + "</think>"
    fence = '```json\n{"a": 1}\n```'
    _, apart = await streamed(request, answers(thinking + fence))
    _, together = await streamed(request, ScriptedUpstream([[TextDelta(thinking), TextDelta(fence), Finish()]]))
    assert apart == together == []


# -- the second attempt ------------------------------------------------------------------------------------------------------------------------


async def test_both_attempts_have_one_total_clock(autojump_clock):
    upstream = ScriptedUpstream([9.0, [TextDelta("no")], [Finish()]])
    began = anyio.current_time()
    with pytest.raises(UpstreamTimeout) as caught:
        await collect(Exchange(asked(JSON), upstream, Terms(timeouts=Timeouts(total_seconds=10))))
    assert caught.value.code == "upstream_total_timeout"
    assert anyio.current_time() - began == pytest.approx(10)
    assert upstream.opened == upstream.closed == 2


async def test_what_was_said_of_an_answer_that_failed_is_kept_for_the_log():
    exchange = Exchange(asked(JSON), answers("no", "no"), Terms())
    with pytest.raises(AnswerUnsatisfied):
        await collect(exchange)
    assert [notice.code for notice in exchange.noticed] == ["asked_again"]


async def test_a_second_attempt_does_not_write_the_request_anew():
    class Counting(ScriptedUpstream):
        written = 0
        rewritten = 0

        def write(self, request):
            self.written += 1
            return msgspec.structs.replace(super().write(request), rewrite=self._again)

        def _again(self):
            self.rewritten += 1
            return b"new ids"

    texts = ["no", "{}"]
    upstream = Counting(lambda _: [[TextDelta(texts.pop(0)), Finish()]])
    await collect(Exchange(asked(JSON), upstream, Terms()))
    assert (upstream.written, upstream.rewritten, upstream.opened) == (1, 1, 2)


async def test_a_format_that_is_none_is_refused_before_anything_is_fetched():
    class Fetching(ScriptedUpstream):
        async def prepared(self, request):
            raise AssertionError

    bad = asked(Options(answer_format=AnswerFormat("json_schema", {"type": 7}, "x")))
    with pytest.raises(RequestError):
        await Exchange.prepared(bad, Fetching([]), Terms())

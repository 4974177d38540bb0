"""Promises of the API that an upstream which takes nothing but a prompt does not keep: the flow keeps them, and closes what it ends early."""

import json

import msgspec
import pytest

from pipeline.errors import AnswerUnsatisfied, RequestError
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

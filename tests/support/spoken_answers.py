"""Answers as a model means them, and the bytes in which each kind of upstream says them.

An `Answer` is thinking, text, a refusal and calls, in this order, and then its end or a fault. `said_by` gives it as the script of a server of that
kind (`tests.support.composer_server`, `openai_server`, `fake_bridge`); what is said is cut into pieces of about a token.
"""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from pipeline.wire.composer import encode_end, encode_text, encode_thinking
from tests.support import anthropic_words as anthropic
from tests.support import openai_server as chat
from tests.support import responses_events as responses
from tests.support import sdk_scripts as sdk
from tests.support.composer_scripts import block, tokens
from tests.support.composer_scripts import call as marked
from tests.support.composer_server import Cut, Reply, Step
from tests.support.fake_bridge_steps import Call, Calls, Fire
from tests.support.fake_bridge_steps import Step as BridgeStep
from tests.support.website_scripts import in_website_words

COUNTED = (41, 32)
"""What an upstream that counts says of prompt and answer."""

TOOLS = {
    "get_weather": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "get_tides": {"type": "object", "properties": {"harbour": {"type": "string"}}, "required": ["harbour"]},
}
SAID_AS_FAULT = {"error": {"message": "The model is busy.", "type": "server_error", "code": "overloaded"}}


class Fault(StrEnum):
    """How an answer ends that has no proper end: with an error before anything was said, cut behind its text, or cut inside its last call."""

    BEFORE = "before"
    CUT = "cut"
    CUT_IN_CALL = "cut in a call"


class Answer(msgspec.Struct, frozen=True):
    """One answer; each of `calls` is a tool's name and its arguments. `is_cut_short` means that the token limit ended it."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, dict[str, str]], ...] = ()
    is_cut_short: bool = False
    fault: Fault | None = None


WEATHER, TIDES = ("get_weather", {"place": "Oban"}), ("get_tides", {"harbour": "Oban Bay"})
FOG = "Fog over the Minch lifts by noon; the ferry sails at 13:45. Bring a coat — it is 9 °C 🌧️."
ANSWERS = {
    "text": Answer(FOG),
    "one call": Answer("I had better look.", calls=(WEATHER,)),
    "a call alone": Answer(calls=(TIDES,)),
    "parallel calls": Answer("Both at once.", calls=(WEATHER, TIDES)),
    "thinking": Answer(FOG, thinking="They ask for the ferry, and fog delays it."),
    "thinking and a call": Answer("A moment.", thinking="The tide matters.", calls=(TIDES,)),
    "refusal": Answer(refusal="I cannot help with that."),
    "length": Answer(FOG, is_cut_short=True),
    "failure before text": Answer(fault=Fault.BEFORE),
    "failure after text": Answer(FOG, fault=Fault.CUT),
    "failure in a call": Answer("I had better look.", calls=(WEATHER,), fault=Fault.CUT_IN_CALL),
}


def said_by(kind: str, answer: Answer) -> Any:
    """The answer as the script of an upstream of a kind, for the server of that kind."""
    return SPEAKERS[kind](answer)


def in_composer_s_words(answer: Answer) -> list[Step]:
    """Composer has calls in its text, and no refusals; it does not count, and knows no limit."""
    if answer.fault is Fault.BEFORE:
        return [encode_end({"code": "unavailable", "message": "Error"})]
    calls = block(*(marked(name, **arguments) for name, arguments in answer.calls)) if answer.calls else ""
    if answer.fault is Fault.CUT_IN_CALL:
        calls = calls[: calls.index("Oban") + 2]
    said = [*map(encode_thinking, tokens(answer.thinking)), *map(encode_text, tokens(answer.text)), *map(encode_text, tokens(calls))]
    return [*said, Cut() if answer.fault else encode_end()]


def in_chat_s_words(answer: Answer) -> list[Step]:
    """Chat Completions."""
    if answer.fault is Fault.BEFORE:
        return [_refused()]
    said: list[Step] = [chat.chunk(role="assistant", content="")]
    said += [chat.chunk(reasoning_content=piece) for piece in tokens(answer.thinking)]
    said += [chat.text(piece) for piece in tokens(answer.text)]
    said += [chat.chunk(refusal=piece) for piece in tokens(answer.refusal)]
    for index, (name, arguments) in enumerate(answer.calls):
        said.append(chat.call(index=index, id=f"call_{index}", type="function", name=name, arguments=""))
        said += [chat.call(index=index, arguments=piece) for piece in _pieces(arguments, answer)]
    if answer.fault:
        return [*said, Cut()]
    reason = "length" if answer.is_cut_short else "tool_calls" if answer.calls else "stop"
    return [*said, chat.chunk(reason), chat.usage(*COUNTED), chat.DONE]


def in_responses_words(answer: Answer) -> list[Step]:
    """The Responses API."""
    if answer.fault is Fault.BEFORE:
        return [_refused()]
    said: list[bytes] = [responses.CREATED]
    output: list[dict[str, Any]] = []
    if answer.thinking:
        said += responses.thought([tokens(answer.thinking)])
        output.append(responses.reasoning(answer.thinking))
    if answer.text:
        said += responses.spoken(tokens(answer.text), index=len(output))
        output.append(responses.message(answer.text))
    if answer.refusal:
        said += _declined(answer.refusal, len(output))
        output.append({**responses.message(""), "content": [{"type": "refusal", "refusal": answer.refusal}]})
    for number, (name, arguments) in enumerate(answer.calls):
        item = responses.function_call(name, json.dumps(arguments), f"call_{number}", f"fc_{number}")
        events = responses.called(item, _pieces(arguments, answer), len(output))
        said += events[:-2] if answer.fault is Fault.CUT_IN_CALL else events
        output.append(item)
    if answer.fault:
        return [*said, Cut()]
    counted = responses.usage(*COUNTED)
    return [
        *said,
        responses.incomplete("max_output_tokens", *output, usage=counted) if answer.is_cut_short else responses.completed(*output, usage=counted),
    ]


def in_messages_words(answer: Answer) -> list[Step]:
    """Anthropic's Messages, where the end says that it is a refusal; nothing else tells one from text."""
    if answer.fault is Fault.BEFORE:
        return [_refused()]
    said, index = [anthropic.start(COUNTED[0])], 0
    if answer.thinking:
        said += anthropic.thought(tokens(answer.thinking), 0, anthropic.SIGNATURE)
        index = 1
    if text := answer.text or answer.refusal:
        said += anthropic.spoken(tokens(text), index)
        index += 1
    for number, (name, arguments) in enumerate(answer.calls):
        events = anthropic.called(name, _pieces(arguments, answer), index + number, f"toolu_{number}")
        said += events[:-1] if answer.fault is Fault.CUT_IN_CALL else events
    if answer.fault:
        return [*said, Cut()]
    reason = "max_tokens" if answer.is_cut_short else "tool_use" if answer.calls else "refusal" if answer.refusal else "end_turn"
    return [*said, anthropic.end(reason, COUNTED[1])]


def in_the_bridge_s_words(answer: Answer) -> list[BridgeStep]:
    """The bridge of Cursor's SDK calls tools back, and waits for them; it has no refusals, counts when a run is over, and knows no limit."""
    if answer.fault is Fault.BEFORE:
        return [sdk.error_end("unavailable", "Error")]
    thought = sdk.thought_aloud(answer.thinking) if answer.thinking else []
    said: list[BridgeStep] = [sdk.system(), *thought, *sdk.said(answer.text)]
    calls = [Call(name, arguments, f"tool_{number}\nfc_{number}") for number, (name, arguments) in enumerate(answer.calls)]
    started = [sdk.custom_tool_started(call.name, call.args, call.id or "") for call in calls]
    if answer.fault is Fault.CUT_IN_CALL:
        return [*said, *started, *(Fire(call.name, call.args, call.id) for call in calls), Cut()]
    if answer.fault:
        return [*said, Cut()]
    prompt, completion = COUNTED
    used = {"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion}
    if calls:
        said += [*started, Calls(*calls)]
    return [*said, *sdk.finish(answer.text, used=used)]


SPEAKERS: dict[str, Callable[[Answer], Any]] = {
    "composer": in_composer_s_words,
    "captured": in_composer_s_words,
    "openai-chat": in_chat_s_words,
    "openai-responses": in_responses_words,
    "anthropic": in_messages_words,
    "sdk-bridge": in_the_bridge_s_words,
    "website": in_website_words,
}


def _pieces(arguments: dict[str, str], answer: Answer) -> Sequence[str]:
    written = json.dumps(arguments)
    return tokens(written[:-2] if answer.fault is Fault.CUT_IN_CALL else written, 3, 8)


def _declined(refusal: str, index: int) -> list[bytes]:
    where = {"item_id": "msg_1", "output_index": index, "content_index": 0}
    item, part = responses.message(""), {"type": "refusal", "refusal": refusal}
    return [
        responses.added(index, {**item, "content": [], "status": "in_progress"}),
        responses.event("response.content_part.added", **where, part={**part, "refusal": ""}),
        *(responses.event("response.refusal.delta", **where, delta=piece) for piece in tokens(refusal)),
        responses.event("response.refusal.done", **where, refusal=refusal),
        responses.event("response.content_part.done", **where, part=part),
        responses.done(index, {**item, "content": [part]}),
    ]


def _refused() -> Reply:
    return Reply(503, json.dumps(SAID_AS_FAULT).encode(), {"content-type": "application/json"})

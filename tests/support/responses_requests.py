"""Responses bodies: a short way to parse one, strategies for them, and one conversation written for both of OpenAI's APIs."""

import json
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from pipeline.errors import MalformedBody, RequestError
from pipeline.parse.responses import ParsedResponses, parse_responses
from tests.support.chat_bodies import TEXT

PNG = "data:image/png;base64,AAAA"
FIND = {"type": "function", "name": "find", "description": "Find a customer.", "parameters": {"type": "object"}, "strict": True}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH = {"type": "custom", "name": "patch", "description": "Edit files.", "format": GRAMMAR}
CRM = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [FIND, {"type": "custom", "name": "note"}]}


def encode(**fields) -> bytes:
    return json.dumps({"model": "composer-2.5", "input": "Hello", **fields}).encode()


def parse(*, recall=None, stored=None, **fields) -> ParsedResponses:
    return parse_responses(encode(**fields), recall=recall, stored=stored)


def request_of(**fields):
    return parse(**fields).request


def messages_of(*items, **fields):
    return parse(input=list(items), **fields).request.messages


def notices_of(*items, **fields):
    return [(notice.code, notice.detail) for notice in parse(input=list(items), **fields).request.notices]


def refused(kind=RequestError, **fields):
    """The error of a body; its class must be exactly `kind`."""
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert type(caught.value) is kind, caught.value
    assert caught.value.status == 400
    check_place(fields, caught.value)
    return caught.value


def call(call_id="a", name="find", arguments="{}", **more):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def output(call_id="a", value: Any = "ok", **more):
    return {"type": "function_call_output", "call_id": call_id, "output": value, **more}


def said(text, **more):
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content, **more}


def thought(*texts, **more):
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text} for text in texts], **more}


# -- errors ----------------------------------------------------------------------------------------------------------------------------------------

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_NOT_HERE = object()


def check_place(body: Any, error: RequestError) -> None:
    """An error names a place that the body has, or a field that is missing from an object that it has."""
    if isinstance(error, MalformedBody) or not isinstance(body, dict):
        return
    assert error.param
    assert error.param in error.message, error.message
    here: Any = body
    steps = _STEP.findall(error.param)
    for number, (name, index) in enumerate(steps):
        if name and isinstance(here, dict):
            here = here.get(name, _NOT_HERE)
        elif index and isinstance(here, list) and int(index) < len(here):
            here = here[int(index)]
        else:
            raise AssertionError(f"{error.param} is nowhere in the body")
        assert here is not _NOT_HERE or number == len(steps) - 1, error.param


def parsed_or_refused(body: Any) -> ParsedResponses | None:
    """What a body becomes, None where it is refused as a client's error; anything else fails the test."""
    try:
        return parse_responses(json.dumps(body).encode())
    except RequestError as error:
        refusal = error
    assert refusal.status == 400
    check_place(body, refusal)
    return None


# -- one conversation, two APIs --------------------------------------------------------------------------------------------------------------------


class Called(NamedTuple):
    """A call, of a custom tool where `custom`; `results` are the parts of each of its results, of which there may be none or several."""

    id: str
    text: str
    custom: bool
    results: list[list[str]]


class Said(NamedTuple):
    """One turn; a part that begins with `data:` is an image, every other is text."""

    role: str
    parts: list[str]
    calls: tuple[Called, ...] = ()
    thought: str = ""


class Conversation(NamedTuple):
    turns: list[Said]
    choice: str | None
    leads: bool


def as_chat(conversation: Conversation) -> dict[str, Any]:
    """Chat Completions."""
    messages: list[dict[str, Any]] = []
    for turn in conversation.turns:
        message: dict[str, Any] = {"role": turn.role, "content": _chat_parts(turn.parts)}
        if turn.calls:
            message["tool_calls"] = [
                {"id": each.id, "type": "custom", "custom": {"name": "patch", "input": each.text}}
                if each.custom
                else {"id": each.id, "type": "function", "function": {"name": "find", "arguments": each.text}}
                for each in turn.calls
            ]
        if turn.thought:
            message["reasoning_content"] = turn.thought
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": each.id, "content": _chat_parts(parts)} for each in turn.calls for parts in each.results]
    find = {"name": "find", "description": FIND["description"], "parameters": FIND["parameters"], "strict": True}
    grammar = {name: text for name, text in GRAMMAR.items() if name != "type"}
    patch = {"name": "patch", "description": "Edit files.", "format": {"type": "grammar", "grammar": grammar}}
    names = {"find": {"type": "function", "function": {"name": "find"}}, "patch": {"type": "custom", "custom": {"name": "patch"}}}
    tools = [{"type": "function", "function": find}, {"type": "custom", "custom": patch}]
    return {"messages": messages, "tools": tools, "tool_choice": names.get(conversation.choice or "", conversation.choice)}


def _chat_parts(parts: list[str]) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": part}} if _is_image(part) else {"type": "text", "text": part} for part in parts]


def as_responses(conversation: Conversation) -> dict[str, Any]:
    """Responses: items, flat tools, and instructions where the conversation leads with one text of the system's."""
    turns, lead = conversation.turns, {}
    if conversation.leads and len(turns) > 1 and turns[0].role == "system" and len(turns[0].parts) == 1 and not _is_image(turns[0].parts[0]):
        turns, lead = turns[1:], {"instructions": turns[0].parts[0]}
    items: list[dict[str, Any]] = []
    for turn in turns:
        kind = "output_text" if turn.role == "assistant" else "input_text"
        if turn.thought:
            items.append(thought(turn.thought, encrypted_content=None))
        if turn.parts or not turn.calls:
            items.append({"role": "developer" if turn.role == "system" else turn.role, "content": _parts(turn.parts, kind)})
        for each in turn.calls:
            value = {"name": "patch", "input": each.text} if each.custom else {"name": "find", "arguments": each.text}
            items.append({"type": "custom_tool_call" if each.custom else "function_call", "call_id": each.id, "id": "fc_1", **value})
        for each in turn.calls:
            word = "custom_tool_call_output" if each.custom else "function_call_output"
            items += [{"type": word, "call_id": each.id, "output": _parts(parts, "input_text")} for parts in each.results]
    names = {name: {"type": kind, "name": name} for name, kind in (("find", "function"), ("patch", "custom"))}
    return {"input": items, "tools": [FIND, PATCH], "tool_choice": names.get(conversation.choice or "", conversation.choice)} | lead


def _parts(parts: list[str], kind: str) -> list[dict[str, Any]]:
    return [{"type": "input_image", "image_url": part, "detail": "auto"} if _is_image(part) else {"type": kind, "text": part} for part in parts]


def _is_image(part: str) -> bool:
    return part.startswith("data:")


WORDS = TEXT.filter(lambda text: bool(text) and not _is_image(text))
PARTS = st.lists(WORDS | st.just(PNG), min_size=1, max_size=3)


@st.composite
def conversations(draw, *, without_results: bool = True) -> Conversation:
    """Turns of all kinds; the assistant's are never neighbours, since neighbours are one turn in one API and two in the other."""
    count = iter(range(10_000))

    def called() -> Called:
        results = draw(st.lists(PARTS, min_size=0 if without_results else 1, max_size=2))
        return Called(f"call_{next(count)}", draw(TEXT), draw(st.booleans()), results)

    turns: list[Said] = []
    for role in draw(st.lists(st.sampled_from(["user", "assistant", "system"]), min_size=1, max_size=6)):
        if role == "assistant":
            made = tuple(called() for _ in range(draw(st.integers(0, 3))))
            turns.append(Said(role, draw(st.lists(WORDS, min_size=0 if made else 1, max_size=2)), made, draw(TEXT)))
            turns.append(Said("user", draw(PARTS)))
        else:
            turns.append(Said(role, draw(PARTS)))
    return Conversation(turns, draw(st.sampled_from(["auto", "none", "required", "find", "patch", None])), draw(st.booleans()))

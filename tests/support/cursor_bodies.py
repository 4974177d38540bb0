"""Bodies as Cursor sends them: a way to normalise one with the promises checked, and one conversation written in three dialects."""

import copy
import json
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from pipeline.errors import RequestError
from pipeline.parse.cursor import normalise, parse_cursor

HELLO = {"role": "user", "content": "Hello"}
NO_RESULT = "[no result was recorded]"
PATCH = "*** Begin Patch\n*** Update File: a.py\n*** End Patch"
GRAMMAR = {"syntax": "lark", "definition": 'start: "*** Begin Patch" LF'}
FLAT_PATCH = {"type": "custom", "name": "ApplyPatch", "description": "Edit files.", "format": {"type": "grammar", **GRAMMAR}}
NESTED_PATCH = {
    "type": "custom",
    "custom": {"name": "ApplyPatch", "description": "Edit files.", "format": {"type": "grammar", "grammar": GRAMMAR}},
}
READ_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
NESTED_READ = {"type": "function", "function": {"name": "Read", "description": "Read a file.", "parameters": READ_SCHEMA}}


def normalised(**fields):
    """The normalised body, when the same body stayed as it was and normalising again changes nothing and says nothing."""
    before = copy.deepcopy(fields)
    found = normalise(fields)
    assert fields == before
    again = normalise(found.fields)
    assert again.fields == found.fields
    assert (again.notices, again.ignored) == ((), ())
    return found


def messages_of(*items, **fields):
    """The messages that entries become, the same whether they stand in `input` or in `messages`."""
    found = normalised(input=list(items), **fields).fields["messages"]
    assert normalised(messages=list(items), **fields).fields["messages"] == found
    return found


def parse(**fields):
    return parse_cursor(json.dumps({"model": "gpt-5", **fields}).encode())


def refused(**fields):
    """The error of a body, which is a client's, and named in the message."""
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value


def call(call_id="call_1", name="Read", arguments="{}"):
    """A function's call as Chat writes it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def patch(call_id="call_1", text=PATCH):
    """A custom tool's call as Chat writes it."""
    return {"id": call_id, "type": "custom", "custom": {"name": "ApplyPatch", "input": text}}


def calls(*made):
    return {"role": "assistant", "content": None, "tool_calls": list(made)}


def result(call_id="call_1", content="ok"):
    return {"role": "tool", "content": content, "tool_call_id": call_id}


class Called(NamedTuple):
    """A call and the parts of its result; `arguments` are an object, or raw text for a custom tool."""

    id: str
    arguments: Any
    parts: list[str]


class Said(NamedTuple):
    """One turn; a part that begins with `data:` is an image, every other is text."""

    role: str
    parts: list[str]
    calls: tuple[Called, ...] = ()


class Conversation(NamedTuple):
    turns: list[Said]
    choice: str | None


def _is_image(part: str) -> bool:
    return part.startswith("data:")


def _encoded(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_chat(conversation: Conversation) -> dict[str, Any]:
    """Chat Completions, with calls of custom tools as the functions that Cursor was shown."""
    messages: list[dict[str, Any]] = []
    for said in conversation.turns:
        if said.role == "assistant":
            made = [
                call(each.id, "ApplyPatch", each.arguments) if isinstance(each.arguments, str) else call(each.id, arguments=_encoded(each.arguments))
                for each in said.calls
            ]
            messages.append({"role": "assistant", "content": "\n".join(said.parts) or None} | ({"tool_calls": made} if made else {}))
            messages += [{"role": "tool", "tool_call_id": each.id, "content": _chat_parts(each.parts)} for each in said.calls]
        else:
            messages.append({"role": said.role, "content": _chat_parts(said.parts)})
    names = {"Read": {"type": "function", "function": {"name": "Read"}}, "ApplyPatch": {"type": "custom", "custom": {"name": "ApplyPatch"}}}
    return {"messages": messages, "tools": [NESTED_READ, NESTED_PATCH], "tool_choice": names.get(conversation.choice or "", conversation.choice)}


def _chat_parts(parts: list[str]) -> Any:
    if len(parts) == 1 and not _is_image(parts[0]):
        return parts[0]
    return [{"type": "image_url", "image_url": {"url": each}} if _is_image(each) else {"type": "text", "text": each} for each in parts]


def as_responses(conversation: Conversation) -> dict[str, Any]:
    """Responses: items, flat tools, and instructions where the conversation begins with a system's words."""
    turns = conversation.turns
    leads = turns[0].role == "system"
    items: list[dict[str, Any]] = []
    for said in turns[leads:]:
        role = "developer" if said.role == "system" else said.role
        kind = "output_text" if said.role == "assistant" else "input_text"
        content = [
            {"type": "input_image", "image_url": part, "detail": "auto"} if _is_image(part) else {"type": kind, "text": part} for part in said.parts
        ]
        if content:
            items.append({"type": "message", "role": role, "content": content, "id": "msg_1", "status": "completed"})
        items.append({"type": "reasoning", "summary": [], "encrypted_content": "gAAA"})
        for each in said.calls:
            custom = isinstance(each.arguments, str)
            value = {"input": each.arguments, "name": "ApplyPatch"} if custom else {"arguments": _encoded(each.arguments), "name": "Read"}
            items.append({"type": "custom_tool_call" if custom else "function_call", "call_id": each.id, "id": "fc_1", **value})
        for each in said.calls:
            custom = isinstance(each.arguments, str)
            output = [{"type": "input_image", "image_url": part} if _is_image(part) else {"type": "input_text", "text": part} for part in each.parts]
            items.append({"type": "custom_tool_call_output" if custom else "function_call_output", "call_id": each.id, "output": output})
    flat = {"type": "function", "name": "Read", "description": "Read a file.", "parameters": READ_SCHEMA, "strict": False}
    names = {"Read": {"type": "function", "name": "Read"}, "ApplyPatch": {"type": "custom", "name": "ApplyPatch"}}
    choice = names.get(conversation.choice or "", conversation.choice)
    return {"input": items, "tools": [flat, FLAT_PATCH], "tool_choice": choice} | ({"instructions": "\n".join(turns[0].parts)} if leads else {})


def as_anthropic(conversation: Conversation) -> dict[str, Any]:
    """Anthropic's blocks: results lead the user's next turn, and its tools have an `input_schema`."""
    turns = conversation.turns
    leads = turns[0].role == "system"
    messages: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for said in turns[leads:]:
        if waiting and said.role != "user":
            messages.append({"role": "user", "content": waiting})
            waiting = []
        blocks = [*waiting, *_blocks(said.parts)]
        waiting = []
        if said.role == "assistant":
            blocks = [{"type": "thinking", "thinking": "…", "signature": "x"}, *blocks]
        for each in said.calls:
            custom = isinstance(each.arguments, str)
            value = {"name": "ApplyPatch", "input": {"input": each.arguments}} if custom else {"name": "Read", "input": each.arguments}
            blocks.append({"type": "tool_use", "id": each.id, **value})
            waiting.append({"type": "tool_result", "tool_use_id": each.id, "content": _blocks(each.parts)})
        messages.append({"role": said.role, "content": blocks})
    if waiting:
        messages.append({"role": "user", "content": waiting})
    tool = {"name": "Read", "description": "Read a file.", "input_schema": READ_SCHEMA, "cache_control": {"type": "ephemeral"}}
    names: dict[str | None, Any] = {name: {"type": "tool", "name": name} for name in ("Read", "ApplyPatch")}
    words = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}, None: None}
    choice = (names | words)[conversation.choice]
    return {"messages": messages, "tools": [tool, FLAT_PATCH], "tool_choice": choice} | ({"system": _blocks(turns[0].parts)} if leads else {})


def _blocks(parts: list[str]) -> list[dict[str, Any]]:
    return [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": part.rpartition(",")[2]}}
        if _is_image(part)
        else {"type": "text", "text": part}
        for part in parts
    ]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: not _is_image(text))
IMAGE = st.sampled_from(["data:image/png;base64,AAAA", "data:image/png;base64,iVBOR"])
ARGUMENTS = st.dictionaries(TEXT, TEXT | st.integers() | st.none() | st.lists(TEXT, max_size=2), max_size=3)


@st.composite
def conversations(draw) -> Conversation:
    """Turns of all kinds with calls of both kinds, each call with its own id and a result, and any choice."""
    count = iter(range(10_000))

    def called() -> Called:
        return Called(f"call_{next(count)}", draw(TEXT | ARGUMENTS), draw(st.lists(TEXT | IMAGE, min_size=1, max_size=3)))

    turns: list[Said] = []
    for role in [*draw(st.lists(st.sampled_from(["user", "assistant", "system"]), max_size=6)), draw(st.sampled_from(["user", "assistant"]))]:
        made = tuple(called() for _ in range(draw(st.integers(0, 3)))) if role == "assistant" else ()
        wanted = 0 if made else 1
        turns.append(Said(role, draw(st.lists(TEXT | IMAGE if role == "user" else TEXT, min_size=wanted, max_size=3)), made))
    return Conversation(turns, draw(st.sampled_from(["auto", "none", "required", "Read", "ApplyPatch", None])))

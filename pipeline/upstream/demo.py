"""What the embedded demonstration answers: honest text, calls of the tools that a client offers, or JSON in the shape that was asked for.

Theory of operation: a request comes in, a `Script` goes out, which is the model's part as Composer would write it: thinking, and text in which calls
stand as markers. The shape of the request decides, in this order:

1. tools may be called and the last message is no tool's result: a sentence and one or two calls (`pipeline.upstream.toolbelt`), whose arguments
   are valid under the offered schemas (`pipeline.upstream.sample`);
2. a JSON answer was asked for: an object, valid under the schema where there is one;
3. the last message is a tool's result: an answer that quotes it and names the tool;
4. no tools, and the system prompt begins by speaking of a title or a summary: the first words of the message;
5. anything else: text that says that no model is at work, repeats the question and tells how to connect one.

Invariants: the same request gives the same script; nothing raises; no marker in the text is the client's. A call is written in the pairs form. The
JSON form is for the few that it cannot carry: properties that the schema does not list at its root, from where the types of values are read, keys
that are no plain words, and values in which the client's own schema has a marker.
"""

import re
from collections.abc import Sequence

import msgspec

from pipeline.prompt.neutral import MARKER, neutralise_json
from pipeline.request import ImagePart, Json, Message, Request, Role, Tool, ToolMode
from pipeline.upstream.flatten import is_object
from pipeline.upstream.hints import defused, one_line
from pipeline.upstream.sample import sample_arguments, sample_value
from pipeline.upstream.toolbelt import changes_things, chosen_tools

MAX_QUOTED_CHARS = 300
MAX_TITLE_CHARS = 50
MAX_QUOTED_RESULTS = 4
MAX_RESULT_CHARS = 600
NEW_FILE = "penstock-demo.txt"
"""What a tool that changes files is given where the message names none: never a file that somebody has."""

_PLAIN_KEY = re.compile(r"[^\s<>=:{]{1,128}")

THINKING = "This is the embedded demo, so there is no model to think. "

WHO_I_AM = "This is Penstock's embedded demo: a few fixed rules and no model."
HOW_TO_CONNECT = (
    "To get answers from a real model, describe an upstream under `[upstreams.<name>]` in `penstock.toml`, lead a route under `[routes]` to it, "
    "and start `penstock serve` again."
)


class Script(msgspec.Struct, frozen=True):
    """The model's part. `text` holds its calls as markers; both are whole, to be cut into pieces by whoever speaks them."""

    thinking: str
    text: str


def write_script(request: Request) -> Script:
    """The answer to a request."""
    message = _last_of(request.messages, Role.USER)
    asked = message.text if message is not None else ""
    results = _trailing_results(request.messages)
    tools = [] if results else chosen_tools(request, asked)
    if tools:
        return Script(THINKING + _why(tools), _call_sentence(tools) + _block([(tool, _arguments(tool, asked)) for tool in tools]))
    answer_format = request.options.answer_format
    if answer_format.kind != "text":
        return Script(THINKING + "The answer has to be JSON. ", _json_answer(answer_format.schema, results[-1].text if results else asked))
    if results:
        return Script(THINKING + "A tool has answered, so I say what it said. ", _closing(results, request.messages))
    if not request.tools and _wants_title(request.messages):
        return Script(THINKING + "A short title is enough. ", one_line(asked.strip(" \n\"'“”"), MAX_TITLE_CHARS) or "A demo of Penstock")
    return Script(THINKING + "I say so, and how to connect one. ", _plain_answer(request, message))


# -- calls ---------------------------------------------------------------------------------------------------------------------------------------


def _arguments(tool: Tool, asked: str) -> dict[str, Json]:
    if changes_things(tool):
        return sample_arguments(tool.parameters, asked, new_file=NEW_FILE)
    return sample_arguments(tool.parameters, asked)


def _why(tools: Sequence[Tool]) -> str:
    return f"The client offers tools, and {' and '.join(tool.name for tool in tools)} can show how a call travels. "


def _call_sentence(tools: Sequence[Tool]) -> str:
    return f"Let me use {' and '.join(tool.name for tool in tools)} for that.\n"


def _block(calls: Sequence[tuple[Tool, dict[str, Json]]]) -> str:
    """The calls as Composer writes them."""
    return f"<|tool_calls_begin|>{''.join(_call(tool, arguments) for tool, arguments in calls)}<|tool_calls_end|>"


def _call(tool: Tool, arguments: dict[str, Json]) -> str:
    if _fits_pairs(tool, arguments):
        pairs = "".join(f"<|tool_sep|>{key}\n{_value(value)}\n" for key, value in arguments.items())
        return f"<|tool_call_begin|>\n{tool.name}\n{pairs}<|tool_call_end|>"
    return f"<|tool_call_begin|>\n{_json({'name': tool.name, 'arguments': arguments})}\n<|tool_call_end|>"


def _fits_pairs(tool: Tool, arguments: dict[str, Json]) -> bool:
    declared = tool.parameters.get("properties")
    known = declared if is_object(declared) else {}
    plain_keys = all(key in known and _PLAIN_KEY.fullmatch(key) for key in arguments)
    return plain_keys and not any(isinstance(value, str) and (MARKER.search(value) or value.endswith("\r")) for value in arguments.values())


def _value(value: Json) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Json) -> str:
    """JSON text without a marker in it: one in a client's schema is escaped, and the value stays what it is."""
    return neutralise_json(msgspec.json.encode(value).decode())


# -- text ----------------------------------------------------------------------------------------------------------------------------------------


def _json_answer(schema: dict[str, Json] | None, words: str) -> str:
    value = {"demo": True, "answer": WHO_I_AM, "asked": one_line(words, MAX_QUOTED_CHARS)} if schema is None else sample_value(schema, words)
    return _json(value)


def _closing(results: Sequence[Message], messages: Sequence[Message]) -> str:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    quoted = [_quoted(result, result.name or names.get(result.tool_call_id or "")) for result in results[-MAX_QUOTED_RESULTS:]]
    left_out = len(results) - len(quoted)
    more = [f"({left_out} earlier results are left out here.)"] if left_out else []
    return "\n\n".join([*more, *quoted, f"That is the whole tour of a tool call. {WHO_I_AM} {HOW_TO_CONNECT}"])


def _quoted(result: Message, name: str | None) -> str:
    who = f"The tool {name}" if name else "The tool"
    text = result.text.strip()
    if not text:
        return f"{who} answered without any text."
    shown = defused(text[:MAX_RESULT_CHARS]).rstrip()
    ending = f"\n… ({len(text) - MAX_RESULT_CHARS} more characters)" if len(text) > MAX_RESULT_CHARS else ""
    lines = "\n".join(f"> {line}" for line in (shown + ending).split("\n"))
    return f"{who} answered:\n\n{lines}"


def _plain_answer(request: Request, message: Message | None) -> str:
    asked = one_line(message.text, MAX_QUOTED_CHARS) if message is not None else ""
    image_count = sum(isinstance(part, ImagePart) for part in message.parts) if message is not None else 0
    blocks = [f"Hello! {WHO_I_AM} Your request has come all the way through the gateway, and this answer goes all the way back."]
    if asked:
        blocks.append(f"You asked: “{asked}”")
    if image_count:
        images = "an image" if image_count == 1 else f"{image_count} images"
        blocks.append(f"You sent {images}; the demo has no eyes for {'it' if image_count == 1 else 'them'}.")
    if request.tools and request.tool_choice.mode is not ToolMode.NONE:
        blocks.append("All the tools that you offer change something, so the demo calls one only when you name it.")
    return "\n\n".join([*blocks, HOW_TO_CONNECT])


def _wants_title(messages: Sequence[Message]) -> bool:
    """Whether the first words of the first system message speak of a title or a summary."""
    system = next((message for message in messages if message.role is Role.SYSTEM), None)
    opening = system.text[:200].lower() if system is not None else ""
    return "title" in opening or "summar" in opening


# -- the conversation ----------------------------------------------------------------------------------------------------------------------------


def _last_of(messages: Sequence[Message], role: Role) -> Message | None:
    return next((message for message in reversed(messages) if message.role is role), None)


def _trailing_results(messages: Sequence[Message]) -> list[Message]:
    """The tools' results that the conversation ends with, in order."""
    results: list[Message] = []
    for message in reversed(messages):
        if message.role is not Role.TOOL:
            break
        results.insert(0, message)
    return results

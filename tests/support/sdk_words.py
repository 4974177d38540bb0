"""Answers that are written for Composer, in the words of the SDK's bridge: so that one script is played over both.

Text and thinking keep their pieces and their pauses. Calls, which Composer writes into its text, become callbacks, with the arguments as a model
gives them: in JSON, of the types that the tool's schema names. Half a call is no call, and nothing of it is seen. An error that ends the stream, or
that is a reply of its own, becomes the bridge's error of that meaning.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pipeline.events import TextDelta, ThinkingDelta
from pipeline.wire.composer import ComposerDecoder
from pipeline.wire.connect import EnvelopeDecoder
from tests.support import sdk_scripts as sdk
from tests.support.composer_scripts import B, E, S, b, e, framed, paced
from tests.support.composer_server import Reply
from tests.support.composer_server import Step as ComposerStep
from tests.support.fake_bridge_contract import CustomTool
from tests.support.fake_bridge_steps import Call, Calls, Step, ToolResult

SDK_ERRORS = {
    "unauthenticated": ("UNAUTHORIZED", "Invalid User API Key"),
    "resource_exhausted": ("RATE_LIMIT_EXCEEDED", "You have sent many requests in the last minute."),
    "unavailable": ("", "The service is overloaded."),
}
"""What the bridge calls an error of Connect, and what it says of it; some have no name of their own there."""

_CALL = re.compile(re.escape(b) + r"\n(.*?)\n(.*?)" + re.escape(e), re.DOTALL)
_ARGUMENT = re.compile(re.escape(S) + r"(.*?)\n(.*?)\n(?=" + re.escape(S) + r"|\Z)", re.DOTALL)


class Told(msgspec.Struct, frozen=True):
    """One answer: what is said, then the calls, by name and arguments as texts; `ends` is False where the steps end the stream themselves."""

    steps: tuple[Step, ...]
    calls: tuple[tuple[str, dict[str, str]], ...] = ()
    ends: bool = True


def in_sdk_words(answer: str | Sequence[ComposerStep]) -> Told:
    """A text with or without calls, or the steps of Composer's wire."""
    steps = paced(framed(answer), b"") if isinstance(answer, str) else answer
    text = _text_of(steps)
    opened = text.find(B)
    visible = len(text) if opened < 0 else opened
    said: list[Step] = []
    for step in steps:
        if isinstance(step, Reply):
            return Told((_refused(step),), ends=False)
        if not isinstance(step, bytes):
            said.append(step)
            continue
        for event in _events_of(step):
            if isinstance(event, ThinkingDelta):
                said += [sdk.thinking(event.text), sdk.thought(event.text)]
            elif visible > 0:
                said += [sdk.delta(event.text[:visible]), sdk.assistant(event.text[:visible])]
                visible -= len(event.text)
        if (error := _error_in(step)) is not None:
            return Told((*said, error), ends=False)
    return Told(tuple(said), tuple(calls_in(text)), ends=not _is_cut(steps))


def calls_in(text: str) -> list[tuple[str, dict[str, str]]]:
    """The calls of a whole block, the inverse of `composer_scripts.block`.

    >>> from tests.support.composer_scripts import block, call
    >>> calls_in("So." + block(call("read", path="a", lines="12"), call("list")))
    [('read', {'path': 'a', 'lines': '12'}), ('list', {})]
    """
    if E not in text:
        return []
    return [(name, dict(_ARGUMENT.findall(arguments))) for name, arguments in _CALL.findall(text)]


def typed(arguments: Mapping[str, str], tool: CustomTool) -> dict[str, Any]:
    """The arguments in JSON: what the schema does not name as a string is read as JSON."""
    properties = tool.input_schema.get("properties", {})
    return {name: value if _is_text(properties.get(name, {})) else msgspec.json.decode(value) for name, value in arguments.items()}


def calling(told: Told, tools: Mapping[str, CustomTool], first: int) -> list[Step]:
    """The steps of the calls, with ids from this number on, as long and as odd as Cursor's own."""
    known = [(name, typed(arguments, tools.get(name, CustomTool()))) for name, arguments in told.calls]
    ids = [f"tool_{first + at}\nfc_{first + at:048x}" for at in range(len(known))]
    calls = [Call(name, arguments, id) for (name, arguments), id in zip(known, ids, strict=True)]
    started = [sdk.custom_tool_started(call.name, call.args, call.id or "") for call in calls]
    ended = [sdk.tool_completed("mcp", call.id or "", providerIdentifier="custom-user-tools", toolName=call.name) for call in calls]
    return [*started, Calls(*calls), *ended, sdk.step_completed()]


def number_of(result: ToolResult) -> int:
    """The number of the call, among those of its run."""
    assert result.id is not None, "`calling` gives every call an id"
    return int(result.id.partition("\n")[0].removeprefix("tool_"))


def _is_text(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", "string")
    return "string" in (kinds if isinstance(kinds, list) else [kinds])


def _text_of(steps: Sequence[ComposerStep]) -> str:
    return "".join(event.text for step in steps if isinstance(step, bytes) for event in _events_of(step) if isinstance(event, TextDelta))


def _events_of(step: bytes) -> list[TextDelta | ThinkingDelta]:
    return [event for event in ComposerDecoder().feed(step) if isinstance(event, TextDelta | ThinkingDelta)]


def _error_in(step: bytes) -> bytes | None:
    """The error of an end-stream message."""
    for envelope in EnvelopeDecoder().feed(step):
        if envelope.is_end and (error := msgspec.json.decode(envelope.payload).get("error")):
            return _error(error)
    return None


def _refused(reply: Reply) -> bytes:
    later = {"retryAfter": f"{reply.headers['retry-after']}s"} if "retry-after" in reply.headers else {}
    return _error(msgspec.json.decode(reply.body), **later)


def _error(error: Mapping[str, Any], **details: Any) -> bytes:
    name, said = SDK_ERRORS[error["code"]]
    return sdk.error_end(error["code"], said, name, **details)


def _is_cut(steps: Sequence[ComposerStep]) -> bool:
    return bool(steps) and not isinstance(steps[-1], bytes)

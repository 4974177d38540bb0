"""A Response's output as history: what a request that goes on from it (`previous_response_id`) has before its own input.

Theory of operation: the items of one answer become one assistant message, since they are one turn: its texts are parts in their order, with a line's
end between two messages, its reasoning is joined, its calls follow. That is how the same items are read where a client sends them back. A refusal is
text, as it is everywhere in a history. An incomplete text is kept. A response without output gives no message, and so does one of reasoning alone.

What comes in is a Response object as `pipeline.emit.responses` made it, perhaps stored and read again in between; no other. Models think further on
what they thought, shown or not, so the reasoning is given beside the object where it is known.
"""

from collections.abc import Iterable, Mapping

from pipeline.echo import NO_NAMESPACES
from pipeline.request import Json, Message, Role, TextPart, ToolCall

BETWEEN = "\n\n"
"""What stands between two items of reasoning, which become one text."""

APART = "\n"
"""What stands between the texts of two messages, which become one."""


def output_messages(
    response: Mapping[str, Json], namespaces: Mapping[str, tuple[str, str]] = NO_NAMESPACES, *, reasoning: str | None = None
) -> tuple[Message, ...]:
    """The output as one message of the assistant's, or none.

    `namespaces` are those of the response's request: a call is given the flat name again that the model knows the tool by. `reasoning` is all that
    came with the answer (`ResponsesStream.reasoning`); without it, what the object shows counts.

    >>> text = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
    >>> output_messages({"output": [{"type": "message", "content": [text]}]})
    (Message(role=<Role.ASSISTANT: 'assistant'>, parts=(TextPart(text='Hi'),)),)
    """
    items: list[dict[str, Json]] = response["output"]
    flat = {place: name for name, place in namespaces.items()}
    parts: list[TextPart] = []
    for item in items:
        if item["type"] == "message" and (said := [TextPart(text) for text in _texts(item["content"])]):
            parts += [TextPart(APART), *said] if parts else said
    calls = tuple(_call(item, flat) for item in items if item["type"] in ("function_call", "custom_tool_call"))
    if not (parts or calls):
        return ()
    if reasoning is None:
        reasoning = BETWEEN.join("".join(_texts(item["summary"])) for item in items if item["type"] == "reasoning")
    return (Message(Role.ASSISTANT, tuple(parts), calls, reasoning=reasoning or None),)


def _texts(parts: Iterable[Mapping[str, str]]) -> Iterable[str]:
    return (part["refusal"] if part["type"] == "refusal" else part["text"] for part in parts)


def _call(item: Mapping[str, str], flat: Mapping[tuple[str, str], str]) -> ToolCall:
    custom = item["type"] == "custom_tool_call"
    name = flat.get((item.get("namespace", ""), item["name"]), item["name"])
    return ToolCall(item["call_id"], name, item["input" if custom else "arguments"], custom=custom)

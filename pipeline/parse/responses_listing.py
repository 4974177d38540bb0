"""The input of a response as its items are listed.

Theory of operation: the `input` of a body comes in, a text or items; what goes out are items in the form of `GET /v1/responses/{id}/input_items`:
each with a type, an id that no other one has, and its content as parts. An id that the client gave stays where it is the first one; another is made
of a digest of the body and the item's number. References are the items that they refer to; those that refer to nothing are not listed. Whatever else
an item says stays as the client wrote it, and the body's own items are not changed.
"""

import hashlib
from collections.abc import Iterator

from pipeline.parse.body import is_list, is_object
from pipeline.parse.responses_items import ReadItem, kind_of
from pipeline.request import Json

PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
}
OTHER_PREFIX = "item_"
_TOKEN_BYTES = 12
_WITH_STATUS = frozenset(PREFIXES) - {"reasoning"}


def listed(value: Json, body: bytes, stored: ReadItem | None = None) -> tuple[Json, ...]:
    """The items of an input that was read and found good; `body` is what it came in.

    >>> [item["content"] for item in listed("Hello", b"{}")]
    [[{'type': 'input_text', 'text': 'Hello'}]]
    """
    items: list[Json] = value if is_list(value) else [{"role": "user", "content": value}] if value else []
    taken: set[Json] = set()
    token = ""
    found: list[Json] = []
    for item, kind in _resolved(items, stored):
        identity = item.get("id")
        if not isinstance(identity, str) or not identity or identity in taken:
            token = token or hashlib.blake2b(body, digest_size=_TOKEN_BYTES).hexdigest()
            identity = f"{PREFIXES.get(kind, OTHER_PREFIX)}{token}{len(found)}"
        taken.add(identity)
        found.append(_listed(item, kind, identity))
    return tuple(found)


def _resolved(items: list[Json], stored: ReadItem | None) -> Iterator[tuple[dict[str, Json], str]]:
    for item in items:
        kind = kind_of(item, "input")
        if kind == "item_reference":
            item = stored(item["id"]) if stored else None
            if not is_object(item) or item.get("type") == "item_reference":
                continue
            kind = kind_of(item, "input")
        yield item, kind


def _listed(item: dict[str, Json], kind: str, identity: str) -> dict[str, Json]:
    fields: dict[str, Json] = {**item, "id": identity, "type": kind}
    if kind in _WITH_STATUS and fields.get("status") is None:
        fields["status"] = "completed"
    if kind == "message":
        fields["content"] = _content(item.get("content"), is_answer=item.get("role") == "assistant")
    elif kind == "reasoning" and fields.get("summary") is None:
        fields["summary"] = []
    elif kind == "function_call" and fields.get("arguments") is None:
        fields["arguments"] = ""
    elif kind == "custom_tool_call" and fields.get("input") is None:
        fields["input"] = ""
    return fields


def _content(content: Json, *, is_answer: bool) -> list[Json]:
    parts: list[Json] = content if is_list(content) else [{"type": "text", "text": content}] if content else []
    return [_part(part, is_answer=is_answer) for part in parts]


def _part(part: dict[str, Json], *, is_answer: bool) -> dict[str, Json]:
    if part["type"] not in ("text", "output_text", "input_text"):
        return part
    if not is_answer:
        return {**part, "type": "input_text"}
    return {**part, "type": "output_text", "annotations": part.get("annotations") or [], "logprobs": part.get("logprobs") or []}

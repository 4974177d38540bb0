"""Where a body holds its conversation, and what leads it (N0-N2)."""

from typing import NamedTuple

from pipeline.errors import RequestError
from pipeline.parse.body import check_count
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.parts import raw_parts, read_parts
from pipeline.parse.quirks.turns import Turn
from pipeline.parse.quirks.typed import objects
from pipeline.request import Json

LEADS = ("instructions", "system")


class Conversation(NamedTuple):
    """The entries of a conversation, and the name of the list that they stand in."""

    place: str
    entries: list[dict[str, Json]]


def conversation_of(fields: dict[str, Json]) -> Conversation:
    """N0, N1: `messages` where it holds any, else `input`, of which a text is one user's message.

    Raises:
        RequestError: neither holds anything, or it is no list of objects.

    >>> conversation_of({"messages": [], "input": "hi"}).entries
    [{'role': 'user', 'content': 'hi'}]
    """
    place = "messages" if fields.get("messages") else "input"
    value = fields.get(place)
    if not value:
        raise RequestError("The body must hold `messages` or `input`, and neither may be empty.", param="messages")
    if place == "input" and isinstance(value, str):
        return Conversation(place, [{"role": "user", "content": value}])
    entries = objects(value, place)
    check_count(len(entries), place, "messages")
    return Conversation(place, entries)


def leading(fields: dict[str, Json], ledger: Ledger) -> list[Turn]:
    """N2: `instructions` and Anthropic's `system` as system messages, in front of all others; raises RequestError for what is no text."""
    found: list[Turn] = []
    for name in LEADS:
        parts = list(read_parts(raw_parts(fields.get(name), name, ledger), ledger))
        if any(part.text for part in parts):
            found.append(Turn("system", name, parts))
    return found

"""The bodies that Cursor's backend sends to its custom base URL, as the canonical Request.

Theory of operation: the path says Chat Completions, and the body is Chat, Responses or Anthropic's blocks in Chat, chosen by the model's name, often
in a mixture. `normalise` makes one Chat body of it, by rules (N0 to N11) that each have a function of their own in `pipeline.parse.quirks`; the
readers of a chat body do the rest. It is pure: the body that came in is left as it is, the same body always gives the same, and a body that is
normalised already stays. Nothing here knows which upstream the request goes to. Whatever is left out on the way is in `notices` or `ignored`, and an
error names the place in the body that the client sent.
"""

import msgspec

from pipeline.errors import RequestError
from pipeline.events import Notice
from pipeline.parse.body import decode_body
from pipeline.parse.chat import build_request
from pipeline.parse.quirks.choice import read_choice
from pipeline.parse.quirks.fields import conversation_id, other_fields
from pipeline.parse.quirks.ids import rewrite_ids
from pipeline.parse.quirks.items import read_items
from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.legacy import name_legacy_calls
from pipeline.parse.quirks.pairing import pair_results
from pipeline.parse.quirks.places import Places
from pipeline.parse.quirks.shape import conversation_of, leading
from pipeline.parse.quirks.tools import read_offer
from pipeline.parse.quirks.turns import Turn, folded, without_empty
from pipeline.request import Json, Request


class Normalised(msgspec.Struct, frozen=True):
    """A Chat Completions body, and what had to be said about making it.

    `conversation` is the client's id of it; `ignored` are the names of fields that no upstream gets; `places` knows where everything stood.
    """

    fields: dict[str, Json]
    conversation: str | None
    ignored: tuple[str, ...]
    notices: tuple[Notice, ...]
    places: Places


def parse_cursor(body: bytes) -> Request:
    """Parse the body of `POST /cursor/chat/completions`.

    Raises:
        RequestError: as `parse_chat`, and for an item, a block or a tool that has no meaning here; `param` is the path in the body as sent.

    >>> parse_cursor(b'{"model": "gpt-4o", "input": "Hello", "instructions": "Be brief."}').messages[0].text
    'Be brief.'
    """
    normalised = normalise(decode_body(body))
    try:
        request = build_request(normalised.fields, conversation=normalised.conversation, is_counted=True)
    except RequestError as error:
        raise normalised.places.relocated(error) from None
    return msgspec.structs.replace(
        request,
        messages=tuple(normalised.places.placed(message, index) for index, message in enumerate(request.messages)),
        ignored=tuple(dict.fromkeys((*normalised.ignored, *request.ignored))),
        notices=(*normalised.notices, *request.notices),
    )


def normalise(fields: dict[str, Json]) -> Normalised:
    """One Chat Completions body out of any that Cursor sends.

    Raises:
        RequestError: something in it has no meaning; `param` is its path.

    >>> normalise({"input": [{"type": "custom_tool_call", "call_id": "a", "name": "ApplyPatch", "input": "*** Begin"}]}).fields["messages"][1]
    {'role': 'tool', 'content': '[no result was recorded]', 'tool_call_id': 'a'}
    """
    conversation = conversation_of(fields)
    ledger = Ledger(conversation.place)
    offer = read_offer(fields, ledger)
    choice = read_choice(fields, offer, ledger)
    turns = [*leading(fields, ledger), *read_items(conversation.entries, conversation.place, choice.kinds, ledger)]
    turns = _in_order(turns, ledger)
    if not turns:
        raise RequestError(f"{conversation.place} holds nothing that can be sent to a model.", param=conversation.place)
    chosen = {"tools": list(choice.tools), "tool_choice": choice.value, "parallel_tool_calls": choice.parallel} if choice.tools else {}
    canonical = {
        **other_fields(fields, ledger),
        "messages": [turn.written(ledger) for turn in turns],
        **{name: value for name, value in chosen.items() if value is not None},
    }
    return Normalised(canonical, conversation_id(fields, ledger), ledger.ignored, ledger.notices, Places(turns, fields))


def _in_order(turns: list[Turn], ledger: Ledger) -> list[Turn]:
    """N4, N10: one turn for what is one message, and each call with its result; a result that moves away may leave two neighbours to fold."""
    name_legacy_calls(turns, ledger)
    paired = pair_results(without_empty(folded(turns, ledger), ledger), ledger)
    rewrite_ids(paired, ledger)
    return folded(paired, ledger)

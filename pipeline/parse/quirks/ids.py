"""Ids of calls that every upstream takes (N10 ids).

Theory of operation: providers ask for at most 64 letters, digits, `_` and `-`; Cursor has sent two ids in one, with a line feed between them. An id
that is fine stays. Any other becomes a digest of itself, the same in every turn of a conversation and for call and result alike, so that caches of
prompts hold. Two ids of a body never become one: a digest that the body already has, as another's or as the client's own, is made again with a count.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import count

from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.turns import Turn

FINE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def rewrite_ids(turns: Sequence[Turn], ledger: Ledger) -> None:
    """N10 ids: replace the ids of calls and results that some upstream would refuse, in place."""
    given = dict.fromkeys(each for turn in turns for each in (*(call.id for call in turn.calls), turn.answers) if each is not None)
    rewritten = rewriting(list(given))
    if not rewritten:
        return
    ledger.repaired("call_id_rewritten", "ids of tool calls that some upstreams refuse were replaced")
    for turn in turns:
        if turn.answers is not None:
            turn.answers = rewritten.get(turn.answers, turn.answers)
        for call in turn.calls:
            if call.id is not None:
                call.id = rewritten.get(call.id, call.id)


def rewriting(ids: Sequence[str]) -> dict[str, str]:
    """The ids that have to change, with what they become: new to the body, and different for each.

    >>> rewriting(["call_1", "call_1|fc_2"])
    {'call_1|fc_2': 'call_6a1df22190237318dbaeca63c8f58b06'}
    """
    taken = {each for each in ids if FINE.fullmatch(each)}
    found: dict[str, str] = {}
    for each in ids:
        if each not in taken and each not in found:
            found[each] = next(made for number in count() if (made := _digest(each, number)) not in taken)
            taken.add(found[each])
    return found


def _digest(given: str, number: int) -> str:
    return f"call_{sha256(f'{number}:{given}'.encode(errors='surrogatepass')).hexdigest()[:32]}"

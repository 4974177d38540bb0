"""Ids of calls that every upstream takes (N10 ids).

Theory of operation: providers ask for at most 64 letters, digits, `_` and `-`; Cursor has sent two ids in one, with a line feed between them. An id
that is fine stays. Any other becomes a digest of itself, the same in every turn of a conversation and for call and result alike, so that caches of
prompts hold. So does the second and any further one of equal ids in one message, with its count there: no upstream can tell two such calls apart. Two
ids of a body never become one: a digest that the body already has, as another's or as the client's own, is made again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import count
from typing import NamedTuple

from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.turns import Turn

FINE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Given(NamedTuple):
    """An id as the client wrote it; `earlier` calls of the same message have the same one."""

    id: str
    earlier: int = 0


def rewrite_ids(turns: Sequence[Turn], ledger: Ledger) -> None:
    """N10 ids: replace the ids of calls and results that some upstream would refuse, in place.

    Args:
        turns: each with its results directly behind it, in the order of its calls.
        ledger: what was replaced is said there.
    """
    places = [(place, given) for turn in turns for place, given in zip(turn.calls, _given(turn), strict=True)]
    rewritten = rewriting(list(dict.fromkeys(given for _, given in places)))
    if not rewritten:
        return
    if any(not FINE.fullmatch(given.id) for given in rewritten):
        ledger.repaired("call_id_rewritten", "ids of tool calls that some upstreams refuse were replaced")
    if any(given.earlier for given in rewritten):
        ledger.repaired("call_id_rewritten", "calls of one message had the same id, and the later ones got ids of their own")
    results = iter([turn for turn in turns if turn.role == "tool"])  # one for each call, in the same order
    for call, given in places:
        call.id = next(results).answers = rewritten.get(given, given.id)


def rewriting(ids: Sequence[Given]) -> dict[Given, str]:
    """The ids that have to change, with what they become: new to the body, and different for each.

    >>> rewriting([Given("call_1"), Given("call_1|fc_2")])
    {Given(id='call_1|fc_2', earlier=0): 'call_6a1df22190237318dbaeca63c8f58b06'}
    """
    taken = {each.id for each in ids if FINE.fullmatch(each.id)}
    found: dict[Given, str] = {}
    for each in dict.fromkeys(ids):
        if each.earlier or each.id not in taken:
            found[each] = next(made for number in count(each.earlier) if (made := _digest(each.id, number)) not in taken)
            taken.add(found[each])
    return found


def _given(turn: Turn) -> Iterator[Given]:
    """The ids of a turn's calls."""
    seen: Counter[str] = Counter()
    for call in turn.calls:
        name = call.id or ""
        yield Given(name, seen[name])
        seen[name] += 1


def _digest(given: str, number: int) -> str:
    return f"call_{sha256(f'{number}:{given}'.encode(errors='surrogatepass')).hexdigest()[:32]}"

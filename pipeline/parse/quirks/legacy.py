"""Calls and results of the legacy function form get ids, so that they pair up as the modern ones do (N7 legacy, in the history).

Theory of operation: such a call has a name and no id, and its result has that name. A call gets an id of our own that no other call has; a result
gets the id of the oldest earlier call of its name that has no result yet, or none. What has an id is left alone.
"""

from collections import deque
from collections.abc import Sequence
from itertools import count

from pipeline.parse.quirks.ledger import Ledger
from pipeline.parse.quirks.turns import Turn


def name_legacy_calls(turns: Sequence[Turn], ledger: Ledger) -> None:
    """N7 legacy: give ids to the calls and results that have only a name, in place."""
    if not any(turn.legacy_name is not None or any(call.id is None for call in turn.calls) for turn in turns):
        return
    ledger.repaired("legacy_functions", "function_call in the history was read as tool_calls")
    taken = {call.id for turn in turns for call in turn.calls} | {turn.answers for turn in turns}
    fresh = (made for number in count(1) if (made := f"call_legacy_{number}") not in taken)
    waiting: dict[str, deque[str]] = {}
    for turn in turns:
        for call in turn.calls:
            if call.id is None:
                call.id = next(fresh)
                waiting.setdefault(call.name, deque()).append(call.id)
        if turn.legacy_name is not None and waiting.get(turn.legacy_name):
            turn.answers = waiting[turn.legacy_name].popleft()

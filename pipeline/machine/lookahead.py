"""Whether a marker inside a call means something: a marker counts only where the grammar allows it, and everything else is data.

Each function looks at what follows the marker, says YES or NO, or WAIT while that is not decided. What it may have to look at is bounded: at most 16
white-space characters and one marker, or one name. This is what keeps a file that *talks about* tool markers intact when it is an argument.
"""

import re
from collections.abc import Set

from pipeline.machine.markers import NAME, Kind, Marker
from pipeline.machine.tape import Tape, Verdict
from pipeline.machine.tools.inventory import Inventory
from pipeline.machine.tools.schema import ToolSchema

_NAME = re.compile(NAME)


def ends_call(tape: Tape, marker: Marker, *, in_block: bool) -> Verdict:
    """`tool_call_end` ends a call if the next call, the block's end or the proper end of the stream follows; outside a block it always does."""
    if not in_block:
        return Verdict.YES
    following = tape.next_marker(marker.stop)
    if isinstance(following, Verdict):
        return following
    return Verdict.YES if following.kind in (Kind.CALL_BEGIN, Kind.CALLS_END) else Verdict.NO


def ends_block(tape: Tape, marker: Marker) -> Verdict:
    """`tool_calls_end` where no call has ended: only the proper end of the stream right behind it makes it count."""
    if tape.skip_space(marker.stop) < len(tape.text):
        return Verdict.NO
    return Verdict.YES if tape.ended else tape.undecided()


def begins_call(tape: Tape, marker: Marker, inventory: Inventory) -> Verdict:
    """`tool_call_begin` inside a call: only a known tool's name, and then a newline or a marker, make it count."""
    at = tape.skip_space(marker.stop)
    found = _NAME.match(tape.text, at)
    if not found:
        return tape.undecided() if at == len(tape.text) else Verdict.NO
    if found.end() == len(tape.text):
        return tape.undecided()
    if inventory.find(found.group()) is None:
        return Verdict.NO
    rest = tape.skip_space(found.end())
    if "\n" in tape.text[found.end() : rest]:
        return Verdict.YES
    following = tape.next_marker(found.end())
    if isinstance(following, Verdict):
        return Verdict.NO if following is Verdict.YES else following
    return Verdict.YES


def begins_argument(tape: Tape, marker: Marker, schema: ToolSchema, given: Set[str]) -> re.Match[str] | Verdict:
    """`tool_sep` inside a value: only a key of the tool that is not yet given, and its separator, make it count."""
    ahead = tape.text[marker.stop : marker.stop + schema.longest_key_chars + 1]
    reaches_end = marker.stop + len(ahead) == len(tape.text)
    if reaches_end and tape.ended is None and schema.starts_odd_key(ahead, given):
        return Verdict.WAIT
    found = schema.key_pattern.match(tape.text, marker.stop)
    if found:
        return found if schema.accepts_key(found["key"], found["separator"], given) else Verdict.NO
    return tape.undecided() if reaches_end and schema.starts_key(ahead, given) else Verdict.NO


def value_end(tape: Tape, stop: int, *, spaced: bool, at_end: bool) -> int:
    """Where a value ends if it ends at `stop`: one newline before it is stripped, or one white-space character where a space parted key and value.

    `at_end`: nothing stands behind `stop` yet, so that a carriage return may be half of a line end.
    """
    text, at = tape.text, tape.at
    if spaced:
        return stop - 1 if stop > at and text[stop - 1].isspace() else stop
    if text.endswith("\r\n", at, stop):
        return stop - 2
    return stop - 1 if text.endswith("\n", at, stop) or (at_end and text.endswith("\r", at, stop)) else stop

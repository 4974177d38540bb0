"""`penstock replay --tools`: the calls of recorded answers, as the model wrote them and as a client with these tools gets them.

Theory of operation: a case's bytes go through the flow twice. The first run offers no tools and passes every call, so that names and keys stand as
the model spelled them; the second offers the given tools under the default policies, as a client would. The calls of both runs come in the same order
and are paired: a call of the first run belongs to the next outcome of the second one if that is a call of the tool which its name means, or no call
at all. A notice belongs to the call that it speaks of, which is the last one before it, or the next one for those that come before a call's start.
Nothing is compared with `expected/` and nothing is written.

How it looks is for `pipeline.replay_view`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pipeline.cases import CaseError, load_case
from pipeline.errors import PenstockError
from pipeline.events import Event, Failed, Notice, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.expectations import Replay, replayed_events
from pipeline.machine.tools.inventory import Inventory, ToolPolicy, Unknown
from pipeline.parse.body import decode_body
from pipeline.parse.tools import read_toolbox
from pipeline.request import Json, Tool, ToolChoice
from pipeline.upstream.replayed import KINDS, Split

NO_CALL = frozenset({"unknown_tool", "call_without_tools", "parallel_call_dropped"})
"""Notices that stand where a call would have been."""

AHEAD = frozenset({"tool_renamed"})
"""Notices that come in front of the start of their call."""


class ToolsError(Exception):
    """A file that holds no tools; the message says what is wrong with it."""


class Call(msgspec.Struct, frozen=True):
    """A call; `arguments` is JSON text, of which the end is missing when the call is not `complete`."""

    name: str
    arguments: str
    complete: bool

    def members(self) -> dict[str, str] | None:
        """Key to the value's JSON text; None when the arguments are no object."""
        try:
            found = msgspec.json.decode(self.arguments or "{}", type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return {key: bytes(value).decode() for key, value in found.items()}


class Argument(msgspec.Struct, frozen=True):
    """One argument: key and JSON text on both sides. None: it does not stand there."""

    model: tuple[str, str] | None
    client: tuple[str, str] | None


class Pair(msgspec.Struct, frozen=True):
    """One call on both sides, and what is said of it. `client` is None for a call that leaves as text or not at all."""

    model: Call | None
    client: Call | None
    arguments: tuple[Argument, ...] = ()
    notices: tuple[Notice, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """What one case gives.

    `notices` are those of no call, `failed` says why the answer failed, `error` why the case could not be read. Not `mapped`: the upstream does not
    write calls as text, and what it sends is passed as it is.
    """

    path: Path
    name: str = ""
    pairs: tuple[Pair, ...] = ()
    notices: tuple[Notice, ...] = ()
    failed: PenstockError | None = None
    mapped: bool = True
    error: str | None = None


def read_tools(file: Path) -> tuple[Tool, ...]:
    """The tools in a file: a JSON list of them, or a request body; raises ToolsError."""
    try:
        text = file.read_bytes()
        fields: dict[str, Json] = decode_body(text if text.lstrip().startswith(b"{") else b'{"tools":' + text + b"}")
        tools = read_toolbox({name: fields[name] for name in ("tools", "functions") if name in fields}).tools
    except OSError as error:
        raise ToolsError(f"{file}: {error.strerror}") from None
    except PenstockError as error:
        raise ToolsError(f"{file}: {error.message}") from None
    if not tools:
        raise ToolsError(f"{file}: there are no tools in it; it is a JSON list of tools, or a request body that has one")
    return tools


async def read_all(paths: Sequence[Path], tools: tuple[Tool, ...], split: Split, speed: float = 0.0) -> list[Reading]:
    """Read each case; one that cannot be read does not stop the others."""
    return [await read_case(path, tools, split, speed) for path in paths]


async def read_case(path: Path, tools: tuple[Tool, ...], split: Split, speed: float = 0.0) -> Reading:
    """The calls of one case, on both sides; the recorded timing is kept once."""
    try:
        case = load_case(path)
        replay = Replay(case, split)
        request = replay.request()
        options = msgspec.structs.replace(request.options, parallel_tool_calls=True)
        wrote = msgspec.structs.replace(request, tools=(), tool_choice=ToolChoice(), options=options)
        offers = msgspec.structs.replace(request, tools=tools, tool_choice=ToolChoice())
        before = await replayed_events(replay, request=wrote, policy=ToolPolicy(without_tools=Unknown.PASS))
        after = await replayed_events(msgspec.structs.replace(replay, speed=speed), request=offers)
    except CaseError as error:
        return Reading(path, error=str(error))
    written = [call for call, _ in _outcomes(before)[1] if call is not None]
    notices, outcomes = _outcomes(after)
    last = after[-1] if after else None
    return Reading(
        path,
        f"{case.name}: {case.meta.title}" if case.meta.title else case.name,
        tuple(_pairs(written, outcomes, Inventory(tools))),
        tuple(notices),
        last.error if isinstance(last, Failed) else None,
        KINDS[case.meta.upstream].writes_markers,
    )


Outcome = tuple[Call | None, list[Notice]]


def _outcomes(events: Sequence[Event]) -> tuple[list[Notice], list[Outcome]]:
    """The notices of no call, and for each call, or what stands for one, the call and its notices."""
    loose: list[Notice] = []
    ahead: list[Notice] = []
    order: list[Outcome] = []
    places: dict[int, int] = {}
    for event in events:
        match event:
            case Notice(code) if code in AHEAD:
                ahead.append(event)
            case Notice(code) if code in NO_CALL:
                order.append((None, [event]))
            case Notice():
                (order[-1][1] if order else loose).append(event)
            case ToolCallStart(index, _, name):
                places[index] = len(order)
                order.append((Call(name, "", complete=False), ahead))
                ahead = []
            case ToolCallDelta(index, arguments):
                call, notices = order[places[index]]
                order[places[index]] = _with(call, notices, arguments=arguments)
            case ToolCallEnd(index):
                call, notices = order[places[index]]
                order[places[index]] = _with(call, notices, complete=True)
            case _:
                pass
    return loose, order


def _with(call: Call | None, notices: list[Notice], *, arguments: str = "", complete: bool = False) -> Outcome:
    return (call and msgspec.structs.replace(call, arguments=call.arguments + arguments, complete=complete)), notices


def _pairs(written: Sequence[Call], outcomes: Sequence[Outcome], inventory: Inventory) -> Iterator[Pair]:
    rest = deque(outcomes)
    for call in written:
        schema = inventory.find(call.name)
        meant = schema.name if schema else call.name
        if rest and (rest[0][0] is None or rest[0][0].name == meant):
            client, notices = rest.popleft()
            yield Pair(call, client, tuple(_arguments(call, client, inventory)), tuple(notices))
        else:
            yield Pair(call, None)
    for client, notices in rest:
        yield Pair(None, client, notices=tuple(notices))


def _arguments(model: Call, client: Call | None, inventory: Inventory) -> Iterator[Argument]:
    """The model's arguments in its order, each beside the one that it became."""
    schema = inventory.find(model.name)
    there = (client.members() if client else None) or {}
    for key, value in (model.members() or {}).items():
        place = (schema.key(key) if schema else None) or key
        yield Argument((key, value), (place, there.pop(place)) if place in there else None)
    for place, value in there.items():
        yield Argument(None, (place, value))

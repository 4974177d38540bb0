"""`penstock replay --tools`: the calls of recorded answers, as the model wrote them and as a client with these tools gets them.

Theory of operation: a case's bytes go through the flow once, with the given tools offered under the default policies, as a client would offer them.
The machine takes down what it reads while it reads it (`pipeline.machine.written`): names and keys as the model spelled them, values before they
were fitted, the place that each argument got, and the Notices said of each call. So both sides are of one reading, and nothing has to be guessed
about which belongs to which. A call that passes as text is not read beyond its name, and no arguments are shown of it. Nothing is compared with
`expected/` and nothing is written.

How it looks is for `pipeline.replay_view`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from pipeline.cases import CaseError, load_case
from pipeline.errors import PenstockError
from pipeline.events import Event, Failed, Notice, ToolCallDelta, ToolCallEnd, ToolCallStart
from pipeline.expectations import Replay, replayed_events
from pipeline.machine.values.json_source import quote
from pipeline.machine.written import WrittenCall
from pipeline.parse.body import decode_body
from pipeline.parse.tools import read_toolbox
from pipeline.prompt.custom_tools import in_function_form
from pipeline.request import Json, Request, Tool, ToolChoice
from pipeline.upstream.replayed import KINDS, Split


class ToolsError(Exception):
    """A file that holds no tools; the message says what is wrong with it."""


class Call(msgspec.Struct, frozen=True):
    """A call; `arguments` is JSON text, of which the end is missing when the call is not `complete`. None: they were not read."""

    name: str
    arguments: str | None
    complete: bool

    def members(self) -> dict[str, str] | None:
        """Key to the value's JSON text, for a call that was cut as far as it came; None when the arguments are no object."""
        for end in ("",) if self.complete else ("", '"}', "}"):
            try:
                found = msgspec.json.decode((self.arguments or "") + end or "{}", type=dict[str, msgspec.Raw])
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                continue
            return {key: bytes(value).decode() for key, value in found.items()}
        return None


class Argument(msgspec.Struct, frozen=True):
    """One argument: key and JSON text on both sides. None: it does not stand there."""

    model: tuple[str, str] | None
    client: tuple[str, str] | None


class Pair(msgspec.Struct, frozen=True):
    """One call on both sides, and what is said of it. `client` is None for a call that leaves as text (`is_text`: for its name) or not at all."""

    model: Call
    client: Call | None
    arguments: tuple[Argument, ...] = ()
    notices: tuple[Notice, ...] = ()
    is_text: bool = False


class Reading(msgspec.Struct, frozen=True):
    """What one case gives.

    `notices` are those of no call, `failed` says why the answer failed, `error` why the case could not be read. Not `mapped`: the upstream keeps its
    promises by itself, and the calls that it sends are passed as they are.
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
        tools = in_function_form(Request("", (), tools)).tools  # as the model was offered them
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
    """The calls of one case, on both sides."""
    written: list[WrittenCall] = []
    try:
        case = load_case(path)
        replay = Replay(case, split, speed)
        offers = msgspec.structs.replace(replay.request(), tools=tools, tool_choice=ToolChoice())
        events = await replayed_events(replay, request=offers, written=written)
    except CaseError as error:
        return Reading(path, error=str(error))
    mapped = not KINDS[case.meta.upstream].keeps_promises
    clients = _clients(events)
    pairs = tuple(_pair(call, clients) for call in written) if mapped else tuple(map(_same, clients.values()))
    of_calls = {id(notice) for pair in pairs for notice in pair.notices}
    last = events[-1] if events else None
    return Reading(
        path,
        f"{case.name}: {case.meta.title}" if case.meta.title else case.name,
        pairs,
        tuple(event for event in events if isinstance(event, Notice) and id(event) not in of_calls),
        last.error if isinstance(last, Failed) else None,
        mapped,
    )


def _clients(events: Sequence[Event]) -> dict[int, Call]:
    """Index to call, as a client puts them together."""
    calls: dict[int, Call] = {}
    pieces: dict[int, list[str]] = {}
    ended: set[int] = set()
    for event in events:
        match event:
            case ToolCallStart(index, _, name):
                calls[index] = Call(name, "", complete=False)
                pieces[index] = []
            case ToolCallDelta(index, arguments):
                pieces[index].append(arguments)
            case ToolCallEnd(index):
                ended.add(index)
            case _:
                pass
    return {index: Call(call.name, "".join(pieces[index]), index in ended) for index, call in calls.items()}


def _pair(written: WrittenCall, clients: dict[int, Call]) -> Pair:
    client = None if written.index is None else clients.get(written.index)
    source = None if written.arguments is None else ",".join(f"{quote(made.spelling)}:{made.source}" for made in written.arguments)
    model = Call(written.name, None if source is None else f"{{{source}}}" if written.is_complete else f"{{{source}", written.is_complete)
    return Pair(model, client, tuple(_arguments(written, client)), tuple(written.notices), written.is_text)


def _arguments(written: WrittenCall, client: Call | None) -> Iterator[Argument]:
    """The model's arguments in its order, each beside the one that it became."""
    there = (client.members() if client else None) or {}
    for made in written.arguments or ():
        yield Argument((made.spelling, made.source), None if made.place is None or made.place not in there else (made.place, there[made.place]))


def _same(call: Call) -> Pair:
    """A call that is passed as it is."""
    return Pair(call, call, tuple(Argument(member, member) for member in (call.members() or {}).items()))

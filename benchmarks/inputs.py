"""The answers that are sent through the pipeline: prose, thinking, and a file written by a tool call.

Each is a `Script`: the deltas that an upstream sends, the same as Composer's bytes in reads of `FRAMES_PER_READ` frames, and what a client must
read in the end. Pieces are of 3 to 15 characters drawn from a fixed seed, so every run measures the same bytes: 9 on average in prose, 10 in source
code. A piece begins with the white space before a word rather than ending with it, as models' tokens do.
"""

import itertools
import random
from collections.abc import Iterator, Sequence

import msgspec

from pipeline.events import Finish, TextDelta, ThinkingDelta, UpstreamEvent
from pipeline.request import Message, Request, Role, TextPart, Tool
from pipeline.wire.composer import encode_end, encode_text, encode_thinking

FRAMES_PER_READ = 32
READS = 64
SEED = 20
SHORTEST, LONGEST = 3, 15

PROSE = """\
The retry happens in the wrong place. `fetch_page` catches the timeout itself, waits, and asks again, so by the time the caller's own deadline fires \
the request has already been sent three times. I'd move the loop up one level: let `fetch_page` raise, and let `sync_account` decide whether another \
attempt still fits into the time that is left.

There are two more things worth knowing before you merge this:

1. The cursor is only written after the whole page was stored. That is right, but it means a crash between the two repeats a page, so the insert has \
to be idempotent. A unique index on (account_id, external_id) and "ON CONFLICT DO NOTHING" would do it.
2. `parse_date` treats dates without a zone as local time. Your tests pass in Zürich and fail in São Paulo \u2014 the offset isn't the problem, the \
day boundary is.

I've left the public signatures as they were. Run `pytest tests/sync -k retry` to see the case that used to fail; it takes about 0.4 seconds.

"""

SOURCE = '''\
class Page(NamedTuple):
    """One page of results; `cursor` is None on the last."""

    items: list[Item]
    cursor: str | None = None


def sync_account(account: Account, store: Store, *, deadline: float) -> int:
    """Bring an account up to date and return how many items were new."""
    count, attempt = 0, 0
    while account.cursor is not None:
        try:
            page = fetch_page(account, account.cursor)
        except TimeoutError:
            attempt += 1
            if attempt < MAX_ATTEMPTS and time.monotonic() + backoff(attempt) < deadline:
                time.sleep(backoff(attempt))
                continue
            raise
        count += store.insert(page.items)
        account.cursor = page.cursor
        logger.info("stored %d items of \\"%s\\"", count, account.name)
    return count


'''

PATH = "sync/account.py"
SEP = "<｜tool▁sep｜>"
CALL_BEGIN = ("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "\nWrite\n", SEP, "path\n", PATH, "\n", SEP, "content\n")
CALL_END = ("\n", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>")
BEFORE_CALL = ("I", " will write", " the file", " as", " discussed", ".", "\n\n")


def _tool(name: str, description: str, *required: str, **types: str) -> Tool:
    properties = {key: {"type": kind} for key, kind in types.items()}
    return Tool(name, description, {"type": "object", "properties": properties, "required": list(required)})


TOOLS = (
    _tool("Read", "Read a file.", "path", path="string", offset="integer", limit="integer"),
    _tool("Write", "Write a file, replacing it if it exists.", "path", "content", path="string", content="string"),
    _tool("Edit", "Replace text in a file.", "path", "old", "new", path="string", old="string", new="string", all="boolean"),
    _tool("Bash", "Run a command.", "command", command="string", timeout="number"),
    _tool("Grep", "Search in files.", "pattern", pattern="string", path="string", glob="string"),
    _tool("Glob", "Find files by name.", "pattern", pattern="string", path="string"),
)


class Script(msgspec.Struct, frozen=True):
    """An answer of an upstream, and what becomes of it.

    `reads` are Composer's bytes; `events` the same, decoded, one list a read; `chunks` is the number of deltas. The client must be sent
    `chunks_out` chunks that say `text`, `thinking` and the JSON value `arguments` together.
    """

    name: str
    request: Request
    reads: tuple[bytes, ...]
    events: tuple[list[UpstreamEvent], ...]
    chunks: int
    chunks_out: int
    text: str = ""
    thinking: str = ""
    arguments: dict[str, str] | None = None


def prose() -> Script:
    """Visible text without anything that could be a marker."""
    pieces = text_pieces(PROSE, READS * FRAMES_PER_READ)
    return _script("prose", [TextDelta(piece) for piece in pieces], chunks_out=len(pieces) + ENDS, text="".join(pieces))


def thinking() -> Script:
    """Reasoning, and a short visible answer at the end."""
    pieces = text_pieces(PROSE, READS * FRAMES_PER_READ - 1)
    deltas: list[TextDelta | ThinkingDelta] = [*map(ThinkingDelta, pieces), TextDelta("Done.")]
    return _script("thinking", deltas, chunks_out=len(deltas) + ENDS, text="Done.", thinking="".join(pieces))


def tool_call() -> Script:
    """A sentence, and then a call whose one argument is a long file."""
    content = text_pieces(SOURCE, READS * FRAMES_PER_READ - len(BEFORE_CALL) - len(CALL_BEGIN) - len(CALL_END))
    deltas = [TextDelta(piece) for piece in (*BEFORE_CALL, *CALL_BEGIN, *content, *CALL_END)]
    chunks_out = len(BEFORE_CALL) + len(content) + CALL_FRAMING + ENDS
    arguments = {"path": PATH, "content": "".join(content)}
    return _script("tool call", deltas, chunks_out=chunks_out, text="".join(BEFORE_CALL), arguments=arguments)


ENDS = 2
"""Chunks that no delta stands for: the role at the beginning, the finish reason at the end."""

CALL_FRAMING = 5
"""Chunks that the markers, labels and the path become: the start, `{"path":"`, the path, `","content":"` and `"}`."""


def _script(
    name: str,
    deltas: Sequence[TextDelta | ThinkingDelta],
    *,
    chunks_out: int,
    text: str = "",
    thinking: str = "",
    arguments: dict[str, str] | None = None,
) -> Script:
    frames = [encode_text(delta.text) if isinstance(delta, TextDelta) else encode_thinking(delta.text) for delta in deltas]
    reads = [b"".join(frames[start : start + FRAMES_PER_READ]) for start in range(0, len(frames), FRAMES_PER_READ)]
    events: list[list[UpstreamEvent]] = [list(deltas[start : start + FRAMES_PER_READ]) for start in range(0, len(deltas), FRAMES_PER_READ)]
    reads[-1] += encode_end()
    events[-1].append(Finish())
    question = Message(Role.USER, (TextPart("Why is the request sent three times?"),))
    request = Request("composer-2.5", (question,), tools=TOOLS if arguments else (), stream=True, agent=arguments is not None)
    return Script(name, request, tuple(reads), tuple(events), len(deltas), chunks_out, text, thinking, arguments)


def text_pieces(text: str, count: int) -> list[str]:
    """`count` pieces of the text, repeated as often as it takes; each ends with a visible character."""
    return list(itertools.islice(_cut(text), count))


def _cut(text: str) -> Iterator[str]:
    chance = random.Random(SEED)
    rest = text
    while True:
        size = chance.randint(SHORTEST, LONGEST)
        while len(rest) <= size + len(text):
            rest += text
        while rest[size - 1].isspace():
            size += 1
        yield rest[:size]
        rest = rest[size:]

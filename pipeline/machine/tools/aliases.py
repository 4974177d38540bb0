"""Names of tools and arguments that mean the same: folded spellings, and the tables of what other clients call the same thing.

Theory of operation: models were trained on the tools of some clients and call those names under any other client too. `aliases.toml`, beside this
module, says for each *concept* (write a file, run a command) how the clients spell the tool, and how they spell each *role* of its arguments (the
path, the content). Two names are the same tool when both are rows of one concept; two keys are the same argument when both are spellings of one role
of it. So n clients take n rows, and no pair of clients is written down.

The two sides are not the same. What a model writes is taken by its name alone, since models write the names of tools that they know. What a client
offers may be any tool of that name, so it counts only if it looks like one row: the row is `offered`, and the tool has the keys by which that row
itself spells what is required, and the row's `marks`.

The tables rename and nothing else: what may be renamed onto what the client offers is decided in `inventory` and `schema`, by what the client's own
schema says. A name means one concept at most, and within a concept a key means one role at most; a test holds the tables to that.

The file is read when a name or key is first not found as it stands, and then kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path

import msgspec

OBSERVED = "observed in recorded Composer answers"
"""What a row says instead of an address when no public page states its facts."""

_FILE = Path(__file__).with_name("aliases.toml")


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one argument of a concept means.

    `type` is the JSON type of its values. A tool without a `required` role is not the concept's. An argument whose role is marked `drop` may be left
    out where the tool has no property of that role.
    """

    type: str
    required: bool = False
    drop: bool = False


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one client spells a concept: the tool, and role to key. `source` is where that was read, on the day `seen`.

    Not `offered`: models write it, and no tool that a client offers is known by it. `marks` are keys that tell the client's tool from others' of a
    common name.
    """

    client: str
    tool: str
    arguments: dict[str, str]
    source: str
    seen: date
    offered: bool = True
    marks: tuple[str, ...] = ()


class Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"rows": "row"}):
    """One thing that tools of several clients do."""

    name: str
    roles: dict[str, Role]
    rows: tuple[Row, ...]
    note: str = ""

    def keys_of(self, row: Row) -> frozenset[str] | None:
        """The folded keys that an offered tool must have to be the row's; None for a row that no offered tool is known by."""
        required = [role for role, meaning in self.roles.items() if meaning.required]
        if not row.offered or not all(role in row.arguments for role in required):
            return None
        return frozenset(map(fold, (*(row.arguments[role] for role in required), *row.marks)))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"concepts": "concept"}):
    concepts: tuple[Concept, ...]


def fold(name: str) -> str:
    """A name without case and punctuation, for comparing names that models spell their own way.

    >>> fold("File_Path") == fold("filePath")
    True
    """
    return "".join(character for character in name.casefold() if character.isalnum())


def folded(names: Mapping[str, object]) -> dict[str, str]:
    """Folded name to name, without those that fold together, and without those of punctuation only, which fold to nothing."""
    found: dict[str, str] = {}
    ambiguous: set[str] = set()
    for name in names:
        key = fold(name)
        if key in found:
            ambiguous.add(key)
        found[key] = name
    return {key: name for key, name in found.items() if key and key not in ambiguous}


@cache
def concepts() -> tuple[Concept, ...]:
    """All tables, in the order of the file."""
    return msgspec.toml.decode(_FILE.read_bytes(), type=_File).concepts


def concept_of(tool: str) -> Concept | None:
    """The concept that a tool of this name stands for, however it is spelled.

    >>> concept_of("Run_Terminal_Cmd") is concept_of("bash"), concept_of("get_weather")
    (True, None)
    """
    return _by_tool().get(fold(tool))


def is_offered_as(tool: str, keys: Iterable[str]) -> bool:
    """Whether an offered tool of this name and these properties is one that the tables know, and not another of the same name.

    >>> is_offered_as("search_files", ["path", "regex"]), is_offered_as("search_files", ["path", "pattern"])
    (True, False)
    """
    has = frozenset(map(fold, keys))
    return any(needs <= has for needs in _offered().get(fold(tool), ()))


@cache
def roles_of(concept: str) -> dict[str, str]:
    """Folded key to role, for the concept of this name.

    >>> roles_of("write a file")["newcontents"]
    'content'
    """
    rows = (row for found in concepts() if found.name == concept for row in found.rows)
    return {fold(key): role for row in rows for role, key in row.arguments.items()}


@cache
def _by_tool() -> dict[str, Concept]:
    return {fold(row.tool): concept for concept in concepts() for row in concept.rows}


@cache
def _offered() -> dict[str, list[frozenset[str]]]:
    """Folded name of a tool to the keys that one of its rows asks for, for each row that may be offered."""
    found: dict[str, list[frozenset[str]]] = {}
    for concept in concepts():
        for row in concept.rows:
            keys = concept.keys_of(row)
            if keys is not None:
                found.setdefault(fold(row.tool), []).append(keys)
    return found


def alias_table_markdown() -> str:
    """The tables for people: a heading, what is to be known and a table for each concept. Ends with a line end."""
    return "\n".join(line for concept in concepts() for line in (*_section(concept), ""))


def _section(concept: Concept) -> Iterator[str]:
    yield f"### {concept.name[0].upper()}{concept.name[1:]}"
    yield ""
    required = [role for role, meaning in concept.roles.items() if meaning.required]
    dropped = [role for role, meaning in concept.roles.items() if meaning.drop]
    kinds = ", ".join(f"{role} ({concept.roles[role].type})" for role in required)
    says = f"{concept.note} A tool counts as one of these if it takes {kinds}.".lstrip()
    yield says + (f" May be left out: {', '.join(dropped)}." if dropped else "")
    yield ""
    yield f"| client | tool | {' | '.join(concept.roles)} | takes others' calls | source |"
    yield "| --- " * (len(concept.roles) + 4) + "|"
    for row in concept.rows:
        keys = (f"`{row.arguments[role]}`" if role in row.arguments else "" for role in concept.roles)
        source = row.source if row.source == OBSERVED else f"[read]({row.source}) {row.seen}"
        yield f"| {row.client} | `{row.tool}` | {' | '.join(keys)} | {_takes(row)} | {source} |"


def _takes(row: Row) -> str:
    """Whether an offered tool like this one takes calls under other names, and with what beside the keys that are required."""
    if not row.offered:
        return "no"
    return f"with {', '.join(f'`{mark}`' for mark in row.marks)}" if row.marks else "yes"

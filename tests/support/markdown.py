"""Pieces of Markdown: code and tables, and state diagrams that are drawn from tables of transitions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import chain
from typing import TypeVar

State = TypeVar("State", bound=Enum)


def code(text: str) -> str:
    """Text as Markdown code that a table cell can hold."""
    fence = "``" if "`" in text else "`"
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in chain([columns, ["---"] * len(columns)], rows))


def diagram(transitions: Mapping[State, Mapping[str, State]], first: State) -> str:
    """A table of transitions as a Mermaid state diagram; arrows between the same two states are one."""
    reached = {first, *(following for ways in transitions.values() for following in ways.values())}
    drawn = ["stateDiagram-v2", "    direction LR", f"    [*] --> {first.name}"]
    for state, ways in transitions.items():
        labels: dict[State, list[str]] = {}
        for what, following in ways.items():
            labels.setdefault(following, []).append(_in_letters(what))
        drawn += [f"    {state.name} --> {following.name}: {' / '.join(words)}" for following, words in labels.items()]
        if not ways and state in reached:
            drawn.append(f"    {state.name} --> [*]")
    others = [state.name for state in transitions if state not in reached]
    return "\n".join(["```mermaid", *drawn, "```", *(f"\nAnything else leads to {name}." for name in others)])


def _in_letters(label: str) -> str:
    # Mermaid reads some punctuation as its own, and a comma alone cannot be seen
    return "comma" if label == "," else _PUNCTUATION.sub(lambda found: _SPELLED[found.group()], label)


_SPELLED = {"{": "opening brace", "}": "closing brace", ":": "colon", ";": "semicolon"}
_PUNCTUATION = re.compile("|".join(map(re.escape, _SPELLED)))

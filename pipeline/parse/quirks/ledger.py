"""What is left out of a body or repaired in it while it is normalised, counted.

Theory of operation: the rules write down what they do as they go; at the end `notices` and `ignored` are what the answer's headers say. What is left
out of the conversation is counted by kind, one Notice each, and no kind is a word of the client's. Fields are named once, as
`messages.cache_control`. Nothing here holds content. It also counts parts and calls against the limits of a body, where they stand in the client's
own spelling.
"""

from collections import Counter

import msgspec

from pipeline.events import Notice
from pipeline.parse.body import check_count


class Ledger:
    """`place` is the name of the list that the conversation stands in: `messages` or `input`."""

    def __init__(self, place: str = "messages") -> None:
        self._place = place
        self._said: Counter[Notice] = Counter()
        self._fields: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

    def drop(self, kind: str) -> None:
        """An item or block of the conversation was left out; `kind` is one of the rules' own words."""
        self._said[Notice("history_item_dropped", kind)] += 1

    def repaired(self, code: str, what: str) -> None:
        """Something was repaired; the same `what` is said once, with how often."""
        self._said[Notice(code, what)] += 1

    def ignore(self, *names: str) -> None:
        """Fields, each by its full name, reach no upstream."""
        self._fields.update(dict.fromkeys(names))

    def ignore_inside(self, name: str) -> None:
        """A field of something in the conversation reaches no upstream."""
        self._fields[f"{self._place}.{name}"] = None

    def count(self, number: int, what: str, path: str) -> None:
        """So many more parts or calls stand at `path`; raises RequestError above the limit of a body."""
        self._counts[what] += number
        check_count(self._counts[what], path, what)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of the fields that reach no upstream, each once, in the order met."""
        return tuple(self._fields)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """One Notice for each kind of thing that was left out or repaired, with how many there were."""
        return tuple(
            msgspec.structs.replace(notice, detail=f"{notice.detail} ({count})") if count > 1 else notice for notice, count in self._said.items()
        )

"""A text that the SDK's bridge tells more than once, said once.

Theory of operation: the bridge tells what the model writes as updates, as they come, and once more as messages. The updates are what counts; a bridge
that sends none has its messages read instead. Either may be the first of the two: what a message said before the first update came is left out of the
updates that repeat it (`ToldTwice`). At the end the run's result tells the text again, whole or its last part: `Tail` keeps the end of what was said,
to be held against that, and finds what was not said. White space does not count there, since parts are joined in one place and not in the other.

Invariants: nothing is held back. Nothing of the updates is left out but a literal repetition. What is kept is bounded, in linear time.
"""

import re

TAIL_CHARS = 65_536
_WORD = re.compile(r"\S+")


class ToldTwice:
    """One kind of text.

    >>> text = ToldTwice()
    >>> text.by_message("Hel"), text.by_update("Hello"), text.by_message("lo"), text.by_update(" you")
    ('Hel', 'lo', '', ' you')
    """

    def __init__(self) -> None:
        self._has_updates = False
        self._ahead: list[str] = []  # what messages said before the first update, whole
        self._ahead_chars = 0
        self._to_repeat, self._repeated = "", 0

    def by_message(self, text: str) -> str:
        """What of a message's text is to be said."""
        if self._has_updates:
            return ""
        self._ahead_chars += len(text)
        if self._ahead_chars <= TAIL_CHARS:
            self._ahead.append(text)
        else:  # no update in all this time: there are none
            self._ahead.clear()
        return text

    def by_update(self, text: str) -> str:
        """What of an update's text is to be said; an empty one is none."""
        if not text:
            return ""
        if not self._has_updates:
            self._has_updates = True
            self._to_repeat, self._ahead = "".join(self._ahead), []
        left = len(self._to_repeat) - self._repeated
        if not left:
            return text
        if not self._to_repeat.startswith(text[:left], self._repeated):
            self._to_repeat, self._repeated = "", 0
            return text
        self._repeated += min(left, len(text))
        return text[left:]


class Tail:
    r"""The end of a text that comes in pieces. Characters that are no white space are counted from its beginning.

    >>> tail = Tail()
    >>> tail.add("Let me see. "), tail.add("It is 4.")
    (None, None)
    >>> tail.holds("It is 4."), tail.holds("Let me see.\n\nIt is 4."), tail.holds("It is 5."), tail.is_end_of("I think. Let me see. It is 4.")
    (True, True, False, True)
    >>> tail.rest_of("Let me see.\n\nIt is 4. Or 5."), tail.rest_of("It is 5.")
    (' Or 5.', None)
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._dropped = 0  # so many characters stand before what is kept

    def add(self, text: str) -> None:
        """The next piece."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size > 2 * TAIL_CHARS:
            whole = "".join(self._pieces)
            self._dropped += len(_compact(whole[:-TAIL_CHARS]))
            kept = whole[-TAIL_CHARS:]
            self._pieces, self._size = [kept], len(kept)

    def holds(self, text: str) -> bool:
        """Whether the text so far ends with this one, as far as it is kept."""
        ours, theirs = self._compact(), _compact(text)
        return len(theirs) <= self._dropped + len(ours) and _end_alike(ours, theirs)

    def is_end_of(self, text: str) -> bool:
        """Whether this text ends with the one so far, as far as it is kept."""
        ours, theirs = self._compact(), _compact(text)
        return len(theirs) >= self._dropped + len(ours) and _end_alike(ours, theirs)

    def rest_of(self, text: "str | Tail") -> str | None:
        """What stands in a text behind the one so far, as far as that is kept; None where it does not begin with that."""
        whole, dropped = ("".join(text._pieces), text._dropped) if isinstance(text, Tail) else (text, 0)
        ours = self._compact()
        place = _place_behind(whole, self._dropped + len(ours) - dropped)
        return whole[place:] if place is not None and _end_alike(ours, _compact(whole[:place])) else None

    def _compact(self) -> str:
        return _compact("".join(self._pieces))


def _compact(text: str) -> str:
    return "".join(text.split())


def _end_alike(one: str, other: str) -> bool:
    """Whether two texts are the same as far back as the shorter of them goes."""
    return one.endswith(other) or other.endswith(one)


def _place_behind(text: str, count: int) -> int | None:
    """Where so many characters that are no white space end; None where there are not so many."""
    if count <= 0:
        return 0 if count == 0 else None
    for word in _WORD.finditer(text):
        count -= word.end() - word.start()
        if count <= 0:
            return word.end() + count
    return None

"""The text of one field that has arrived and is not yet consumed, and what a reader may conclude from it.

Readers look at `text[at:]`, move `at`, and say WAIT when only more text can decide. What is left then is the hold-back; it is joined in front of the
next piece. `ended` is None while more may come, True after the proper end of the stream and False after a cut; with it set, nothing waits.
"""

import re
from enum import Enum, auto

from pipeline.machine.grammar import COMPOSER
from pipeline.machine.markers import MAX_SPACE, Kind, Marker

_SPACE = re.compile(rf"\s{{0,{MAX_SPACE}}}")


class Verdict(Enum):
    """The answer to a question about what follows."""

    YES = auto()
    NO = auto()
    WAIT = auto()


class Tape:
    """A text that grows at its end and is consumed from its start."""

    __slots__ = ("at", "ended", "text")

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.ended: bool | None = None

    def feed(self, piece: str) -> None:
        """Append a piece; what was consumed before is dropped."""
        self.text = self.text[self.at :] + piece if self.at < len(self.text) else piece
        self.at = 0

    def take(self, stop: int) -> str:
        """Consume up to `stop`."""
        taken = self.text[self.at : stop]
        self.at = stop
        return taken

    def find(self) -> Marker | None:
        """The first of Composer's markers in what is not yet consumed, or the tail that may become one."""
        return COMPOSER.find(self.text, self.at)

    def skip_space(self, at: int) -> int:
        """The position behind at most 16 white-space characters at `at`."""
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def undecided(self) -> Verdict:
        """WAIT while more text may come, NO after the end."""
        return Verdict.WAIT if self.ended is None else Verdict.NO

    def next_marker(self, at: int) -> Marker | Verdict:
        """The complete marker behind at most 16 white-space characters at `at`.

        NO: something else stands there. WAIT: not enough text. YES: nothing stands there, and the stream ended properly.
        """
        at = self.skip_space(at)
        if at == len(self.text):
            return Verdict.YES if self.ended else self.undecided()
        marker = COMPOSER.at(self.text, at)
        if marker is None:
            return Verdict.NO
        return self.undecided() if marker.kind is Kind.PARTIAL else marker

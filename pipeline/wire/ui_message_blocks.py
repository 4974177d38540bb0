r"""The blocks of a UI message stream: which words belong together, as one text.

Theory of operation: text and reasoning come in deltas of blocks, each of which has an id of its own in its step and is shown apart from the others by
a page. The APIs of our clients have one text an answer. So the first delta of another block gets an empty line in front, as far as neither side of
it has one, and all else passes as it is. Text and reasoning know nothing of each other. Invariants: nothing is taken away, and what comes in one
block stays one; ids may be any JSON, or none.

>>> blocks = Blocks()
>>> blocks.said("Let me see.", "1", is_text=True), blocks.said(" So:", "1", is_text=True), blocks.said("It is 18.", "2", is_text=True)
('Let me see.', ' So:', '\n\nIt is 18.')
"""

from pipeline.request import Json

BEGINNINGS = {"text-start": True, "reasoning-start": False}
"""The types of parts that begin a block, each with whether it is one of text."""

_Block = tuple[int, Json]


class Blocks:
    """The blocks of one answer."""

    def __init__(self) -> None:
        self._step = 0
        # whether it is text -> the block that spoke last, and the last that it said; no block where another one has taken its id
        self._last: dict[bool, tuple[_Block | None, str]] = {}

    def next_step(self) -> None:
        """Ids mean other blocks from here on."""
        self._step += 1

    def begin(self, block_id: Json, *, is_text: bool) -> None:
        """A block begins, also one under an id that there was."""
        block, said = self._last.get(is_text, (None, ""))
        if block == (self._step, block_id):
            self._last[is_text] = None, said

    def said(self, delta: str, block_id: Json, *, is_text: bool) -> str:
        """A delta, which is not empty, as it stands in the answer."""
        block, (before, said) = (self._step, block_id), self._last.get(is_text, (None, ""))
        if said and block != before:
            lines = len(said) - len(said.rstrip("\n")) + len(delta) - len(delta.lstrip("\n"))
            delta = "\n" * (2 - lines) + delta
        self._last[is_text] = block, delta
        return delta

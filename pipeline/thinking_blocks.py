"""How reasoning looks where it stands in an answer's text: a client without a field for it is shown it in a block.

Two stages share these forms. The one that writes answers puts reasoning between `opening` and `closing` (`pipeline.emit.reasoning_display`); the one
that reads requests takes such blocks out of the history again (`pipeline.parse.shown_reasoning`). A block that does not begin an answer has
`SEPARATOR` before it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

Display: TypeAlias = Literal["off", "think", "details", "field"]
"""Not at all; in a block of one form or the other; in a field of its own, `reasoning_content`."""

SEPARATOR = "\n\n"


class Block(msgspec.Struct, frozen=True):
    """One form. `start_tag` and `end_tag` are what a reader of the block goes by, so they do not stand inside it."""

    start_tag: str
    end_tag: str
    opening: str
    closing: str


BLOCKS: Mapping[Display, Block] = MappingProxyType(
    {
        "think": Block("<think>", "</think>", "<think>\n", "\n</think>\n\n"),
        "details": Block("<details>", "</details>", "<details>\n<summary>Thinking</summary>\n\n", "\n\n</details>\n\n"),
    }
)

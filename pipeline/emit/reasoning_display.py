"""Reasoning as part of an answer's text, for a client that has no other place for it.

Theory of operation: events come in, events go out. The first reasoning opens a block (`pipeline.thinking_blocks`) and becomes text in it; what comes
next and is seen, text, a refusal, a call or the end, closes the block before itself. One delta in is one delta out, so the block's marks travel with
the deltas next to them. Reasoning after that opens a new block, as a paragraph of its own.

Invariants: blocks do not nest, and every one is closed before the answer is; a block begins with a visible character; its tags do not stand inside
it, since a zero-width space is put into those that the model wrote; without the blocks and their separators the text is what came in. Left alone:
all events, where the display has no block.
"""

from collections.abc import Sequence

from pipeline.events import Event, Failed, Finish, RefusalDelta, TextDelta, ThinkingDelta, ToolCallStart
from pipeline.thinking_blocks import BLOCKS, SEPARATOR, Block, Display

ZERO_WIDTH_SPACE = "\u200b"


class ReasoningDisplay:
    r"""Feed events, get events without `ThinkingDelta`, unless the display has no block.

    >>> display = ReasoningDisplay("think")
    >>> display.feed([ThinkingDelta("Hm."), TextDelta("Yes"), TextDelta(".")])
    [TextDelta(text='<think>\nHm.'), TextDelta(text='\n</think>\n\nYes'), TextDelta(text='.')]
    """

    def __init__(self, display: Display) -> None:
        self._block = BLOCKS.get(display)
        self._is_open = False
        self._inside = ""  # the end of what is in the block, which may be the head of a tag
        self.follows_text = False
        """Whether the answer's last characters are text, so that what is no part of it has to begin a paragraph."""

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The next events."""
        made: list[Event] = []
        for event in events:
            if type(event) is TextDelta and not self._is_open:
                self.follows_text = True
                made.append(event)
            else:
                self._other(event, made)
        return made

    def _other(self, event: Event, made: list[Event]) -> None:
        block = self._block
        match event:
            case ThinkingDelta(text) if block is not None:
                if shown := self._thought(text, block):
                    made.append(TextDelta(shown))
                return
            case TextDelta(text):
                event = TextDelta(self._closing() + text)
                self.follows_text = True
            case RefusalDelta(text):
                event = RefusalDelta(self._closing() + text)
                self.follows_text = True
            case ToolCallStart() | Finish() | Failed():
                if closing := self._closing():
                    made.append(TextDelta(closing))
            case _:
                pass
        made.append(event)

    def _thought(self, text: str, block: Block) -> str:
        if self._is_open:
            return self._untagged(text, block)
        text = text.lstrip()
        if not text:
            return ""
        self._is_open = True
        self._inside = ""
        separator = SEPARATOR if self.follows_text else ""
        return separator + block.opening + self._untagged(text, block)

    def _untagged(self, text: str, block: Block) -> str:
        """The text without the block's own tags; one whose end is in this text may have begun before it."""
        known = len(self._inside)
        text = self._inside + text
        for tag in (block.start_tag, block.end_tag):
            text = text.replace(tag, f"{tag[:-1]}{ZERO_WIDTH_SPACE}{tag[-1]}")
        self._inside = text[1 - max(len(block.start_tag), len(block.end_tag)) :]
        return text[known:]

    def _closing(self) -> str:
        """What closes the block, if one is open."""
        if not self._is_open or self._block is None:
            return ""
        self._is_open = self.follows_text = False
        return self._block.closing


def displayed(display: Display, thinking: str, text: str) -> str:
    r"""The text of a whole answer with its reasoning.

    >>> displayed("details", "Hm.", "Yes.")
    '<details>\n<summary>Thinking</summary>\n\nHm.\n\n</details>\n\nYes.'
    """
    spoken: list[Event] = [delta for delta in (ThinkingDelta(thinking), TextDelta(text)) if delta.text]
    return "".join(event.text for event in ReasoningDisplay(display).feed([*spoken, Finish()]) if isinstance(event, TextDelta))

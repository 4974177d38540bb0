"""What a server with Anthropic's Messages API takes, and which of the client's unread fields it is sent.

A client of the same API has its fields written back (`Request.extra` and those of its blocks and tools), each under a name: that of the field in the
body, or its path without numbers, such as `messages.content.cache_control`. `pass_fields` says which names go through.
"""

from typing import Literal, TypeAlias

import msgspec

from pipeline.prompt.chat_body import PASS_ALL
from pipeline.request import Json

Thinking: TypeAlias = Literal["adaptive", "budget", "off"]
"""How a wish for reasoning is written: the model decides how much it thinks; it is told a number of tokens; not at all."""

BLOCKS_IN_TEXT = frozenset({"document", "search_result", "tool_reference", "compaction"})
"""Keys of a text's `extra` that hold a block of that type: the text stands for it, and it is written in the text's place."""


class MessagesProfile(msgspec.Struct, frozen=True):
    """What one target takes.

    `system_messages`: system messages between the others. `structured_outputs`: a JSON Schema for the answer. `unsigned_thinking`: reasoning in the
    history that nobody has signed. `max_tokens` is the limit of an answer where the client gives none; `prompt_cache` says that the conversation is
    marked to be cached where the client has marked nothing in it. `pass_fields` is "all" or names of fields.
    """

    images: bool = True
    system_messages: bool = False
    thinking: Thinking = "adaptive"
    unsigned_thinking: bool = False
    reasoning_effort: bool = True
    structured_outputs: bool = True
    max_tokens: int = 32_000
    prompt_cache: bool = False
    pass_fields: str | tuple[str, ...] = PASS_ALL

    def passes(self, name: str) -> bool:
        """Whether an unread field goes through."""
        return self.pass_fields == PASS_ALL or name in self.pass_fields

    def kept(self, extra: dict[str, Json], place: str) -> dict[str, Json]:
        """The fields of a thing at `place` that go through.

        >>> MessagesProfile(pass_fields=("tools.strict",)).kept({"strict": True, "x": 1}, "tools")
        {'strict': True}
        """
        if self.pass_fields == PASS_ALL:
            return extra
        return {name: value for name, value in extra.items() if self.passes(f"{place}.{name}")}

"""What may become of a request parameter, and on which upstreams: the words of the tables that say it of each.

A `Parameter` is one row of such a table (`pipeline.parameters`); what a family of upstreams does with it is an `Outcome`, an effect and a sentence
that is true for users.
"""

from enum import StrEnum
from typing import Any

import msgspec

from pipeline.request import Json

MAX_COUNT = 2**31 - 1
ANY_OTHER = "*"
"""Stands for every field without a row."""


class Family(StrEnum):
    """Upstreams that treat parameters alike."""

    COMPOSER = "Composer"
    """What takes a prompt and nothing else: Composer itself, and the embedded demo, which is sent what Composer would be."""

    SDK_BRIDGE = "SDK bridge"
    """The vendor's agent, which takes a prompt, and tools as such."""

    WEBSITE = "website"
    """What takes the messages of a chat page and nothing else."""

    OPENAI_CHAT = "OpenAI-compatible"
    """What takes a Chat Completions body."""

    OPENAI_RESPONSES = "OpenAI Responses"
    """What takes a Responses body."""

    ANTHROPIC = "Anthropic"
    """What takes a Messages body."""


class Effect(StrEnum):
    """What becomes of a parameter."""

    HONOURED = "honoured"
    EMULATED = "emulated"
    MAPPED = "mapped"
    PASSED_ON = "passed on"
    IGNORED = "ignored"
    REJECTED = "rejected"


# what the words mean, for the document
EFFECTS = {
    Effect.HONOURED: "It does what it says.",
    Effect.EMULATED: "The upstream has nothing of the kind; the gateway sees to it, as far as the sentence beside it says.",
    Effect.MAPPED: "It is read as another parameter, and fares as that one does.",
    Effect.PASSED_ON: "It reaches the upstream as it was sent, and the upstream does with it what it does. Where the profile's `pass_fields` does "
    "not have it, it is ignored.",
    Effect.IGNORED: "It has no effect, and the header `penstock-ignored` names it.",
    Effect.REJECTED: "The answer is 400 with the code `unsupported_parameter`, and `param` names it.",
}


# the types that parsing checks by the table, in words
TYPES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    list[str]: "an array of text",
    dict[str, Any]: "an object",
    dict[str, float]: "an object of numbers",
}


def in_words(shape: Any, low: float | None = None, high: float | None = None) -> str:
    """A type and its range; `shape` is one of `TYPES`, or already in words.

    >>> in_words(int, 1, MAX_COUNT), in_words(float, 0, 1), in_words("text")
    ('an integer from 1', 'a number from 0 to 1', 'text')
    """
    kind: str = shape if isinstance(shape, str) else TYPES[shape]
    if low is None or high is None:
        return kind
    return f"{kind} from {low}" if high == MAX_COUNT else f"{kind} from {low} to {high}"


class Outcome(msgspec.Struct, frozen=True):
    """What is done, and a sentence about it that is true for users; an empty one where the effect says all."""

    effect: Effect
    says: str = ""


class Parameter(msgspec.Struct, frozen=True):
    """One row.

    `shape` is the type, or the name of one that a parser of its own checks; `low` and `high` bound a number, or each number of an object. `harmless`
    are the values of a rejected one that ask for nothing. `values` says which values it is about, where they do not all fare alike.
    `openai_responses` and `anthropic` are None where it is what is done on `openai_chat`, and `sdk_bridge` and `website` where it is what is done on
    `composer`.
    """

    name: str
    composer: Outcome
    openai_chat: Outcome
    shape: Any
    low: float | None = None
    high: float | None = None
    harmless: tuple[Json, ...] = ()
    values: str = ""
    openai_responses: Outcome | None = None
    sdk_bridge: Outcome | None = None
    website: Outcome | None = None
    anthropic: Outcome | None = None

    def outcome(self, family: Family) -> Outcome:
        """What is done on upstreams of a family."""
        # what is not said of a family is what is done on the one that it is most like
        match family:
            case Family.COMPOSER:
                return self.composer
            case Family.SDK_BRIDGE:
                return self.sdk_bridge or self.composer
            case Family.WEBSITE:
                return self.website or self.composer
            case Family.OPENAI_CHAT:
                return self.openai_chat
            case Family.OPENAI_RESPONSES:
                return self.openai_responses or self.openai_chat
            case Family.ANTHROPIC:
                return self.anthropic or self.openai_chat

    @property
    def takes(self) -> str:
        """The type and the range, in words."""
        return in_words(self.shape, self.low, self.high)

    @property
    def is_rejected(self) -> bool:
        """Whether no upstream gets it."""
        return self.composer.effect is self.openai_chat.effect is Effect.REJECTED

    @property
    def is_kept(self) -> bool:
        """Whether it stays among the fields that no parser reads."""
        return self.openai_chat.effect is Effect.PASSED_ON

"""A recorded answer as an upstream: the bytes of one case, cut and timed as asked, through the codec of the upstream that they came from.

Theory of operation: `cut_reads` makes the reads, each with the seconds to wait before it, from the case and a `Split`. `ReplayedUpstream` feeds
them to the real decoder and gives one list for each read that completes an event. A read that completes none gives no list, as in every upstream: an
empty list means silence, and comes each `SILENCE_SECONDS` of a longer wait. The request is written as the real upstream would have it read, so that
the usage estimate is the real one; nothing is sent.

Invariants: the bytes are those of the case, in order, whatever the split. With a speed, a piece comes when the recorded read that holds its last byte
did; without one, other tasks and the clocks have their turn all the same. Left alone: what the events mean.
"""

import itertools
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Protocol

import anyio
import anyio.lowlevel
import msgspec

from pipeline.cases import META, Case, CaseError
from pipeline.clocks import SILENCE_SECONDS
from pipeline.events import UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import MODELS, Model, resolve_composer_model
from pipeline.prompt.agent_message import agent_message
from pipeline.prompt.chat_body import prompt_text
from pipeline.prompt.composer import assemble_prompt
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.website_messages import new_trigger, teaches_calls
from pipeline.prompt.website_messages import prompt_text as website_text
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.usage.estimate import tokens_of
from pipeline.wire.anthropic_messages import AnthropicDecoder
from pipeline.wire.composer import ComposerDecoder
from pipeline.wire.openai_chat import OpenAIChatDecoder
from pipeline.wire.openai_responses import OpenAIResponsesDecoder
from pipeline.wire.sdk_recorded import RecordedRunDecoder
from pipeline.wire.ui_message_stream import UiMessageDecoder

READS_A_TURN = 16
"""After so many reads without a wait, other tasks and the clocks have their turn."""

Read = tuple[float, bytes]
"""Seconds to wait, and the bytes that come then."""


class Decoder(Protocol):
    """What every wire codec can do."""

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read."""
        ...

    def end(self) -> list[UpstreamEvent]:
        """End of the body."""
        ...


def _composer(prompt: str, model: Model | None) -> Decoder:
    window = model.context_window if model is not None else None
    return ComposerDecoder(over_half_window=window is not None and tokens_of(len(prompt)) * 2 > window)


def _openai_chat(prompt: str, model: Model | None) -> Decoder:
    return OpenAIChatDecoder(new_id=partial(Identity.frozen().new, "call_"))


def _openai_responses(prompt: str, model: Model | None) -> Decoder:
    return OpenAIResponsesDecoder(new_id=partial(Identity.frozen().new, "call_"))


def _anthropic(prompt: str, model: Model | None) -> Decoder:
    return AnthropicDecoder(new_id=partial(Identity.frozen().new, "toolu_"))


def _sdk_bridge(prompt: str, model: Model | None) -> Decoder:
    return RecordedRunDecoder()


def _website(prompt: str, model: Model | None) -> Decoder:
    return UiMessageDecoder()


def _website_prompt(request: Request) -> str:
    return website_text(request, trigger=_website_trigger(request))


def _website_trigger(request: Request) -> str:
    """The trigger of every recording: the recorder asks under a frozen identity."""
    return new_trigger(Identity.frozen()) if teaches_calls(request) else ""


def _no_trigger(request: Request) -> str:
    return ""


class Kind(msgspec.Struct, frozen=True):
    """How one kind of upstream is read.

    The codec for a prompt and a model, the prompt that a request becomes, `Upstream.writes_markers` and `Upstream.keeps_promises`, and whether it was
    offered custom tools as such; and the trigger that the prompt asks for, and whether it teaches Composer's own markers.
    """

    decoder: Callable[[str, Model | None], Decoder]
    prompt: Callable[[Request], str]
    writes_markers: bool = False
    keeps_promises: bool = True
    custom_tools: bool = False
    trigger: Callable[[Request], str] = _no_trigger
    markers: bool = True


# `upstream` in meta.toml -> how its bytes are read
KINDS = {
    "composer": Kind(_composer, assemble_prompt, writes_markers=True, keeps_promises=False),
    "openai-chat": Kind(_openai_chat, prompt_text),
    "openai-responses": Kind(_openai_responses, prompt_text, custom_tools=True),
    "anthropic": Kind(_anthropic, prompt_text),
    "website": Kind(_website, _website_prompt, writes_markers=True, keeps_promises=False, trigger=_website_trigger, markers=False),
    "sdk-bridge": Kind(_sdk_bridge, agent_message, keeps_promises=False),
}


class Split(msgspec.Struct, frozen=True):
    """Where a stream is cut: as recorded, whole, in pieces of `size` bytes, or at offsets drawn from `seed`."""

    kind: str = "recorded"
    size: int = 0
    seed: int = 0


def parse_split(text: str) -> Split:
    """Read `recorded`, `whole`, `bytes`, `random:SEED` or a number of bytes; raises ValueError for other words.

    >>> parse_split("bytes"), parse_split("random:7"), parse_split("512")
    (Split(kind='sized', size=1, seed=0), Split(kind='random', size=0, seed=7), Split(kind='sized', size=512, seed=0))
    """
    if text in ("recorded", "whole"):
        return Split(text)
    if text == "bytes":
        return Split("sized", size=1)
    kind, colon, seed = text.partition(":")
    if colon and kind == "random" and _is_number(seed):
        return Split("random", seed=int(seed))
    if _is_number(text) and int(text) > 0:
        return Split("sized", size=int(text))
    raise ValueError(f"{text!r} is no way to cut a stream: it is recorded, whole, bytes, random:SEED or a number of bytes")


def cut_reads(case: Case, split: Split) -> list[Read]:
    """The case's bytes as reads."""
    recorded = list(case.recorded_reads())
    if split.kind == "recorded":
        return recorded
    ends = list(itertools.accumulate(len(data) for _, data in recorded))
    times = list(itertools.accumulate(seconds for seconds, _ in recorded))
    reads: list[Read] = []
    before, at_read = 0.0, 0
    for start, stop in itertools.pairwise([0, *_edges(len(case.stream), split), len(case.stream)]):
        if start == stop:
            continue
        while ends[at_read] < stop:
            at_read += 1
        reads.append((times[at_read] - before, case.stream[start:stop]))
        before = times[at_read]
    return reads


def _edges(length: int, split: Split) -> Sequence[int]:
    """The offsets to cut at, in order, each inside the stream."""
    if split.kind == "sized":
        return range(split.size, length, split.size)
    if split.kind == "random" and length > 1:
        chance = random.Random(split.seed)
        return sorted({chance.randrange(1, length) for _ in range(chance.choice((1, 3, 10, length // 3 + 1)))})
    return []


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


class ReplayedUpstream:
    """One case, as often as it is asked for.

    `speed` 1 keeps the recorded timing, 2 is twice as fast, 0 does not wait. Raises CaseError when no codec reads the case's bytes.
    """

    def __init__(self, case: Case, split: Split | None = None, speed: float = 0.0) -> None:
        if case.meta.upstream not in KINDS:
            known = ", ".join(KINDS)
            raise CaseError(f"{case.path / META}: upstream {case.meta.upstream!r} is not one whose bytes can be read: {known}")
        self._kind = KINDS[case.meta.upstream]
        self._reads = cut_reads(case, split or Split())
        self._speed = speed
        self.name = case.name
        self.writes_markers = self._kind.writes_markers
        self.keeps_promises = self._kind.keeps_promises

    def models(self) -> Sequence[Model]:
        """None: a recording answers whatever it is asked."""
        return ()

    def find_model(self, model_id: str) -> Model | None:
        """What is known of the model that the recorded request names."""
        resolved = resolve_composer_model(model_id)
        return None if resolved is None else MODELS[resolved]

    async def prepared(self, request: Request) -> Request:
        """The request as it is: nothing is asked of anybody."""
        return request

    def write(self, request: Request) -> Outgoing:
        """The prompt as the upstream was given it; there is nothing to send."""
        written = request if self._kind.custom_tools else in_function_form(request)
        return Outgoing(written, b"", self._kind.prompt(written), trigger=self._kind.trigger(written), markers=self._kind.markers)

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The recorded answer."""
        decoder = self._kind.decoder(outgoing.prompt, self.find_model(outgoing.request.model))
        for count, (seconds, data) in enumerate(self._reads):
            wait = seconds / self._speed if self._speed else 0.0
            while wait > SILENCE_SECONDS:
                await anyio.sleep(SILENCE_SECONDS)
                wait -= SILENCE_SECONDS
                yield []
            if wait:
                await anyio.sleep(wait)
            elif count % READS_A_TURN == 0:
                await anyio.lowlevel.checkpoint()
            events = decoder.feed(data)
            if events:
                yield events
        events = decoder.end()
        if events:
            yield events

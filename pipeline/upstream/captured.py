"""The embedded upstream: recorded answers, and a demonstration that speaks Composer's own bytes. It needs no network and no key.

Theory of operation: a request is written exactly as a Composer upstream writes it, so that the prompt and the usage estimate are the real ones, and
is sent nowhere. The model `captured/NAME` replays the fixture `composer/NAME`. Any other model is played by `pipeline.upstream.demo`, which gives the
text; here it becomes envelopes of one word each, and reads of a few envelopes, which go through the real decoder. One read is one list.

A streamed answer keeps a pace that a person can follow, a fixture its recorded timing. With a pace of 0, and for an answer that is not streamed,
nothing waits: reads are large, and other tasks get their turn now and then.

Invariants: a conversation that does not fit its model's window is refused, as Composer would refuse it, or trimmed where its route says so; nothing
raises while streaming, and the end envelope comes last. The same request gives the same answer. Left alone: `stop` and `max_tokens`, as with a model
that does not keep to them. Images are counted in the prompt and must be images that Composer would be sent, but their bytes are not in the request.
Nothing is fetched: a web address is left alone, and a Notice says so.
"""

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import cached_property
from pathlib import Path

import anyio
import anyio.lowlevel

from pipeline.cases import Case, CaseError, find_cases, load_case, shipped
from pipeline.errors import ModelNotFound
from pipeline.events import Notice, UpstreamEvent
from pipeline.identity import Identity
from pipeline.models import MODELS, Model, resolve_composer_model
from pipeline.parameters import Family, ignored_by
from pipeline.prompt.custom_tools import in_function_form
from pipeline.prompt.unread import unread_by_prompts
from pipeline.prompt.window import Overflow
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.composer_write import write_message
from pipeline.upstream.demo import Script, write_script
from pipeline.upstream.images import MAX_BYTES, most_fetched_bytes, read_images
from pipeline.upstream.replayed import ReplayedUpstream
from pipeline.upstream.request_window import fitted_prompt
from pipeline.usage.estimate import Counted, Method
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_text, encode_thinking

PREFIX = "captured/"
KIND = "composer"
PACED_FRAMES = 2
"""Envelopes in a read that keeps the pace: at 0.02 seconds some hundred words a second, as fast as quick models are."""

FULL_SPEED_FRAMES = 32
_READS_BETWEEN_CHECKPOINTS = 16
_PIECE = re.compile(r"\s{0,12}\S{1,12}|\s{1,12}")


class CapturedUpstream:
    """See the module.

    `pace_seconds` is the pause between two reads of a streamed answer, 0 for none. `fixtures` is the folder that holds `composer/`, the shipped one
    by default. `identity` makes the ids of the request message; `usage_method` is how tokens are estimated; `max_image_bytes` is for one image.
    """

    def __init__(
        self,
        name: str = "captured",
        pace_seconds: float = 0.02,
        fixtures: Path | None = None,
        *,
        identity: Identity | None = None,
        usage_method: Method = "calibrated",
        max_image_bytes: int = MAX_BYTES,
    ) -> None:
        self.name = name
        self.writes_markers = True
        self.keeps_promises = False
        self._pace_seconds = pace_seconds
        self._fixtures = fixtures
        self._identity = identity or Identity()
        self._usage_method: Method = usage_method
        self._max_image_bytes = max_image_bytes
        self._loaded: dict[str, Case] = {}

    def models(self) -> Sequence[Model]:
        """All models that Composer lists, which the demonstration plays, and the fixtures."""
        return [*MODELS.values(), *map(_case_model, self._cases)]

    def find_model(self, model_id: str) -> Model | None:
        """A listed model, or a fixture's; an unknown fixture is refused by `write`, which can say which ones there are."""
        if model_id.startswith(PREFIX):
            return _case_model(model_id.removeprefix(PREFIX))
        resolved = resolve_composer_model(model_id)
        return None if resolved is None else MODELS[resolved]

    async def prepared(self, request: Request) -> Request:
        """The request as it is: nothing has to be fetched for it."""
        return request

    def write(self, request: Request) -> Outgoing:
        """The request as Composer would be sent it.

        Raises:
            ModelNotFound: a fixture does not exist or cannot be read.
            RequestError: the conversation does not fit the model's window, or a part of it is nothing that Composer would be sent.
        """
        request = in_function_form(request)
        if request.model.startswith(PREFIX):
            self._case(request.model)
        model = self.find_model(request.model)
        fitted = fitted_prompt(request, None if model is None else model.context_window, Overflow.ERROR, method=self._usage_method)
        read_images(request, max_bytes=self._max_image_bytes, leave_web=True)
        return Outgoing(
            fitted.request,
            write_message(fitted.request, fitted.prompt, self._identity, conversation_id=request.conversation),
            fitted.prompt,
            (*ignored_by(Family.COMPOSER, request), *unread_by_prompts(request)),
            (
                *fitted.notices,
                *([Notice("image_not_fetched", "the embedded demo fetches nothing from the web")] if most_fetched_bytes(request) else []),
            ),
            None if fitted.prompt_tokens is None else Counted(fitted.prompt_tokens, self._usage_method),
        )

    async def stream(self, outgoing: Outgoing, key: str | None = None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The fixture, or the demonstration's answer; `key` is not needed."""
        request = outgoing.request
        is_paced = request.stream and self._pace_seconds > 0
        if request.model.startswith(PREFIX):
            replayed = ReplayedUpstream(self._case(request.model), speed=1.0 if is_paced else 0.0).stream(outgoing)
        else:
            replayed = _played(write_script(request), self._pace_seconds if is_paced else 0.0)
        async with aclosing(replayed) as batches:
            async for batch in batches:
                yield batch

    @cached_property
    def _cases(self) -> dict[str, Path]:
        """The fixtures by name. Only what is listed is ever opened: a model's id is no path."""
        folder = (self._fixtures or shipped()) / KIND
        return {path.relative_to(folder).as_posix(): path for path in find_cases(folder)}

    def _case(self, model_id: str) -> Case:
        """A fixture, read once: `write` has done so before a stream asks for it."""
        name = model_id.removeprefix(PREFIX)
        if name not in self._loaded:
            known = ", ".join(PREFIX + case for case in self._cases) or "none"
            if name not in self._cases:
                raise ModelNotFound(f"There is no recorded answer {model_id[:100]!r}. Those that there are: {known}.", param="model")
            try:
                case = load_case(self._cases[name])
                ReplayedUpstream(case)  # says whether a codec reads its bytes
            except CaseError:
                raise ModelNotFound(f"The recorded answer {model_id!r} cannot be read. Those that there are: {known}.", param="model") from None
            self._loaded[name] = case
        return self._loaded[name]


async def _played(script: Script, pace_seconds: float) -> AsyncGenerator[list[UpstreamEvent], None]:
    decoder = ComposerDecoder()
    for number, read in enumerate(reads_of(script, PACED_FRAMES if pace_seconds else FULL_SPEED_FRAMES)):
        if pace_seconds:
            await anyio.sleep(pace_seconds)
        elif number % _READS_BETWEEN_CHECKPOINTS == 0:
            await anyio.lowlevel.checkpoint()
        yield decoder.feed(read)


def reads_of(script: Script, frame_count: int) -> Iterator[bytes]:
    """The script as the bytes of an answer, in reads of `frame_count` envelopes of a word each; the last one ends with the end envelope."""
    thinking, text = _PIECE.findall(script.thinking), _PIECE.findall(script.text)
    frames = [*map(encode_thinking, thinking), *map(encode_text, text), encode_end()]
    for start in range(0, len(frames), frame_count):
        yield b"".join(frames[start : start + frame_count])


def _case_model(name: str) -> Model:
    return Model(PREFIX + name, f"Captured: {name}", "penstock")

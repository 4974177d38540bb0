"""A request on its way to an agent: to a run that waits for it, or to a fresh agent.

Theory of operation: which of the two it is, is known when the request is sent, by its key; it is written before, for both (`bridge_outgoing`). A run
that waits has been told the conversation, so that what it goes on with is neither shortened nor refused for the window: `Fresh` is what applies
to a fresh agent alone. Where no run can be waiting, a request that does not fit is refused at once.

`Current` knows the run that an answer is read from, so that the run can be told at the answer's end which of its calls have left. `Telling` puts
Notices in front of the first list that says something: what comes first starts a client's clocks, and a Notice alone says nothing.
"""

from collections.abc import Callable, Collection

import msgspec

from pipeline.errors import ContextLengthExceeded, PenstockError
from pipeline.events import Notice, Progress, UpstreamEvent
from pipeline.prompt.agent_message import agent_message
from pipeline.prompt.window import Fitted
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.upstream.bridge.run import Run
from pipeline.upstream.bridge.turn import Turn
from pipeline.upstream.images import ImageFile, images_left
from pipeline.usage.estimate import Counted, Method


class Fresh(msgspec.Struct, frozen=True):
    """What a fresh agent is told, what its client is told of that, or why it cannot be told."""

    prompt: str
    images: tuple[ImageFile, ...] = ()
    notices: tuple[Notice, ...] = ()
    fault: PenstockError | None = None


class Current:
    """The run that an answer is read from."""

    def __init__(self) -> None:
        self.run: Run | None = None

    def settle(self, delivered: Collection[str]) -> None:
        """The answer is over, and these calls have left with it."""
        if self.run is not None:
            self.run.settle(delivered)


class BridgeOutgoing(Outgoing, frozen=True, kw_only=True):
    """A request for an agent; `turn` is what of it decides which one. A second attempt is a fresh agent's: the first one has had the run."""

    turn: Turn
    fresh: Fresh
    current: Current
    is_second: bool = False

    def renewed(self) -> "BridgeOutgoing":
        """The same request, to be sent a second time."""
        return msgspec.structs.replace(self, is_second=True)


def bridge_outgoing(
    request: Request,
    turn: Turn,
    images: list[ImageFile],
    ignored: tuple[str, ...],
    weighed: Callable[[], Fitted],
    method: Method,
    *,
    is_awaited: bool,
) -> BridgeOutgoing:
    """Write a request; `weighed` gives it as it fits the window, `is_awaited` says that a run may be waiting for it.

    Raises:
        ContextLengthExceeded: it does not fit, and no run waits for it.
    """
    current = Current()
    if not is_awaited:
        within = weighed()
        fresh = Fresh(within.prompt, tuple(images_left(images, request, within.request)))
        counted = None if within.prompt_tokens is None else Counted(within.prompt_tokens, method)
        return BridgeOutgoing(
            within.request,
            within.prompt.encode(),
            within.prompt,
            ignored,
            within.notices,
            counted,
            fresh.images,
            settle=current.settle,
            turn=turn,
            fresh=fresh,
            current=current,
        )
    try:
        within = weighed()
        fresh = Fresh(within.prompt, tuple(images_left(images, request, within.request)), within.notices)
    except ContextLengthExceeded as error:
        fresh = Fresh("", fault=error)
    prompt = agent_message(request)
    return BridgeOutgoing(
        request, prompt.encode(), prompt, ignored, images=tuple(images), settle=current.settle, turn=turn, fresh=fresh, current=current
    )


class Telling:
    """Lists of events on their way, and the `notices` that go in front; `has_begun` says that something was said."""

    def __init__(self, notices: list[Notice]) -> None:
        self.notices = notices
        self.has_begun = False

    def feed(self, batch: list[UpstreamEvent]) -> list[UpstreamEvent]:
        """The list, or the first one with the notices."""
        if self.has_begun or not any(not isinstance(event, Notice | Progress) for event in batch):
            return batch
        self.has_begun = True
        return [*self.notices, *batch]

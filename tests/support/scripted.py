"""An upstream that says what the test tells it to, and remembers how it was treated."""

from collections.abc import AsyncGenerator, Callable, Sequence

import anyio

from pipeline.events import UpstreamEvent
from pipeline.models import Model
from pipeline.parameters import Family, ignored_by
from pipeline.request import Request
from pipeline.upstream.base import Outgoing

Step = list[UpstreamEvent] | float
"""A list of events to give, or seconds to wait."""


class ScriptedUpstream:
    """Gives `steps` to every request; `opened`, `closed` and `requests` tell what happened."""

    def __init__(self, steps: Sequence[Step] | Callable[[Request], Sequence[Step]], name: str = "captured") -> None:
        self.name = name
        self.writes_markers = True
        self.keeps_promises = False
        self.opened = 0
        self.closed = 0
        self.closed_at: list[float] = []
        self.keys: list[str | None] = []
        self.requests: list[Request] = []
        self.was_opened = anyio.Event()
        self.was_closed = anyio.Event()
        self._steps = steps

    def models(self) -> Sequence[Model]:
        return [Model("composer-2.5", "Composer 2.5", "cursor")]

    def find_model(self, model_id: str) -> Model | None:
        return Model(model_id, model_id, "cursor") if model_id != "no-such-model" else None

    async def prepared(self, request: Request) -> Request:
        return request

    def write(self, request: Request) -> Outgoing:
        return Outgoing(request, b"", "".join(message.text for message in request.messages), ignored_by(Family.COMPOSER, request))

    async def stream(self, outgoing: Outgoing, key: str | None) -> AsyncGenerator[list[UpstreamEvent], None]:
        self.opened += 1
        self.was_opened.set()
        self.keys.append(key)
        self.requests.append(outgoing.request)
        try:
            for step in self._steps(outgoing.request) if callable(self._steps) else self._steps:
                if isinstance(step, list):
                    await anyio.lowlevel.checkpoint()
                    yield step
                else:
                    await anyio.sleep(step)
        finally:
            self.closed += 1
            self.was_closed.set()
            self.closed_at.append(anyio.current_time())

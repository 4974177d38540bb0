"""What flow.py asks of an upstream: write a request in its own form, and stream its answer as lists of events."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from pipeline.events import Notice, UpstreamEvent
from pipeline.models import Model
from pipeline.request import Request
from pipeline.upstream.images import ImageFile
from pipeline.usage.estimate import Counted


class Outgoing(msgspec.Struct, frozen=True):
    """A request as the upstream takes it.

    `body` is what is sent; `prompt` is the text that the model reads, for the usage estimate; `request` is what both were written from; `ignored`
    names the client's parameters that have no effect on this upstream, and `notices` say what else of the request is not as the client sent it.
    `counted` are the prompt's tokens where they were counted, `images` the files in the body, and `rewrite` gives the body once more under new ids,
    where it holds any. At the first of `stops` the flow ends the answer: they are the client's stop texts, where the upstream takes none. `trigger`
    is the text of this request's own that the prompt asks for in front of each call, where it teaches a dialect that has one. Without `markers` the
    model was never told of Composer's, and what looks like one in its answer is text. `settle` is called at the answer's end, with the ids of the
    calls that left whole and that the client is to run, where the upstream holds something open for their results.
    """

    request: Request
    body: bytes
    prompt: str
    ignored: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    counted: Counted | None = None
    images: tuple[ImageFile, ...] = ()
    rewrite: Callable[[], bytes] | None = None
    stops: tuple[str, ...] = ()
    trigger: str = ""
    markers: bool = True
    settle: Callable[[Collection[str]], None] | None = None

    def renewed(self) -> "Outgoing":
        """The same request, to be sent a second time."""
        return self if self.rewrite is None else msgspec.structs.replace(self, body=self.rewrite())


class Upstream(Protocol):
    """One kind of upstream, configured."""

    @property
    def name(self) -> str:
        """The name in the settings, for logs and headers."""
        ...

    @property
    def writes_markers(self) -> bool:
        """Whether its model writes tool calls as text, so that its answer goes through the marker machine."""
        ...

    @property
    def keeps_promises(self) -> bool:
        """Whether it is sent the API's own parameters; one that is sent a prompt knows no stop texts, limits, formats and required calls."""
        ...

    def models(self) -> Sequence[Model]:
        """The models that this upstream is known to serve."""
        ...

    def find_model(self, model_id: str) -> Model | None:
        """What is known of a model id, None when this upstream does not serve it."""
        ...

    async def prepared(self, request: Request) -> Request:
        """The request with all that has to be fetched before it can be written, such as images.

        Raises PenstockError for what cannot be had, and before that for what `write` would refuse anyhow, as far as it is quick to say.
        """
        ...

    def write(self, request: Request) -> Outgoing:
        """The request in the upstream's own form. Raises RequestError for what this upstream cannot take."""
        ...

    def stream(self, outgoing: Outgoing, key: str | None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """The answer: one list for each read, an empty one for each spell of silence, `Finish` or `Failed` last.

        Never raises for what the upstream does; it says so with `Failed`. Closing the generator closes the upstream's connection. `key` is the
        caller's own upstream key where this upstream takes one.
        """
        ...


@runtime_checkable
class Awaits(Protocol):
    """An upstream that holds something open for the results of its calls, so that a request that brings them is best sent there."""

    def awaits(self, request: Request, key: str | None) -> bool:
        """Whether it waits for results of this request's last calls, under the key that it would be asked with; never raises."""
        ...

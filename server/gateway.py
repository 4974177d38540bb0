"""What the routes of one server share, put together once from the settings."""

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import trio
from quart import request
from quart_trio import QuartTrio
from werkzeug.exceptions import RequestEntityTooLarge

from pipeline.errors import AuthenticationError, BodyTimeout, BodyTooLarge, UnsupportedMedia
from pipeline.upstream.base import Upstream
from server.access_log import RECORD, Record
from server.answering import Answering
from server.bodies import charge_decoded
from server.failed_keys import FailedKeys
from server.front_door import Caller, FrontDoor
from server.lifecycle import Lifecycle
from server.live_models import LiveModels
from server.routing import Routing
from server.settings import Settings

Parsed = TypeVar("Parsed")

EXTENSION = "penstock"
LARGE_BODY_BYTES = 1_000_000


class Gateway:
    """One server: its settings, its upstreams, and what is built on them."""

    def __init__(self, settings: Settings, upstreams: Mapping[str, Upstream], lifecycle: Lifecycle) -> None:
        self.settings = settings
        self.lifecycle = lifecycle
        self.door = FrontDoor(settings)
        self._failed_keys = FailedKeys()
        self.routing = Routing(settings, upstreams)
        self.live = LiveModels(settings, upstreams)
        self.answering = Answering(settings, self.routing, lifecycle)

    def admit(self) -> Caller:
        """Who sent the request in work, by name in its log record; raises AuthenticationError, RateLimited or PermissionDenied."""
        try:
            caller = self.door.admit(request.headers)
        except AuthenticationError as error:
            raise self._failed_keys.refused(request.remote_addr, error) from None
        record().key = caller.name or ""
        return caller

    async def body(self) -> bytes:
        """The body of the request in work, in time and within its size; raises PenstockError."""
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise UnsupportedMedia("The body is compressed; send it without Content-Encoding.")
        server = self.settings.server
        try:
            with trio.fail_after(server.body_seconds):
                return bytes(await request.body)
        except trio.TooSlowError:
            raise BodyTimeout(f"The body did not arrive within {server.body_seconds:g} seconds.") from None
        except RequestEntityTooLarge:
            raise BodyTooLarge(f"The body is larger than {server.max_body_bytes} bytes.") from None

    async def parsed(self, parse: Callable[[bytes], Parsed], body: bytes | None = None) -> Parsed:
        """What `parse` makes of the body of the request in work, which may be given if it was read already. Raises PenstockError."""
        body = await self.body() if body is None else body
        charge_decoded(body)
        return await in_thread_if_large(parse, body)

    def base_url(self) -> str:
        """What a client sees as the address of this server, without a trailing slash."""
        return self.settings.server.public_url.rstrip("/") or f"{request.scheme}://{request.host}"


async def in_thread_if_large(read: Callable[[bytes], Parsed], body: bytes) -> Parsed:
    """What `read` makes of a body; of a large one in a thread, so that other answers go on meanwhile."""
    return read(body) if len(body) < LARGE_BODY_BYTES else await trio.to_thread.run_sync(read, body)


def lifecycle_of(app: object) -> Lifecycle:
    """The lifecycle of an app that `create_app` made."""
    gateway = cast("Gateway", cast("QuartTrio", app).extensions[EXTENSION])
    return gateway.lifecycle


def record() -> Record:
    """The log record of the request in work."""
    scope = cast("dict[str, object]", request.scope)
    return cast("Record", scope[RECORD])

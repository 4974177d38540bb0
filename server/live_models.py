"""Which models the upstream of `*` says that it serves, where it alone knows.

Theory of operation: the settings say whether there is such an upstream (`server.resolver`). A server with a published API is asked for its list
here (`pipeline.upstream.model_list`), in the way of that API; another kind lists its models itself. `ask` is for a caller, with the key that the
caller's requests would have, and waits as long as the list's own clock allows. `glance` is for a page that cannot wait: the question goes to a task
that outlives the page, so that one view finds the answer that an earlier one did not wait for; while it is under way nobody asks a second time, and
only those who come early wait.

Invariants: a list that cannot be had is a line in the log and None. The exception is the caller's own key: where the upstream refuses it, the caller
is told so.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

import trio

from pipeline.errors import AuthenticationError, PermissionDenied
from pipeline.models import Model
from pipeline.upstream.base import Upstream
from server.resolver import asked_upstream
from server.settings import Settings
from server.upstream_settings import Anthropic, ApiServer
from server.upstreams import timeouts_of

if TYPE_CHECKING:
    from pipeline.upstream.model_list import Listing

Live: TypeAlias = Mapping[str, Model]
"""The models that the upstream told, by its own ids."""

Spawn: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]
"""Starts a task that may outlive the request."""

log = logging.getLogger("penstock")


@runtime_checkable
class ListsModels(Protocol):
    """A running upstream that is asked itself for its models."""

    async def list_models(self, key: str | None) -> "Listing":
        """Its models, kept or fresh, or why there are none; `key` is the caller's own, which is used where the upstream takes it."""
        ...


class Asked(Enum):
    """What came of the question."""

    NOT_ASKED = auto()
    PENDING = auto()
    FAILED = auto()
    TOLD = auto()


class Glance(NamedTuple):
    """What is known now: `live` exactly when it is TOLD."""

    asked: Asked = Asked.NOT_ASKED
    live: Live | None = None


class _Look:
    """One question of `glance` that is under way."""

    def __init__(self) -> None:
        self.began = trio.current_time()
        self.over = trio.Event()
        self.live: Live | None = None


class LiveModels:
    """The list of one server's settings. `upstream` is the name of the upstream that is asked, None when there is none to ask."""

    def __init__(self, settings: Settings, upstreams: Mapping[str, Upstream]) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self.upstream = asked_upstream(settings)
        self._look: _Look | None = None

    async def ask(self, callers_key: str | None) -> Live | None:
        """What the upstream told; None when there is none to ask or it could not be asked.

        Raises:
            AuthenticationError, PermissionDenied: it is asked with the caller's own key, and refuses it.
        """
        if self._ask is None or self.upstream is None:
            return None
        with_callers_key = self._settings.upstreams[self.upstream].takes_callers_key
        if callers_key is None and with_callers_key:
            return None  # there is no key to ask with
        listing = await self._ask(callers_key)
        if listing.error is None:
            return {model.id: model for model in listing.models}
        if with_callers_key and isinstance(listing.error, AuthenticationError | PermissionDenied):
            raise type(listing.error)(listing.error.message, code=listing.error.code)
        if not listing.is_kept:
            log.warning("upstream %s: its models are not listed: %s", self.upstream, listing.error.message)
        return None

    async def glance(self, spawn: Spawn, *, within_seconds: float) -> Glance:
        """What the upstream has told by the end of the time, which begins when the question is first put; it is asked with no caller's key."""
        if self.upstream is None:
            return Glance()
        look = self._look
        if look is None:
            look = self._look = _Look()
            spawn(self._finish)
        with trio.move_on_at(look.began + within_seconds):
            await look.over.wait()
        if not look.over.is_set():
            return Glance(Asked.PENDING)
        return Glance(Asked.FAILED if look.live is None else Asked.TOLD, look.live)

    async def _finish(self) -> None:
        look = self._look
        assert look is not None
        try:
            look.live = await self.ask(None)
        finally:
            self._look = None
            look.over.set()

    @cached_property
    def _ask(self) -> "Callable[[str | None], Awaitable[Listing]] | None":
        if self.upstream is None:
            return None
        table = self._settings.upstreams[self.upstream]
        if not isinstance(table, ApiServer):
            running = self._upstreams[self.upstream]
            assert isinstance(running, ListsModels)
            return running.list_models
        # imported when it is first asked, since the module speaks to a network
        from pipeline.upstream.model_list import ModelList, models_url

        address, own_headers = models_url, None
        if isinstance(table, Anthropic):
            from pipeline.upstream.anthropic import AnthropicUpstream, anthropic_models_url

            address, own_headers = anthropic_models_url, AnthropicUpstream.own_headers
        return ModelList(
            self.upstream,
            table.base_url,
            table.credential(),
            context_window=table.context_window,
            key_header=table.api_key_header,
            headers=table.headers,
            own_headers=own_headers,
            address=address,
            timeouts=timeouts_of(self._settings),
        ).ask

"""Which models the upstream of `*` says that it serves, where it alone knows.

Theory of operation: the settings say whether there is such an upstream (`server.resolver`). `ask` is for a caller, with the key that the caller's
requests would have, and waits as long as `pipeline.upstream.model_list` allows. `glance` is for a page that cannot wait: the question goes to a task
that outlives the page, so that one view finds the answer that an earlier one did not wait for; while it is under way nobody asks a second time, and
only those who come early wait.

Invariants: a list that cannot be had is a line in the log and None. The exception is the caller's own key: where the upstream refuses it, the caller
is told so.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import trio

from pipeline.errors import AuthenticationError, PermissionDenied
from pipeline.models import Model
from server.resolver import asked_upstream
from server.settings import Settings
from server.upstream_settings import OpenAICompatible
from server.upstreams import timeouts_of

if TYPE_CHECKING:
    from pipeline.upstream.model_list import ModelList

Live: TypeAlias = Mapping[str, Model]
"""The models that the upstream told, by its own ids."""

Spawn: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]
"""Starts a task that may outlive the request."""

log = logging.getLogger("penstock")


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

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.upstream = asked_upstream(settings)
        self._look: _Look | None = None

    async def ask(self, callers_key: str | None) -> Live | None:
        """What the upstream told; None when there is none to ask or it could not be asked.

        Raises:
            AuthenticationError, PermissionDenied: it is asked with the caller's own key, and refuses it.
        """
        if self._list is None or self.upstream is None:
            return None
        with_callers_key = self._settings.upstreams[self.upstream].takes_callers_key
        if callers_key is None and with_callers_key:
            return None  # there is no key to ask with
        listing = await self._list.ask(callers_key)
        if listing.error is None:
            return {model.id: model for model in listing.models}
        if with_callers_key and isinstance(listing.error, AuthenticationError | PermissionDenied):
            raise type(listing.error)(listing.error.message, code=listing.error.code)
        if not listing.is_kept:
            log.warning("upstream %s: its models are not listed: %s", self.upstream, listing.error.message)
        return None

    async def glance(self, spawn: Spawn, *, within_seconds: float) -> Glance:
        """What the upstream has told by the end of the time, which begins when the question is first put; it is asked with no caller's key."""
        if self._list is None:
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
    def _list(self) -> "ModelList | None":
        # made when it is first asked, since the module behind it speaks to a network
        if self.upstream is None:
            return None
        from pipeline.upstream.model_list import ModelList

        table = self._settings.upstreams[self.upstream]
        assert isinstance(table, OpenAICompatible)
        return ModelList(
            self.upstream,
            table.base_url,
            table.credential(),
            context_window=table.context_window,
            key_header=table.api_key_header,
            headers=table.headers,
            timeouts=timeouts_of(self._settings),
        )

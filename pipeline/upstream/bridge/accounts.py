"""The models of each key's account, as the bridge lists them: for those who want the list, and for telling it which model is meant.

Theory of operation: a list is asked for once and kept for five minutes, one for each key, under the key's full SHA-256; those who ask together share
one call. The reason why there is none is kept for half a minute. `selection` tells what the bridge is told of a request's model and effort: the list
is only waited for where the id does not say it by itself, as Composer's do.

Invariants: nothing here raises for what the bridge does, and no key is kept or told.
"""

import time
from functools import partial

import anyio
import msgspec

from pipeline.errors import PenstockError, UpstreamTimeout
from pipeline.models import DEFAULT_MODEL, FAST_MODEL, Model, resolve_composer_model
from pipeline.request import Request
from pipeline.upstream.bridge.calls import BridgeCalls
from pipeline.upstream.model_list import KEPT_SECONDS, LIST_COUNT, REASON_KEPT_SECONDS, Listing
from pipeline.upstream.redaction import redacted
from pipeline.upstream.single_flight import Fresh, Held, SingleFlightCache, fingerprint
from pipeline.wire.sdk_models import Listed, Selection, as_model, selection_for

LIST_SECONDS = 10.0
"""How long a list is waited for; the bridge asks the vendor for it."""


class _Told(msgspec.Struct, frozen=True):
    """One answer: as the bridge gave it, and as ours."""

    listed: tuple[Listed, ...] = ()
    listing: Listing = Listing()


class Accounts:
    """See the module. `context_window`, in tokens, is told of every model where it is set."""

    def __init__(self, calls: BridgeCalls, *, callers_key: bool, context_window: int | None = None) -> None:
        self._calls = calls
        self._callers_key = callers_key
        self._context_window = context_window
        self._kept: SingleFlightCache[_Told] = SingleFlightCache(time.time, LIST_COUNT)

    async def listing(self, secret: str) -> Listing:
        """The models of the key's account."""
        held = await self._ask(secret)
        return msgspec.structs.replace(held.value.listing, is_kept=held.is_kept)

    async def selection(self, request: Request, secret: str) -> Selection:
        """What the bridge is told of the model; it has the last word where no list is to be had."""
        effort = request.options.reasoning_effort
        if effort is None and resolve_composer_model(request.model) in (DEFAULT_MODEL, FAST_MODEL):
            return selection_for(request.model)
        return selection_for(request.model, effort, (await self._ask(secret)).value.listed)

    def with_window(self, model: Model) -> Model:
        """The model with the window that the operator set."""
        return model if self._context_window is None else msgspec.structs.replace(model, context_window=self._context_window)

    async def _ask(self, secret: str) -> Held[_Told]:
        with anyio.move_on_after(LIST_SECONDS):
            return await self._kept.get(fingerprint(secret), partial(self._tell, secret))
        late = UpstreamTimeout(f"The bridge did not list its models within {LIST_SECONDS:g} seconds.")
        return Held(_Told(listing=Listing(error=late)), is_kept=False)

    async def _tell(self, secret: str) -> Fresh[_Told]:
        try:
            listed = await self._calls.list_models(secret, callers_key=self._callers_key)
        except PenstockError as error:
            return Fresh(_Told(listing=Listing(error=redacted(error, [secret]))), time.time() + REASON_KEPT_SECONDS)
        models = tuple(self.with_window(as_model(each)) for each in listed)
        return Fresh(_Told(listed, Listing(models)), time.time() + KEPT_SECONDS)

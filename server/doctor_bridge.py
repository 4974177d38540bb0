"""The doctor's look at the SDK bridge: whether its program is there, starts, speaks our protocol, and takes the key.

Settings and the running upstream come in, `Trip`s go out, from the near to the far; what cannot hold because of an earlier one is left out. Whoever
opens the upstream starts the bridge, and stops it. Of the account only the key's own name is shown.
"""

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pipeline.errors import PenstockError
from server.doctor_trips import Trip, fix_of
from server.live_models import ListsModels
from server.upstream_settings import SdkBridge

if TYPE_CHECKING:
    from pipeline.wire.sdk_requests import User, Version

PROTOCOL = "sdk.v1"


@runtime_checkable
class Bridge(ListsModels, Protocol):
    """The running upstream, as far as the doctor asks it."""

    async def version(self) -> "Version":
        """Whose it is and what it speaks, when it is ready; raises PenstockError."""
        ...

    async def me(self, key: str | None) -> "User":
        """Whose key it is; raises PenstockError."""
        ...


def program_trip(name: str, table: SdkBridge) -> Trip:
    """Whether there is a program to start."""
    from pipeline.upstream.bridge.launch import find_command

    what = "the bridge's program is there"
    try:
        program, *_ = find_command(table.command)
    except PenstockError as error:
        if table.command:
            return Trip(what, False, error.message, f"correct upstreams.{name}.command, or leave it out and install the package")
        return Trip(
            what,
            False,
            "cursor-sdk-bridge is not installed",
            f"pip install 'penstock[cursor-sdk]' where Penstock is installed, or set upstreams.{name}.command",
        )
    return Trip(what, True, program)


async def bridge_trips(bridge: Bridge, key: str | None, *, has_key: bool) -> AsyncGenerator[Trip, None]:
    """What the running bridge says of itself and, where there is a key to ask with, of the key; the first that is not good is the last."""
    trip = await _started(bridge)
    yield trip
    if not trip.good or not has_key:
        return
    trip = await _known(bridge, key)
    yield trip
    if trip.good:
        yield await _listed(bridge, key)


async def _started(bridge: Bridge) -> Trip:
    what, began = "the bridge starts", time.monotonic()
    try:
        version = await bridge.version()
    except PenstockError as error:
        return _failed(what, error)
    detail = f"ready in {time.monotonic() - began:.2f} s, version {version.bridge}, protocol {version.protocol}"
    if version.protocol != PROTOCOL:
        return Trip(what, False, detail, f"install a version of cursor-sdk whose bridge speaks {PROTOCOL}")
    return Trip(what, True, detail)


async def _known(bridge: Bridge, key: str | None) -> Trip:
    what = "the key is accepted"
    try:
        user = await bridge.me(key)
    except PenstockError as error:
        return _failed(what, error)
    return Trip(what, True, f"it is called {user.key_name}" if user.key_name else "")


async def _listed(bridge: Bridge, key: str | None) -> Trip:
    what = "the models are listed"
    listing = await bridge.list_models(key)
    if listing.error is not None:
        return _failed(what, listing.error)
    return Trip(what, bool(listing.models), f"{len(listing.models)} models", "" if listing.models else "see which models the account's plan has")


def _failed(what: str, error: PenstockError) -> Trip:
    return Trip(what, False, f"{error.message} ({error.status} {error.code})", fix_of(error.code, error.status))

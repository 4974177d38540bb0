"""Run the server: listen, serve, and stop so that nothing is cut without a word.

hypercorn's own worker has no seam for a connection class, so its thirty lines stand here again around ours (`server.connection`); the exact version
is pinned and a test holds the parts that are used. The life of a worker::

    serving ──first signal──▶ /ready says 503 ──prestop_seconds──▶ the listener closes, idle connections close
            ──drain_seconds──▶ streams that still run end with an error event; what is left then is broken off ──▶ exit status 0

A second signal breaks off at once.
"""

import logging
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState

from pipeline.upstream.base import Upstream
from server.app import create_app
from server.banner import banner
from server.connection import Connection, Connections
from server.exits import FAULT, GOOD
from server.lifecycle import Lifecycle
from server.listening import CannotListen, hypercorn_config, listen, url_of
from server.settings import Settings
from server.signals import hold, stop_on_signals
from server.upstreams import open_upstreams

FAREWELL_SECONDS = 1.0
"""How long before the end of the drain the streams that still run are told: time for their last event to leave."""


@runtime_checkable
class BreaksOff(Protocol):
    """An upstream whose end takes time that a second signal does not leave it."""

    def break_off(self) -> None:
        """End what it has started at once; it is closed behind this."""
        ...


def run(settings: Settings) -> int:
    """Serve until a signal stops it, and give the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    # a line for each upstream request would say again, with its address, what the access log says
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("penstock.access").disabled = not settings.server.access_log
    try:
        listener = listen(settings)
    except CannotListen as error:
        print(f"penstock: {error}", file=sys.stderr)
        return FAULT
    show_banner = partial(print, banner(settings, url_of(listener, settings)), flush=True)
    if settings.server.workers > 1:
        from server.workers import supervise

        return supervise(settings.server.workers, lambda: trio.run(partial(serve, settings, listener, signals="of a worker")), show_banner)
    hold()
    trio.run(serve_alone, settings, listener, show_banner)
    return GOOD


async def serve_alone(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve in this process; `ready` is called when signals are listened to and connections are taken."""
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, settings, listener, signals="of a process"))
        ready()


async def serve(
    settings: Settings,
    listener: socket.socket,
    *,
    lifecycle: Lifecycle | None = None,
    upstreams: Mapping[str, Upstream] | None = None,
    signals: Literal["", "of a process", "of a worker"] = "",
    task_status: trio.TaskStatus[Lifecycle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on a listening socket until `lifecycle.stopping` is set, by a signal or by the caller, and the drain is over.

    `signals` says whether stop signals are listened to, and as whose: see `server.signals`.
    """
    lifecycle = lifecycle or Lifecycle.under(settings.server)
    config = hypercorn_config(settings)
    state: LifespanState = {}
    context = WorkerContext(None)
    connections = Connections()
    async with trio.open_nursery() as nursery:
        opened: list[Upstream] = []

        async def break_off() -> None:
            # first the connections: a write to a client that does not read is shielded from the cancellation
            await connections.abort()
            # and so is the end of a program that an upstream has started
            for upstream in opened:
                if isinstance(upstream, BreaksOff):
                    upstream.break_off()
            nursery.cancel_scope.cancel()

        if signals:
            await nursery.start(partial(stop_on_signals, lifecycle, break_off, of_worker=signals == "of a worker"))
        # inside of the nursery, since an upstream may have one of its own, and ended before it is cancelled
        async with open_upstreams(settings) if upstreams is None else nullcontext(upstreams) as running:
            opened += running.values()
            app = ASGIWrapper(create_app(settings, running, lifecycle))
            async with lifespan(app, config, state), trio.open_nursery() as serving:
                handler = partial(
                    Connection,
                    app,
                    config,
                    context,
                    ConnectionState(state),
                    connections=connections,
                    write_stall_seconds=settings.timeouts.write_stall_seconds,
                )
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(partial(accept, config, settings, listener, handler, serving))
                    task_status.started(lifecycle)
                    await lifecycle.stopping.wait()
                    await trio.sleep(settings.server.prestop_seconds)
                    accepting.cancel_scope.cancel()
                lifecycle.draining.set()
                await context.terminated.set()
                await drain(settings.server.drain_seconds, lifecycle, connections)
                serving.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def accept(
    config: Config, settings: Settings, listener: socket.socket, handler: Callable[..., Awaitable[object]], serving: trio.Nursery
) -> None:
    """Take connections until cancelled; the listener is closed then."""
    plain = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    context = config.create_ssl_context() if settings.server.tls_cert else None
    secured = trio.SSLListener(plain, context, https_compatible=True) if context else plain
    await trio.serve_listeners(handler, [secured], handler_nursery=serving)


async def drain(seconds: float, lifecycle: Lifecycle, connections: Connections) -> None:
    """Let what runs end, tell the rest to, and break off what is left at the end of the time."""
    started = trio.current_time()
    lifecycle.stop.set(started + max(seconds - FAREWELL_SECONDS, seconds * 0.8))
    with trio.move_on_after(seconds):
        await connections.wait_until_none()
    await connections.abort()


@asynccontextmanager
async def lifespan(app: AppWrapper, config: Config, state: LifespanState) -> AsyncGenerator[None]:
    """The app's start-up before, its shutdown after."""
    protocol = Lifespan(app, config, state)
    async with trio.open_nursery() as nursery:
        await nursery.start(protocol.handle_lifespan)
        await protocol.wait_for_startup()
        yield
        await protocol.wait_for_shutdown()
        nursery.cancel_scope.cancel()

"""The bridge, supervised: started when the server starts, again when it ended, and stopped with the server.

Theory of operation: `BridgeProcess.run` lives one start of the bridge after another. A start makes a scratch folder, starts the program, reads where
it listens, asks it whether it is there, tells it where the tools are, and only then counts as ready. When the program ends, whatever the reason, what
is left of it is ended too, the folder is removed, and it is started again: after half a second, then after twice as long each time, up to half a
minute, from the beginning again once it was ready for a minute. A request that asks for `endpoint` meanwhile does not wait for that: it starts the
bridge at once, though at most once a second for all that ask. A program that cannot be used at all is only tried again when somebody asks, and who
asks within that second is told at once.

A bridge may run and do nothing any more. Who waited for an answer in vain says so (`doubt`); then it is asked whether it is there, and one that does
not answer that either is ended as if it had ended by itself.

Invariants: `endpoint` gives an address only between ready and the end of that very start; each start has its own generation. Who waits is told how
the start went that it waited for. No fault in here gets out of `run`: it is logged, and `endpoint` raises. Cancelling `run` leaves no process, no
descriptor and no folder, in bounded time, and with `break_off` at once. What the bridge wrote goes to the log and never to a client.
"""

import logging
import math
import os
from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import TaskStatus

from pipeline.errors import PenstockError, UpstreamError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.upstream.bridge.backoff import Backoff
from pipeline.upstream.bridge.child import Child, start_child
from pipeline.upstream.bridge.doubts import Doubts
from pipeline.upstream.bridge.launch import (
    SET_TOOL_CALLBACK,
    Callback,
    Launch,
    child_arguments,
    child_environment,
    find_command,
    incompatible,
    read_token,
)
from pipeline.upstream.bridge.scratch import Scratch, make_scratch, sweep
from pipeline.upstream.bridge.unary import Endpoint, ask
from pipeline.upstream.http import Client
from pipeline.upstream.single_flight import copied
from pipeline.wire import sdk_requests as wire

log = logging.getLogger("penstock.bridge")

DOWN = "upstream_bridge_down"
RETRY_SECONDS = 1.0
STOP_SECONDS = 12.0
"""The most that the end of a bridge may take, its folder with it; one that does as it is told takes less than a tenth of a second."""

SHUTDOWN_CALL_SECONDS = 0.5


class BridgeProcess:
    """One bridge. `run` it in a task group, ask for its `endpoint`."""

    def __init__(self, name: str, launch: Launch, client: Client, *, callback: Callback | None = None, backoff: Backoff | None = None) -> None:
        """`name` is the upstream's, for the log; `client` asks the bridge; `callback` is where the tools are."""
        self._name = name
        self._launch = launch
        self._client = client
        self._callback = callback
        self._backoff = backoff or Backoff()
        self._current: Endpoint | None = None
        self._starts = 0
        self._failed_starts = 0
        self._failure: PenstockError | None = None
        self._failed_at = -math.inf
        self._is_closed = False
        self._is_broken_off = False
        self._child: Child | None = None
        self._doubts = Doubts(client)
        self._wanted = anyio.Event()
        self._changed = anyio.Event()
        self._told_on_exit: list[Callable[[int], None]] = []

    def __repr__(self) -> str:
        return f"BridgeProcess({self._name!r})"

    @property
    def current(self) -> Endpoint | None:
        """The endpoint of the bridge that is ready, None where none is."""
        return self._current

    def on_exit(self, told: Callable[[int], None]) -> None:
        """Have `told` called with the generation of each bridge that was ready and is over, as soon as that is known."""
        self._told_on_exit.append(told)

    async def endpoint(self) -> Endpoint:
        """Where the bridge is asked: at once while it is ready, else behind a start.

        Raises:
            UpstreamUnusable: there is no program, or none that can be used.
            UpstreamUnavailable: it ended before it was ready, or is supervised no more.
            UpstreamTimeout: it was not ready within `start_seconds`.
        """
        failed_before = self._failed_starts
        if isinstance(self._failure, UpstreamUnusable) and anyio.current_time() - self._failed_at < self._backoff.apart_seconds:
            raise copied(self._failure)
        with anyio.move_on_after(self._launch.start_seconds):
            while self._current is None:
                if self._is_closed:
                    raise _down("The SDK's bridge is stopped; this gateway is shutting down.")
                if self._failure is not None and self._failed_starts > failed_before:
                    raise copied(self._failure)
                self._wanted.set()
                await self._changed.wait()
            return self._current
        raise self._too_late()

    def doubt(self, endpoint: Endpoint) -> None:
        """That start of the bridge did not answer in time: see whether it is there at all, and start another if it is not."""
        if self._current is endpoint:
            self._doubts.raise_doubt()

    def break_off(self) -> None:
        """Whatever is running is ended at once, and nothing is started any more; `run` is to be cancelled too."""
        self._is_broken_off = True
        if self._child is not None:
            self._child.kill()

    async def is_over(self, endpoint: Endpoint, within_seconds: float) -> bool:
        """Whether that start of the bridge has ended, or does within so long: its port may be closed before its end is known."""
        with anyio.move_on_after(within_seconds):
            while self._current is endpoint:
                await self._changed.wait()
        return self._current is not endpoint

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Supervise until cancelled, and stop the bridge then. `started` is said at once."""
        task_status.started()
        failures = 0
        try:
            while True:
                began = anyio.current_time()
                self._wanted = anyio.Event()
                failure, ready_seconds = await self._live()
                failures = 1 if ready_seconds >= self._backoff.healthy_seconds else failures + 1
                if failure is not None:
                    self._fail(failure)
                # a program that cannot be used is only tried again when somebody asks
                pause = math.inf if isinstance(failure, UpstreamUnusable) else self._backoff.after(failures)
                with anyio.move_on_after(pause):
                    await self._wanted.wait()
                await anyio.sleep_until(began + self._backoff.apart_seconds)
        finally:
            self._is_closed = True
            self._change()

    async def _live(self) -> tuple[PenstockError | None, float]:
        """One start and what followed; gives why it never was ready, None if it was, and for how many seconds it was."""
        life = _Life()
        try:
            await self._within_folder(life)
        except PenstockError as error:
            is_news = self._failure is None or self._failure.message != error.message
            log.log(logging.WARNING if is_news else logging.DEBUG, "the bridge of %s: %s", self._name, error.message)
            life.failure = error
        except OSError as fault:
            log.warning("the bridge of %s: could not be started: %s", self._name, fault.strerror or type(fault).__name__)
            life.failure = _down("The SDK's bridge could not be started.")
        except Exception:
            log.exception("the bridge of %s: a fault of its supervisor", self._name)
            life.failure = None if life.ready_at is not None else _down("The SDK's bridge could not be started.")
        finally:
            self._over(life)
        return life.failure, life.ready_seconds

    async def _within_folder(self, life: "_Life") -> None:
        command = find_command(self._launch.command)
        for folder in await anyio.to_thread.run_sync(sweep):
            log.info("the bridge of %s: removed %s, which a server that was killed had left", self._name, folder.name)
        scratch = await anyio.to_thread.run_sync(make_scratch)  # cancelling waits for it, and then it is here
        try:
            environment = child_environment(os.environ, scratch, self._launch.environment)
            child = self._child = await start_child(self._name, (*command, *child_arguments(scratch)), environment, scratch)
            if self._is_broken_off:
                child.kill()
            log.info("the bridge of %s: started as process %d", self._name, child.pid)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child.listen)
                tasks.start_soon(child.watch)
                try:
                    life.failure = await self._through(life, child, scratch)
                finally:
                    self._over(life)
                    with anyio.move_on_after(STOP_SECONDS, shield=True):
                        await self._stop(life, child)
                    tasks.cancel_scope.cancel()
        finally:
            self._child = None
            with anyio.move_on_after(STOP_SECONDS, shield=True):
                if not await anyio.to_thread.run_sync(scratch.remove):
                    log.warning("the bridge of %s: its folder %s could not be removed whole", self._name, scratch.folder)

    async def _through(self, life: "_Life", child: Child, scratch: Scratch) -> PenstockError | None:
        """From the start to the end of a child; gives why it never was ready."""
        began = anyio.current_time()
        try:
            with anyio.fail_after(self._launch.start_seconds):
                life.endpoint = await self._greeted(child, scratch)
        except TimeoutError:
            log.warning("the bridge of %s: not ready within %g s; its last words: %s", self._name, self._launch.start_seconds, child.last_words())
            return self._too_late()
        except PenstockError as error:
            log.warning("the bridge of %s: %s Its last words: %s", self._name, error.message, child.last_words())
            # what it says of a request of our own is no fault of a client's
            return error if isinstance(error, UpstreamError) else incompatible()
        self._starts, self._failure = life.endpoint.generation, None
        self._current, life.ready_at = life.endpoint, anyio.current_time()
        self._change()
        log.info("the bridge of %s: ready in %.2f s, version %s", self._name, life.ready_at - began, life.endpoint.version or "unknown")
        hangs = await self._doubts.hangs_before(child.over.wait, life.endpoint)
        self._over(life)
        seconds = anyio.current_time() - life.ready_at
        if hangs:
            log.warning("the bridge of %s: did not answer any more after %.0f s, and is ended", self._name, seconds)
        else:
            log.warning("the bridge of %s: ended with status %s after %.0f s", self._name, child.status, seconds)
        return None

    async def _greeted(self, child: Child, scratch: Scratch) -> Endpoint:
        """The endpoint of a child that listens, answers, and knows where the tools are."""
        await child.told.wait()
        if child.refusal is not None:
            raise child.refusal
        if child.ready is None:
            raise _down(f"The SDK's bridge ended before it was ready, with status {child.status}.")
        ready = child.ready
        endpoint = Endpoint(ready.url, read_token(ready.token_file), ready.version, self._starts + 1, str(scratch.workspace))
        child.secrets += [endpoint.token, *([self._callback.token] if self._callback else [])]
        seconds = self._launch.start_seconds
        if not wire.read_pong(await ask(self._client, endpoint, wire.PING, wire.EMPTY, within_seconds=seconds)):
            raise _down("The SDK's bridge answered with something else than was asked for.")
        if self._callback is not None:
            hidden = (self._callback.token.reveal(),)
            await ask(self._client, endpoint, SET_TOOL_CALLBACK, self._callback.body(), within_seconds=seconds, secrets=hidden)
        return endpoint

    async def _stop(self, life: "_Life", child: Child) -> None:
        endpoint = life.endpoint

        async def shut_down(endpoint: Endpoint) -> bool:
            try:
                await ask(self._client, endpoint, wire.SHUTDOWN, wire.shutdown(), within_seconds=SHUTDOWN_CALL_SECONDS)
            except (PenstockError, RuntimeError) as error:  # the client may be closed already
                log.debug("the bridge of %s: would not shut down by itself: %s", self._name, error)
                return False
            return True

        if not await child.stop(None if endpoint is None else partial(shut_down, endpoint)):
            log.warning("the bridge of %s: not all of its processes could be ended", self._name)

    def _over(self, life: "_Life") -> None:
        """This start serves nobody any more; the second time does nothing."""
        if life.ready_at is None or life.endpoint is None or self._current is not life.endpoint:
            return
        life.ready_seconds = anyio.current_time() - life.ready_at
        self._current = None
        self._change()
        for told in self._told_on_exit:
            try:
                told(life.endpoint.generation)
            except Exception:
                log.exception("the bridge of %s: a fault of somebody who was told of its end", self._name)

    def _fail(self, failure: PenstockError) -> None:
        """Tell all who wait; they leave with the failure, and only who comes after it wants another start."""
        self._failed_starts += 1
        self._failure, self._failed_at = failure, anyio.current_time()
        self._wanted = anyio.Event()
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _too_late(self) -> UpstreamTimeout:
        return UpstreamTimeout(f"The SDK's bridge was not ready within {self._launch.start_seconds:g} seconds.", code="upstream_bridge_slow")


def _down(message: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(message, code=DOWN, retry_after_seconds=RETRY_SECONDS)


class _Life:
    """One start of the bridge, as far as it came."""

    def __init__(self) -> None:
        self.endpoint: Endpoint | None = None
        self.ready_at: float | None = None
        self.ready_seconds = 0.0
        self.failure: PenstockError | None = None

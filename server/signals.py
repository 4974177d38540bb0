"""Stop signals: which ones there are, how they are held back until somebody listens, and what they do to one server.

A process on its own drains at the first SIGTERM, SIGINT or SIGHUP and breaks off at a second SIGTERM or SIGINT. A worker under a parent
(`server.workers`) may get the same signal twice, once from a terminal or a supervisor that sends it to every process, and once from its parent: so it
ignores SIGINT and SIGHUP, SIGTERM begins the drain however often it comes, and `BREAK_OFF`, which its parent alone sends, breaks off.

SIGHUP says that the terminal is closed, as far as this server is concerned; that it asks a server without a terminal to read its settings again is
not part of it yet. It begins a stop and never breaks one off, since a shell that is closed with its terminal sends it a second time. Who started the
server with SIGHUP ignored, as `nohup` does, has it ignored.

A command that is no server is cancelled by the first of them, so that it leaves nothing behind (`until_stopped`); further ones change nothing.

Until the receiver is up, and again once it has gone, the signals wait: a stop that comes during the start, or right before the end, ends nothing in
the middle and leaves the exit status as it is.
"""

import logging
import signal
from collections.abc import Awaitable, Callable

import trio

from server.lifecycle import Lifecycle

log = logging.getLogger("penstock")

STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
BREAK_OFF = signal.SIGUSR1
HELD = STOP | {BREAK_OFF, signal.SIGCHLD}
"""All that a server or the parent of workers listens to."""


def stop_signals() -> frozenset[signal.Signals]:
    """Those that this process listens to: what it was started to ignore stays ignored."""
    return STOP - {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else STOP


def breaks_off(number: int) -> bool:
    """Whether a stop signal, behind another one, says that a drain has lasted long enough."""
    return number != signal.SIGHUP


def hold() -> None:
    """Let signals wait from now on; a child that is forked inherits this."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def release() -> None:
    """Deliver those that waited, and those to come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


async def stop_on_signals(
    lifecycle: Lifecycle,
    break_off: Callable[[], Awaitable[None]],
    *,
    of_worker: bool,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Set `lifecycle.stopping` at the first stop signal, and await `break_off` at what stops at once; then, or when cancelled, it is over."""
    with trio.open_signal_receiver(*({signal.SIGTERM, BREAK_OFF} if of_worker else stop_signals())) as received:
        release()
        task_status.started()
        try:
            async for number in received:
                if number == BREAK_OFF or (lifecycle.stopping.is_set() and breaks_off(number) and not of_worker):
                    log.info("second signal: stopping now")
                    await break_off()
                    return
                if not lifecycle.stopping.is_set():
                    work = f"{lifecycle.in_work} {'request' if lifecycle.in_work == 1 else 'requests'}"
                    log.info("%s: draining %s; a second signal stops at once", signal.Signals(number).name, work)
                    lifecycle.stopping.set()
        finally:
            # what the receiver has not handed out is raised again when it closes, which would kill a process that is done
            hold()


async def until_stopped(work: Callable[[], Awaitable[None]]) -> signal.Signals | None:
    """Do some work, which a stop signal cancels; gives the signal, None when the work was done. What it raises is raised as it is."""
    stopped_by: signal.Signals | None = None
    fault: Exception | None = None
    working = trio.CancelScope()
    with trio.open_signal_receiver(*stop_signals()) as received:
        async with trio.open_nursery() as listening:

            @listening.start_soon
            async def listen() -> None:
                nonlocal stopped_by
                async for number in received:
                    stopped_by = stopped_by or signal.Signals(number)
                    working.cancel()

            with working:
                try:
                    await work()
                except Exception as raised:  # a nursery would wrap it up
                    fault = raised
            listening.cancel_scope.cancel()
    if fault is not None:
        raise fault
    return stopped_by if working.cancelled_caught else None

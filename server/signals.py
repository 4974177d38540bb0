"""Stop signals: which ones there are, how they are held back until somebody listens, and what they do to one server.

A process on its own drains at the first SIGTERM or SIGINT and breaks off at the second. A worker under a parent (`server.workers`) may get the same
signal twice, once from a terminal or a supervisor that sends it to every process, and once from its parent: so it ignores SIGINT, SIGTERM begins
the drain however often it comes, and `BREAK_OFF`, which its parent alone sends, breaks off.

Until the receiver is up, and again once it has gone, the signals wait: a stop that comes during the start, or right before the end, ends nothing in
the middle and leaves the exit status as it is.
"""

import logging
import signal
from collections.abc import Awaitable, Callable

import trio

from server.lifecycle import Lifecycle

log = logging.getLogger("penstock")

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
BREAK_OFF = signal.SIGUSR1
HELD = STOP | {BREAK_OFF, signal.SIGCHLD}
"""All that a server or the parent of workers listens to."""


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
    with trio.open_signal_receiver(*({signal.SIGTERM, BREAK_OFF} if of_worker else STOP)) as received:
        release()
        task_status.started()
        try:
            async for number in received:
                if number == BREAK_OFF or (lifecycle.stopping.is_set() and not of_worker):
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

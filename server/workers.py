"""Several worker processes that share one listening socket, under a parent that only watches.

The socket is opened before the fork, so the kernel hands each connection to one of the workers. The parent starts a worker again when it dies, with
a pause that grows while workers keep dying young. It passes stop signals on, the first SIGTERM, SIGINT or SIGHUP as SIGTERM and every further SIGTERM
or SIGINT as `BREAK_OFF`, and ends when all workers have ended.

A parent that is killed passes nothing on. So each worker holds the reading end of a pipe whose other end the parent alone has open: when that end
closes, the worker stops as by SIGTERM.

Signals wake the parent through a pipe and do nothing else, so there is no moment at which one is missed: it sleeps on the pipe until a signal comes
or the next worker is due. They are held back around a fork until the child has its own handlers.
"""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from server.exits import FAULT, GOOD
from server.signals import BREAK_OFF, breaks_off, hold, release, stop_signals

log = logging.getLogger("penstock")

YOUNG_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


def supervise(count: int, work: Callable[[], None], ready: Callable[[], None]) -> int:
    """Run `work` in `count` processes until a signal stops them.

    Args:
        count: how many processes.
        work: what each of them does; it is called with the stop signals held back, and releases them once it listens.
        ready: called in the parent when the first workers are there and signals are listened to.

    Returns:
        The exit status of the whole: a fault when a worker that was told to stop ended with one.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    hold()
    stop = stop_signals()
    for number in (*stop, signal.SIGCHLD):
        signal.signal(number, _wake)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    workers = Workers(count, work)
    try:
        workers.start_due()
        release()
        ready()
        while workers.is_alive():
            if select.select([reader], [], [], workers.seconds_to_next())[0]:
                for number in stop.intersection(os.read(reader, 512)):
                    if breaks_off(number) or not workers.is_stopping:
                        workers.stop()
            workers.reap()
            workers.start_due()
    finally:
        # nothing to do when all have ended; a parent that fails leaves no orphans
        workers.stop()
    return FAULT if workers.failed else GOOD


class Workers:
    """The processes by id, and the times at which others are due. `is_stopping` says that no more are started."""

    def __init__(self, count: int, work: Callable[[], None]) -> None:
        self.failed = False
        self._work = work
        self._born: dict[int, float] = {}
        self._due = [time.monotonic()] * count
        self._pause = 0.0
        self.is_stopping = False
        self._parent = os.pipe()  # closed when this process ends, and never before

    def is_alive(self) -> bool:
        """Whether a worker runs or will."""
        return bool(self._born or self._due)

    def seconds_to_next(self) -> float | None:
        """How long until a worker is due, None when none is."""
        return max(0.0, min(self._due) - time.monotonic()) if self._due else None

    def stop(self) -> None:
        """Tell all to drain, and at the second call to break off; no more are started."""
        number = BREAK_OFF if self.is_stopping else signal.SIGTERM
        self.is_stopping = True
        self._due.clear()
        for pid in self._born:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def start_due(self) -> None:
        """Start those whose time has come."""
        now = time.monotonic()
        ripe = [due for due in self._due if due <= now]
        self._due = [due for due in self._due if due > now]
        for _ in ripe:
            self._born[start(self._work, self._parent)] = now

    def reap(self) -> None:
        """Take note of those that have ended, and of when others are due in their place."""
        for pid in list(self._born):
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                continue
            lived = time.monotonic() - self._born.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if self.is_stopping:
                self.failed = self.failed or code != 0
                continue
            self._pause = min(max(self._pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS) if lived < YOUNG_SECONDS else 0.0
            log.error("worker %d ended with status %d; starting another in %.1f s", pid, code, self._pause)
            self._due.append(time.monotonic() + self._pause)


def start(work: Callable[[], None], parent: tuple[int, int]) -> int:
    """Fork one worker and give its pid; in the worker, never return. `parent` is the pipe that tells it of the end of this process."""
    hold()
    pid = os.fork()
    if pid:
        release()
        return pid
    status = FAULT
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # a terminal's Ctrl-C, and its end, go to every process; the parent passes them on as SIGTERM
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _outlive_no(parent)
        work()
        status = GOOD
    except BaseException:  # noqa: ASYNC103 - the process ends here, whatever it was
        log.exception("worker %d failed", os.getpid())
    finally:
        # not sys.exit: the parent's own cleanup must not run in the child
        logging.shutdown()
        os._exit(status)


def _outlive_no(parent: tuple[int, int]) -> None:
    reader, writer = parent
    os.close(writer)

    def watch() -> None:
        os.read(reader, 1)  # nothing is ever written to it
        log.error("the parent of worker %d is gone: stopping", os.getpid())
        os.kill(os.getpid(), signal.SIGTERM)

    # a thread, since the worker's own loop may not have begun, or may be through
    threading.Thread(target=watch, name="parent", daemon=True).start()


def _wake(number: int, frame: FrameType | None) -> None:
    """Only signals that have a handler write to the pipe."""

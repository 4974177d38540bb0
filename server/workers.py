"""Several worker processes that share one listening socket, under a parent that only watches.

The socket is opened before the fork, so the kernel hands each connection to one of the workers. The parent passes stop signals on, starts a worker
again when it dies, with a pause that grows while workers keep dying young, and ends when all of them have ended.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from server.exits import FAULT, GOOD

log = logging.getLogger("penstock")

YOUNG_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0


def supervise(count: int, work: Callable[[], None]) -> int:
    """Run `work` in `count` processes until a signal stops them; the exit status of the whole."""
    born: dict[int, float] = {}
    stopping = False
    pause = 0.0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for pid in list(born):
            os.kill(pid, signal.Signals(number))

    for _ in range(count):
        born[start(work)] = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    failed = False
    while born:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            break
        lived = time.monotonic() - born.pop(pid, 0.0)
        code = os.waitstatus_to_exitcode(status)
        if stopping:
            failed = failed or code != 0
            continue
        pause = min(max(pause * 2, 0.5), LONGEST_PAUSE_SECONDS) if lived < YOUNG_SECONDS else 0.0
        log.error("worker %d ended with status %d; starting another in %.1f s", pid, code, pause)
        time.sleep(pause)
        if not stopping:
            born[start(work)] = time.monotonic()
    return FAULT if failed else GOOD


def start(work: Callable[[], None]) -> int:
    """Fork one worker and give its pid; in the worker, never return."""
    pid = os.fork()
    if pid:
        return pid
    status = FAULT
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work()
        status = GOOD
    except BaseException:  # noqa: ASYNC103 - the process ends here, whatever it was
        log.exception("worker %d failed", os.getpid())
    finally:
        # not sys.exit: the parent's own cleanup must not run in the child
        logging.shutdown()
        os._exit(status)

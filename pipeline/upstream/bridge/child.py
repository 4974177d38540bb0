"""One started bridge: what it says, whether it still runs, and how it is ended with all that it started.

Theory of operation: `start_child` starts the program in a process group of its own, since the one that we start is a shell that waits for the real
one. `watch` and `listen` are two tasks for as long as it lives: one waits for its end, the other reads its standard error, always, because a full
pipe would stop it. `told` is set when it has said where it listens, has said so in a way that is refused, or has ended. `stop` asks it to end, then
asks the group by SIGTERM, then kills the group; whoever left the group is found by the scratch folder (`orphans`).

The standard error is a pipe of ours and not the runtime's: asyncio's own counts a program as running while a grandchild holds its end of the pipe.

Invariants: the group is signalled only while its first process has not been collected, so that its number can be no other's. Lines go to the log at
DEBUG, cleaned of what looks like a secret, and at most `TAIL_LINES` are kept. Left alone: which program this is, and its scratch folder.
"""

import errno
import logging
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from subprocess import DEVNULL

import anyio
from anyio.abc import Process

from pipeline.credential import Secret
from pipeline.errors import UpstreamUnusable
from pipeline.upstream.bridge.launch import Ready, read_ready
from pipeline.upstream.bridge.orphans import END_SECONDS, end_processes_of, processes_of
from pipeline.upstream.bridge.said import Lines
from pipeline.upstream.bridge.scratch import Scratch
from pipeline.wire.error_text import clean_message

log = logging.getLogger("penstock.bridge")

READ_BYTES = 65_536
TAIL_LINES = 20
LAST_WORDS_SECONDS = 0.2
"""How long the last lines of a program that has ended are waited for: another that it left behind may hold the pipe open."""

NO_PROGRAM = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP})
NOT_EXECUTABLE = "The program of the SDK's bridge cannot be executed here: it is no program of this system, or what it is to be run by is missing."

SHUTDOWN_SECONDS = 0.7
SIGTERM_SECONDS = 3.0
POLL_SECONDS = (0.002, 0.05)
"""How often a group is looked at that should end: at first, and at last."""


class Child:
    """A program that runs in a group of its own. `status` is what it ended with, a negative number for a signal; None while it runs."""

    def __init__(self, name: str, process: Process, errors: int, scratch: Scratch) -> None:
        """`errors` is the reading end of its standard error, which is closed by `listen`."""
        self.told = anyio.Event()
        self.over = anyio.Event()
        self.ready: Ready | None = None
        self.refusal: UpstreamUnusable | None = None
        self.secrets: list[Secret] = []
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._name = name
        self._process = process
        self._errors = errors
        self._scratch = scratch
        self._silent = anyio.Event()
        self._listening = anyio.CancelScope(shield=True)

    @property
    def pid(self) -> int:
        """The id of the first process, and of its group."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """See the class."""
        return self._process.returncode

    async def watch(self) -> None:
        """Wait for the first process to end."""
        await self._process.wait()
        with anyio.move_on_after(LAST_WORDS_SECONDS):
            await self._silent.wait()
        self.over.set()
        self.told.set()

    async def listen(self) -> None:
        """Read its standard error until nobody holds it any more, or `stop` is through; also when the task is cancelled, so that it can end."""
        lines = Lines()
        try:
            with self._listening, suppress(OSError):
                while True:
                    await anyio.wait_readable(self._errors)
                    try:
                        data = os.read(self._errors, READ_BYTES)
                    except BlockingIOError:  # it was readable, and is no more
                        continue
                    for line in lines.feed(data) if data else lines.end():
                        self._take(line)
                    if not data:
                        break
        finally:
            os.close(self._errors)
            self._silent.set()

    async def stop(self, ask: Callable[[], Awaitable[bool]] | None = None) -> bool:
        """End the whole group; says whether it is gone. `ask` asks it over its own protocol and says whether it agreed; it raises nothing."""
        if self.status is None and ask is not None and await ask():
            await self._is_gone(SHUTDOWN_SECONDS)
        if self.status is None:
            self._signal(signal.SIGTERM)
            await self._is_gone(SIGTERM_SECONDS)
        if self.status is None:
            self._signal(signal.SIGKILL)
        gone = await anyio.to_thread.run_sync(end_processes_of, self._scratch.folder)
        with anyio.move_on_after(END_SECONDS):
            await self._process.wait()
        self._listening.cancel()
        return gone and self.status is not None

    def kill(self) -> None:
        """End the group at once; `stop` is called all the same, and has little to wait for."""
        if self.status is None:
            self._signal(signal.SIGKILL)

    def last_words(self) -> str:
        """The last lines that it wrote, for the log."""
        return " | ".join(filter(None, (self._cleaned(line) for line in self.tail)))

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _is_gone(self, within_seconds: float) -> bool:
        """Whether nothing of the group runs any more; one that has ended and is collected by nobody stays in the group, and does not run."""
        pause, longest = POLL_SECONDS
        with anyio.move_on_after(within_seconds):
            # asking for the status collects the first process
            while self.status is None or (_has_members(self.pid) and await self._has_processes()):
                await anyio.sleep(pause)
                pause = min(2 * pause, longest)
            return True
        return False

    async def _has_processes(self) -> bool:
        return await anyio.to_thread.run_sync(lambda: any(processes_of(self._scratch.folder)))

    def _take(self, line: str) -> None:
        self.tail.append(line)
        if log.isEnabledFor(logging.DEBUG) and (cleaned := self._cleaned(line)):
            log.debug("%s: %s", self._name, cleaned)
        if self.told.is_set():
            return
        try:
            self.ready = read_ready(line)
        except UpstreamUnusable as refusal:
            self.refusal = refusal
        if self.ready is not None or self.refusal is not None:
            self.told.set()

    def _cleaned(self, line: str) -> str:
        return clean_message(line, [secret.reveal() for secret in self.secrets])


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def start_child(name: str, command: Sequence[str], environment: Mapping[str, str], scratch: Scratch) -> Child:
    """Start a program. Whoever starts it runs `watch` and `listen`, and calls `stop` whatever happens.

    Raises:
        UpstreamUnusable: the program cannot be executed.
        OSError: the system has no room for it.
    """
    reading, writing = os.pipe()
    process: Process | None = None
    try:
        os.set_blocking(reading, False)
        spawn = partial(anyio.open_process, stdin=DEVNULL, stdout=DEVNULL, stderr=writing, cwd=scratch.workspace, env=environment)
        with anyio.CancelScope(shield=True):  # half a start would be a program that nobody knows of
            process = await spawn(list(command), start_new_session=True)
        assert process is not None
    except OSError as fault:
        os.close(reading)
        if fault.errno in NO_PROGRAM and scratch.workspace.is_dir():
            raise UpstreamUnusable(NOT_EXECUTABLE) from None
        raise
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return Child(name, process, reading, scratch)

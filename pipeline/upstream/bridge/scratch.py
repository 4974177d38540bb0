"""The one folder of a running bridge, where all its files are: made for it, removed with it, and removed later if we did not live to do it.

Theory of operation: `make_scratch` makes a folder that only this user can enter, and locks it for as long as this process lives. The system gives
that lock back when the process ends, in whatever way. A `guardian` waits for it, ends what still runs of the bridge then (`orphans` knows which
processes are the folder's), and removes the folder. Where there is no guardian any more either, a later `sweep` does the same: it knows the folders
that nobody owns by taking their locks, whoever has their owner's number today and even when the owner was in another container. `remove` takes away
write protection where it stands in the way, and tries again while something writes.

The lock is the folder's own, and not that of a file in it, so that nobody who cleans up temporary files can take it away; systemd's cleaner leaves a
locked folder alone.

Invariants: only folders of this user, directly in the temporary folder and with our name, are looked at; symbolic links are not followed. Half a
start leaves neither a folder nor a lock. Sweeping raises nothing. All of this waits for the disk, so that it is for a thread.
"""

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.upstream.bridge.orphans import end_processes_of

PREFIX = "penstock-bridge-"
PARTS = ("workspace", "state", "home", "tmp")

REMOVE_TRIES = 20
REMOVE_PAUSE_SECONDS = 0.05

PASSED_TO_GUARDIAN = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""The variables that Python may need to start."""

_ROOT = Path(__file__).absolute().parents[3]
_GUARDIAN = "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.upstream.bridge.guardian import guard; guard(sys.argv[2])"


class Scratch:
    """A scratch folder's places. The lock is held by who made it, until `remove`, and the guardian is its child."""

    def __init__(self, folder: Path, lock: int | None = None, guardian: "subprocess.Popen[bytes] | None" = None) -> None:
        self.folder = folder
        self.workspace, self.state, self.home, self.temporary = (folder / part for part in PARTS)
        self._lock = lock
        self._guardian = guardian

    def __repr__(self) -> str:
        return f"Scratch({str(self.folder)!r})"

    def remove(self) -> bool:
        """Remove the folder with all that is in it, and say whether it is gone; the second time does nothing."""
        gone = remove_tree(self.folder)
        if self._guardian is not None:
            self._guardian.kill()
            self._guardian.wait()
            self._guardian = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        return gone


def make_scratch(parent: Path | None = None) -> Scratch:
    """A new one in `parent`, the system's temporary folder by default; raises OSError."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)).resolve()
        lock: int | None = None
        try:
            lock = _locked(folder)
            if lock is not None:  # else a sweep was quicker, and has taken it for an abandoned one
                for part in PARTS:
                    (folder / part).mkdir(mode=0o700)
                return Scratch(folder, lock, _start_guardian(folder))
        except BaseException:
            remove_tree(folder)
            if lock is not None:
                os.close(lock)
            raise


def _start_guardian(folder: Path) -> "subprocess.Popen[bytes]":
    """One that this process waits for; raises OSError. A terminal's signals do not reach its session."""
    command = (sys.executable, "-I", "-S", "-c", _GUARDIAN, str(_ROOT), str(folder))
    environment = {name: os.environ[name] for name in PASSED_TO_GUARDIAN if name in os.environ}
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, cwd="/", env=environment, start_new_session=True)


def end_folder(folder: Path) -> bool:
    """End what runs for a folder that nobody owns any more, and remove it; says whether it is gone, and raises nothing."""
    end_processes_of(folder)
    return remove_tree(folder)


def sweep(parent: Path | None = None) -> list[Path]:
    """Remove the folders whose owner has ended, and end their bridges; gives the folders that are gone."""
    return [folder for folder in _candidates(Path(tempfile.gettempdir()) if parent is None else parent) if _swept(folder)]


def remove_tree(folder: Path) -> bool:
    """Remove a folder, be it write-protected or still written to; says whether it is gone, and raises nothing."""
    for tries in range(REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return True
        _unprotect(folder)
        if tries:
            time.sleep(REMOVE_PAUSE_SECONDS)
    return False


def _unprotect(folder: Path) -> None:
    """Let its owner into all folders below, and write there: the protection of a file itself does not keep it from being removed."""
    with suppress(OSError):
        folder.chmod(stat.S_IRWXU)
    for path, names, _ in os.walk(folder):
        for name in names:
            with suppress(OSError):
                if not os.path.islink(below := os.path.join(path, name)):
                    os.chmod(below, stat.S_IRWXU)


def _candidates(parent: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with suppress(OSError):
                is_ours = entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
                if is_ours and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                    yield Path(entry.path).resolve()


def _swept(folder: Path) -> bool:
    with suppress(OSError):
        lock = _locked(folder)
        if lock is not None:
            try:
                return end_folder(folder)
            finally:
                os.close(lock)
    return False


def _locked(folder: Path) -> int | None:
    """The descriptor that holds the folder's lock, which no child inherits; None where another holds it or has removed it. Raises OSError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except (BlockingIOError, FileNotFoundError):
        is_there = False
    except OSError:
        os.close(descriptor)
        raise
    if is_there:
        return descriptor
    os.close(descriptor)
    return None

"""The one folder of a running bridge, where all its files are: made for it, removed with it, and removed later if we did not live to do it.

Theory of operation: `make_scratch` makes a folder that only this user can enter, and locks a file in it for as long as this process lives. The system
gives that lock back when the process ends, in whatever way. So `sweep` knows the folders that nobody owns any more by taking their locks, whoever has
their owner's number today and even when the owner was in another container; it ends what still runs of their bridges (`orphans` knows which
processes are theirs), and removes them. `remove` takes away write protection where it stands in the way, and tries again while something writes.

Invariants: only folders of this user, directly in the temporary folder and with our name, are looked at; symbolic links are not followed. Sweeping
raises nothing. All of this waits for the disk, so that it is for a thread.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.upstream.bridge.orphans import end_processes_of

PREFIX = "penstock-bridge-"
OWNER_FILE = "owner"
PARTS = ("workspace", "state", "home", "tmp")

REMOVE_TRIES = 20
REMOVE_PAUSE_SECONDS = 0.05

YOUNG_SECONDS = 60.0
"""A folder without a lock may be one that is being made."""


class Scratch:
    """A scratch folder's places. The lock is held by who made it, until `remove`."""

    def __init__(self, folder: Path, lock: int | None = None) -> None:
        self.folder = folder
        self.workspace, self.state, self.home, self.temporary = (folder / part for part in PARTS)
        self._lock = lock

    def __repr__(self) -> str:
        return f"Scratch({str(self.folder)!r})"

    def remove(self) -> bool:
        """Remove the folder with all that is in it, and say whether it is gone; the second time does nothing."""
        gone = remove_tree(self.folder)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        return gone


def make_scratch(parent: Path | None = None) -> Scratch:
    """A new one in `parent`, the system's temporary folder by default; raises OSError."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)).resolve()
        lock = _locked(folder / OWNER_FILE)
        if lock is not None:  # else a sweep was quicker, and has taken it for an abandoned one
            break
    for part in PARTS:
        (folder / part).mkdir(mode=0o700)
    return Scratch(folder, lock)


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
        owner = folder / OWNER_FILE
        if not owner.exists() and time.time() - folder.stat().st_mtime < YOUNG_SECONDS:
            return False
        lock = _locked(owner)
        if lock is None:
            return False
        try:
            end_processes_of(folder)
            return remove_tree(folder)
        finally:
            os.close(lock)
    return False


def _locked(path: Path) -> int | None:
    """The descriptor that holds the lock, which no child inherits; None where another process holds it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

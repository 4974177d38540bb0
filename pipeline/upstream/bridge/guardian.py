"""A tiny process beside each bridge, which ends the bridge when the server cannot: because it was killed, crashed, or ended without a word.

Theory of operation: the server holds the lock of the bridge's scratch folder (`pipeline.upstream.bridge.scratch`), and the system gives that lock
back when the server ends, in whatever way. The guardian waits for the lock and does nothing else. When it has it, it ends what runs for this folder,
and removes the folder, as the next start of a server on this machine would. A server that stops in its own time removes the folder and ends the
guardian.

Invariants: it ignores what ends a server by signals, so that it lives as long as there is something to look after; and the lock never waits for it.
While it waits it has imported next to nothing, and takes 9 MB, most of which is Python's own program and shared. It needs none of the packages that
Penstock depends on.
"""

import fcntl
import os
import signal

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def guard(folder: str) -> None:
    """Wait until nobody owns the folder, and end what is left of it then."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return  # it is gone already
    fcntl.flock(lock, fcntl.LOCK_EX)
    # only now, since it takes room
    from pathlib import Path

    from pipeline.upstream.bridge.scratch import end_folder

    end_folder(Path(folder))

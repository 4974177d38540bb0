"""The scratch folder: private, removed whole, and removed by the next start when its owner could not."""

import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.upstream.bridge import orphans, scratch
from pipeline.upstream.bridge.scratch import PREFIX, Scratch, make_scratch, remove_tree, sweep
from tests.support.supervised_bridge import descriptors, guardians_of, is_alive

ROOT = Path(__file__).parents[3]
NOBODY = 65_534
OLD = time.time() - 3600


def is_waiting(guardian: int) -> bool:
    """Whether it has come so far as to wait for the lock."""
    return f" {guardian} " in "".join(line for line in Path("/proc/locks").read_text().splitlines(keepends=True) if "->" in line)


def guardian_of(made: Scratch) -> int:
    """The one of a folder that has just been made, once it waits."""
    until(lambda: any(map(is_waiting, guardians_of(made.folder))))
    [guardian] = guardians_of(made.folder)
    return guardian


def until(is_so: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.005)


def abandoned(parent: Path) -> Path:
    """The folder of an owner that was killed, and its guardian with it: all that is left is what a lock held."""
    made = make_scratch(parent)
    assert made._lock is not None
    assert made._guardian is not None
    made._guardian.kill()
    made._guardian.wait()
    os.close(made._lock)
    return made.folder


def test_a_scratch_folder_is_for_its_owner_alone(tmp_path):
    before = descriptors()
    made = make_scratch(tmp_path)
    assert made.folder.name.startswith(f"{PREFIX}{os.getpid()}-")
    for folder in (made.folder, made.workspace, made.state, made.home, made.temporary):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder in (made.folder, *made.folder.iterdir())
    assert list(made.workspace.iterdir()) == []
    assert made.remove()
    assert list(tmp_path.iterdir()) == []
    assert made.remove()
    assert descriptors() == before


def test_folders_whose_owner_lives_are_left_alone(tmp_path):
    made = make_scratch(tmp_path)
    assert sweep(tmp_path) == []
    assert made.home.is_dir()
    made.remove()


def test_a_folder_whose_owner_is_another_process_is_left_alone_until_it_ends(tmp_path):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\nfrom pipeline.upstream.bridge.scratch import make_scratch\n"
    program += f"made = make_scratch(Path({str(tmp_path)!r})); print(made.folder, flush=True); input()"
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert sweep(tmp_path) == []
    for guardian in guardians_of(folder):
        os.kill(guardian, signal.SIGKILL)
    owner.kill()
    owner.communicate()
    assert sweep(tmp_path) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_sweeping_removes_what_nobody_owns_and_nothing_else(tmp_path):
    folder = abandoned(tmp_path)
    (folder / "home" / "agents.db").write_bytes(b"what the conversation was about")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (folder / "home" / "link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}1-link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}1-file").touch()
    (tmp_path / "another-program-1").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    assert sweep(tmp_path) == [folder]
    assert {path.name for path in tmp_path.iterdir()} == before - {folder.name}
    assert (elsewhere / "precious").exists()


def test_a_cleaner_of_temporary_files_makes_no_orphan(tmp_path):
    made = make_scratch(tmp_path)
    for path in made.folder.iterdir():
        path.rmdir()
    os.utime(made.folder, (OLD, OLD))
    assert sweep(tmp_path) == []
    assert made.remove()


def test_a_folder_that_cannot_be_looked_at_is_no_error(tmp_path):
    assert sweep(tmp_path / "gone") == []
    if os.geteuid() == 0:
        folder = abandoned(tmp_path)
        os.chown(folder, NOBODY, NOBODY)
        assert sweep(tmp_path) == []  # another user's


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked", "while it is locked"])
def test_a_folder_that_a_sweep_was_quicker_to_take_is_made_once_more(when, tmp_path, monkeypatch):
    real_open, real_lock, swept = os.open, fcntl.flock, []

    def first_time(folder: Path) -> bool:
        swept.append(folder)
        return len(swept) == 1

    def opened(path, *arguments, **named):
        if isinstance(path, Path) and when == "before it is opened" and first_time(path):
            path.rmdir()
        return real_open(path, *arguments, **named)

    def locked(descriptor, operation):
        folder = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if when != "before it is opened" and first_time(folder):
            if when == "while it is locked":
                raise BlockingIOError
            folder.rmdir()
        real_lock(descriptor, operation)

    before = descriptors()
    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(fcntl, "flock", locked)
    made = make_scratch(tmp_path)
    assert swept[0] != made.folder == swept[1]
    made.remove()
    assert descriptors() == before


@pytest.mark.parametrize("fails", ["_locked", "_start_guardian"])
def test_half_a_start_leaves_nothing(fails, tmp_path, monkeypatch):
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = descriptors()
    monkeypatch.setattr(scratch, fails, full)
    with pytest.raises(OSError, match="No space"):
        make_scratch(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert descriptors() == before


def test_what_is_write_protected_is_removed_too():
    folder = Path(tempfile.mkdtemp())
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").touch(mode=0o400)
    is_root = os.geteuid() == 0
    if is_root:
        for path in (folder, folder / "a", inner, inner / "file"):
            os.chown(path, NOBODY, NOBODY)
    inner.chmod(0o000)
    (folder / "a").chmod(0o500)
    # root is kept from nothing
    os.seteuid(NOBODY if is_root else os.geteuid())
    try:
        with pytest.raises(PermissionError):
            shutil.rmtree(folder)
        remove_tree(folder)
    finally:
        os.seteuid(os.getuid())
    assert list(folder.iterdir() if folder.exists() else []) == []
    assert remove_tree(folder)


def test_what_is_still_written_to_is_removed_in_the_end(tmp_path):
    folder = tmp_path / "busy"
    folder.mkdir()
    ends_at = time.monotonic() + 0.15

    def write() -> None:
        while time.monotonic() < ends_at:
            path = folder / "a" / "b"
            try:
                path.mkdir(parents=True, exist_ok=True)
                (path / "file").touch()
            except OSError:
                pass

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.02)
    remove_tree(folder)
    writer.join()
    assert remove_tree(folder)
    assert not folder.exists()


# -- the guardian of a folder ----------------------------------------------------------------------------------------------------------------------


def test_a_guardian_is_small_and_ends_with_its_folder(tmp_path):
    made = make_scratch(tmp_path)
    guardian = guardian_of(made)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{guardian}/status").read_text().splitlines())
    assert int(status["VmRSS"].split()[0]) < 12_000
    assert os.getsid(guardian) == guardian
    assert Path(f"/proc/{guardian}/environ").read_bytes().count(b"=") <= 3
    assert made.remove()
    assert guardians_of(made.folder) == []
    assert not is_alive(guardian)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_what_ends_a_server_does_not_end_the_guardian(number, tmp_path):
    made = make_scratch(tmp_path)
    guardian = guardian_of(made)
    os.kill(guardian, number)
    time.sleep(0.02)
    assert is_alive(guardian)
    made.remove()


def test_a_guardian_ends_what_its_server_left_and_removes_it(tmp_path):
    made = make_scratch(tmp_path)
    own = sleeper(made.folder, HOME=str(made.home))
    (made.home / "agents.db").write_bytes(b"what the conversation was about")
    (made.home / "agents.db").chmod(0o400)
    try:
        assert made._lock is not None
        assert made._guardian is not None
        os.close(made._lock)  # as the system does when the server is killed
        made._guardian.wait(10)
        assert not made.folder.exists()
        assert not is_alive(own.pid)
    finally:
        assert ended(own) == -9


# -- the processes of a folder ---------------------------------------------------------------------------------------------------------------------


def sleeper(folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """A process that ignores SIGTERM, in a session of its own, as a child that left the bridge's group."""
    command = [
        "/bin/sh",
        "-c",
        'trap "" TERM; echo; sleep 600 & wait',
        "x",
        "--workspace",
        str(folder / "workspace"),
        "--state-root",
        str(folder / "state"),
        "-",
    ]
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **environment}, stdout=subprocess.PIPE, start_new_session=True, cwd=folder)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ended(process: "subprocess.Popen[bytes]") -> int:
    """What it ended with; closes its pipe."""
    with process:
        if process.poll() is None:
            process.kill()
            os.killpg(process.pid, 9)
    return process.returncode


def test_sweeping_ends_the_processes_of_a_folder_and_no_strangers(tmp_path):
    folder = abandoned(tmp_path)
    own = sleeper(folder, HOME=str(folder / "home"))
    stranger = sleeper(folder, HOME=str(tmp_path), OLDPWD=str(folder / "home"), X=f"HOME={folder / 'home'}")
    longer = sleeper(folder, HOME=str(folder / "home2"))
    try:
        assert set(orphans.processes_of(folder)) > {own.pid}  # with its own child
        assert sweep(tmp_path) == [folder]
        assert not is_alive(own.pid)
        assert list(orphans.processes_of(folder)) == []
        assert stranger.poll() is None
        assert longer.poll() is None
    finally:
        assert ended(own) == -9
        ended(stranger)
        ended(longer)


def test_where_environments_are_not_shown_the_arguments_tell(tmp_path, monkeypatch):
    folder = abandoned(tmp_path)
    own, other = sleeper(folder), sleeper(tmp_path)
    monkeypatch.setattr(orphans, "_PROC", tmp_path / "no-proc")
    try:
        assert list(orphans.processes_of(folder)) == [own.pid]
        assert orphans.end_processes_of(folder)
        assert other.poll() is None
    finally:
        assert ended(own) == -9
        ended(other)


def test_a_process_that_cannot_be_ended_is_given_up_in_time(tmp_path, monkeypatch):
    folder = abandoned(tmp_path)
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    own = sleeper(folder, HOME=str(folder / "home"))
    try:
        began = time.monotonic()
        assert not orphans.end_processes_of(folder, within_seconds=0.05)
        assert time.monotonic() - began < 2
    finally:
        monkeypatch.undo()
        assert orphans.end_processes_of(folder)
        ended(own)

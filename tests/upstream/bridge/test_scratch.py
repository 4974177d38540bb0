"""The scratch folder: private, removed whole, and removed by the next start when its owner could not."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from pipeline.upstream.bridge import orphans, scratch
from pipeline.upstream.bridge.scratch import PREFIX, make_scratch, remove_tree, sweep
from tests.support.supervised_bridge import descriptors, is_alive

ROOT = Path(__file__).parents[3]
NOBODY = 65_534
OLD = time.time() - 3600


def abandoned(parent: Path) -> Path:
    """The folder of an owner that was killed: all that is left is what a lock held."""
    made = make_scratch(parent)
    assert made._lock is not None
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


def test_a_folder_that_is_being_made_is_left_alone(tmp_path):
    young, old = (tmp_path / f"{PREFIX}1-{word}" for word in ("young", "old"))
    young.mkdir()
    old.mkdir()
    os.utime(old, (OLD, OLD))
    assert sweep(tmp_path) == [old]
    assert young.is_dir()


def test_a_folder_that_cannot_be_looked_at_is_no_error(tmp_path):
    assert sweep(tmp_path / "gone") == []
    if os.geteuid() == 0:
        folder = abandoned(tmp_path)
        os.chown(folder, NOBODY, NOBODY)
        assert sweep(tmp_path) == []  # another user's


def test_a_lock_that_a_sweep_was_quicker_to_take_makes_another_folder(tmp_path, monkeypatch):
    taken: list[Path] = []
    locked = scratch._locked

    def first_is_taken(path: Path) -> int | None:
        taken.append(path)
        return None if len(taken) == 1 else locked(path)

    monkeypatch.setattr(scratch, "_locked", first_is_taken)
    made = make_scratch(tmp_path)
    assert len(taken) == 2
    assert made.folder == taken[1].parent
    made.remove()


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
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    folder = abandoned(tmp_path)
    own = sleeper(folder, HOME=str(folder / "home"))
    try:
        began = time.monotonic()
        assert not orphans.end_processes_of(folder, within_seconds=0.05)
        assert time.monotonic() - began < 2
    finally:
        monkeypatch.undo()
        assert orphans.end_processes_of(folder)
        ended(own)

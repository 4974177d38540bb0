"""The vendor's own bridge, installed for the tests that start it: once, by the version and the hashes of the lock file, without what it depends on.

The package is not part of Penstock and not of its development set; it lies in `.clients/`, which git ignores and `make clean` removes.
"""

import hashlib
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "cursor-sdk.txt"
INSTALLED = ROOT / ".clients" / "cursor-sdk"
LAUNCHER = INSTALLED / "cursor_sdk" / "_vendor" / "bridge" / "bin" / "cursor-sdk-bridge"
INSTALL_SECONDS = 300


def locked_package() -> str:
    """The package's own lines of the lock file."""
    found = re.search(r"^cursor-sdk==.*(?:\n +--hash=.*)+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[0] + "\n"


def extra() -> list[str]:
    """What `penstock[cursor-sdk]` asks for."""
    wanted: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]["cursor-sdk"]
    return wanted


def install() -> str | None:
    """Make sure that it is there; gives pip's reason where it could not be had."""
    wanted = locked_package()
    stamp = INSTALLED / ".lock-sha256"
    digest = hashlib.sha256(wanted.encode()).hexdigest()
    if LAUNCHER.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return None
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir(parents=True)
    lock = INSTALLED / "requirements.txt"
    lock.write_text(wanted)
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
    )
    command = [*pip, "--target", str(INSTALLED), "-r", str(lock)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"pip took longer than {INSTALL_SECONDS} s"
    if done.returncode:
        return done.stderr.strip()[-500:] or f"pip ended with {done.returncode}"
    for program in LAUNCHER.parent.iterdir():
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    stamp.write_text(digest)
    return None

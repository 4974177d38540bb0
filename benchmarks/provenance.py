"""Where and with what figures were taken: figures without it cannot be compared. Names neither the machine nor its user."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

import pipeline

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("anyio", "h11", "httptools", "httpx", "hypercorn", "msgspec", "quart", "quart-trio", "trio")


class Provenance(msgspec.Struct, frozen=True):
    """`date` is UTC in ISO 8601; `commit` is None outside a git checkout, and `changed` says that files differ from it."""

    date: str
    penstock: str
    commit: str | None
    changed: bool
    system: str
    processor: str
    cores: int
    load_average: float | None
    python: str
    libraries: dict[str, str]


def provenance() -> Provenance:
    """Of this moment, machine and checkout."""
    status = _git("status", "--porcelain")
    return Provenance(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        penstock=pipeline.__version__,
        commit=_git("rev-parse", "HEAD"),
        changed=bool(status),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: found for name in LIBRARIES if (found := _version(name)) is not None},
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())

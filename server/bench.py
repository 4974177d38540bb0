"""Start the checkout's benchmarks as a program of its own.

The benchmarks are no part of the installed package: they need the checkout's sources, recordings and peers. So nothing of theirs is imported here;
the checkout that this package runs from is found, and `python -m benchmarks` runs there with the same interpreter. Relative paths in its arguments
start at the checkout's root. An installed package has no checkout, and this says so.
"""

import subprocess
import sys
from pathlib import Path

from server.exits import WRONG_USE

ROOT = Path(__file__).resolve().parent.parent


def run(argv: list[str], root: Path = ROOT) -> int:
    """Run the benchmarks with the arguments `argv` and return their exit status, 128 + n if signal n ended them; 2 when `root` is no checkout."""
    if not (root / "pyproject.toml").is_file() or not (root / "benchmarks" / "__main__.py").is_file():
        print("penstock bench: the benchmarks are in the source checkout, and this penstock does not run from one.", file=sys.stderr)
        print("Clone it and run `make bench` there.", file=sys.stderr)
        return WRONG_USE
    status = subprocess.run([sys.executable, "-m", "benchmarks", *argv], cwd=root, check=False).returncode
    return status if status >= 0 else 128 - status

"""Install the real clients that the tests run, by their exact versions and hashes: `python -m tests.clients.install`.

The lock files of this folder come in; `.clients/` at the root of the checkout goes out: `node_modules` with the programs beside it, since Node looks
for packages from where a program lies, and a Python environment of their own. A part whose lock files have not changed is left alone. No package's
script is run, except those of OpenCode and Claude Code, which put the binary for this machine in its place.

For other versions: change `package.json` and run `npm install --package-lock-only --ignore-scripts` in this folder; `requirements.in` says its own
command; and the table of docs/clients.md names them.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = HERE.parents[1] / ".clients"
PROGRAMS = CLIENTS / "programs"
PYTHON = CLIENTS / "python" / "bin" / "python"
CLAUDE_CODE = CLIENTS / "node_modules" / ".bin" / "claude"
CODEX = CLIENTS / "node_modules" / ".bin" / "codex"
OPENCODE = CLIENTS / "node_modules" / ".bin" / "opencode"
LOCKS = {"node": ("package.json", "package-lock.json", ".npmrc"), "python": ("requirements.txt",)}
OLDEST_NODE = 20
SHOWN_LINES = 12


class Impossible(Exception):
    """Why the clients are not there, for the person who wants to test with them."""


def main() -> int:
    try:
        check_node()
        once("node", install_node, "OpenCode, Claude Code, Codex, the AI SDK, openai-node and Anthropic's SDK (1.3 GB)")
        once("python", install_python, "openai-python, anthropic, openai-agents and llm (150 MB)")
    except Impossible as reason:
        print(f"test-clients: {reason}", file=sys.stderr)
        return 1
    print(f"clients on Node {node_version()} and Python {sys.version.split()[0]}: {', '.join(versions())}", flush=True)
    return 0


def versions() -> list[str]:
    """The clients by name and version, as they are asked for."""
    node = json.loads((HERE / "package.json").read_text())["dependencies"]
    python = (HERE / "requirements.in").read_text().splitlines()
    return [*(f"{name} {version}" for name, version in node.items()), *(line.replace("==", " ") for line in python if "==" in line)]


def copy_programs() -> None:
    """Put the programs where their packages are found."""
    shutil.copytree(HERE / "programs", PROGRAMS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def check_node() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        raise Impossible(f"the clients need Node {OLDEST_NODE} or newer, with npm, and there is none on the PATH")
    if int(node_version().partition(".")[0]) < OLDEST_NODE:
        raise Impossible(f"the clients need Node {OLDEST_NODE} or newer, and this is {node_version()}")


def node_version() -> str:
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip().removeprefix("v")


def missing() -> list[str]:
    """The parts that are not installed from these very lock files."""
    return [part for part in LOCKS if not stamp(part).is_file() or stamp(part).read_text() != digest(part)]


def once(part: str, install: Callable[[], None], what: str) -> None:
    """Install a part if it is missing."""
    if part not in missing():
        return
    print(f"installing {what} …", flush=True)
    stamp(part).unlink(missing_ok=True)
    CLIENTS.mkdir(exist_ok=True)
    install()
    stamp(part).write_text(digest(part))


def stamp(part: str) -> Path:
    return CLIENTS / f".{part}-ready"


def digest(part: str) -> str:
    return hashlib.sha256(b"\0".join((HERE / name).read_bytes() for name in LOCKS[part])).hexdigest()


def install_node() -> None:
    for name in LOCKS["node"]:
        shutil.copy(HERE / name, CLIENTS / name)
    # `npm ci` wants the binaries of all platforms in the lock file, and not each registry has them all; `install` keeps to the lock file just as well
    run("npm", "install", "--no-save", "--ignore-scripts", "--loglevel=error")
    run("node", "node_modules/opencode-ai/postinstall.mjs")
    run("node", "node_modules/@anthropic-ai/claude-code/install.cjs")


def install_python() -> None:
    venv.create(CLIENTS / "python", clear=True, with_pip=True)
    quietly = ("--quiet", "--disable-pip-version-check", "--retries", "1")
    run(str(PYTHON), "-m", "pip", "install", *quietly, "--require-hashes", "-r", str(HERE / "requirements.txt"))


def run(*command: str) -> None:
    ended = subprocess.run(command, cwd=CLIENTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if ended.returncode:
        said = "\n".join(ended.stdout.splitlines()[:SHOWN_LINES])
        raise Impossible(f"`{Path(command[0]).name} {' '.join(command[1:4])}` failed; is the package registry reachable? It says:\n{said}")


if __name__ == "__main__":
    sys.exit(main())

"""How the bridge is started: which program, with which arguments, in which environment; and the line by which it says where it listens.

Theory of operation: `find_command` gives the program that the settings name, else the `cursor-sdk-bridge` of the vendor's package, as it lies beside
this Python or in `PATH`. `child_environment` gives it the few variables of `PASSED` and those that the operator names, and leads everything that a
program keeps under its user's home, or writes to a temporary folder, into a scratch folder. `read_ready` reads the line that the program writes to
its standard error once it listens.

Invariants: no variable that holds a key is passed on (`CURSOR_API_KEY`, whatever is Penstock's own), even when it is named: the bridge would take a
key that it finds for that of a request without one. What listens on this machine is never reached through a proxy. A bridge that listens anywhere but
on this machine, or speaks another protocol, is refused before a key is sent to it. Nothing is started here.
"""

import ipaddress
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pipeline.credential import Secret
from pipeline.errors import UpstreamUnusable
from pipeline.upstream.bridge.scratch import Scratch

PROGRAM = "cursor-sdk-bridge"
SET_TOOL_CALLBACK = "/sdk.v1.SdkBridgeControlService/SetToolCallback"
"""The path of the method that tells a running bridge where the tools are. Its arguments could, where everybody on the machine reads them."""

READY = f"{PROGRAM} ready "
"""How the line begins that says where the bridge listens; an object in JSON follows."""

NOT_FOUND = (
    "The bridge of Cursor's SDK is not installed on this gateway: run `pip install 'penstock[cursor-sdk]'` where Penstock is installed, or set "
    "`command` of this upstream."
)
INCOMPATIBLE = "upstream_bridge_incompatible"

MAX_TOKEN_BYTES = 4096
SCHEMA_VERSION, TRANSPORT, PROTOCOL = 1, "tcp", "connect"

PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
"""Known in either case."""

PASSED = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA", "NODE_USE_ENV_PROXY"),
        *PROXIES,
        *(name.lower() for name in PROXIES),
    }
)
"""The variables that the bridge is given; and all that begin with `LC_`."""

NEVER_PASSED = ("CURSOR_API_KEY", "PENSTOCK_")
"""How variables begin that are given to nobody."""

PLACES = {"SSL_CERT_FILE": "", "NODE_EXTRA_CA_CERTS": "", "SSL_CERT_DIR": os.pathsep, "PATH": os.pathsep}
"""Variables of places, and what stands between several. The program works in a folder of its own, where a relative one would be another place."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_XDG = {"CONFIG_HOME": ".config", "CACHE_HOME": ".cache", "DATA_HOME": ".local/share", "STATE_HOME": ".local/state", "RUNTIME_DIR": ".run"}


class Callback(msgspec.Struct, frozen=True):
    """Where the bridge finds the tools: the address without a method's path, and the token that it shows there."""

    url: str
    token: Secret

    def body(self) -> bytes:
        """What `SET_TOOL_CALLBACK` takes."""
        return msgspec.json.encode({"url": self.url, "authToken": self.token.reveal()})


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of the start; `environment` are names of further variables, `start_seconds` is how long one may take."""

    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    start_seconds: float = 20.0


class Ready(msgspec.Struct, frozen=True):
    """What the bridge says of itself when it listens: its address, the file that holds its token, and its version."""

    url: str
    token_file: str
    version: str


def find_command(command: Sequence[str]) -> tuple[str, ...]:
    """The program, as a whole path, and its first arguments; `command` is what the settings say.

    Raises:
        UpstreamUnusable: there is no such program, or it may not be run.
    """
    if not command:
        beside = Path(sys.executable).with_name(PROGRAM)
        found = str(beside) if os.access(beside, os.X_OK) else shutil.which(PROGRAM)
        if found is None:
            raise UpstreamUnusable(NOT_FOUND)
        return (os.path.abspath(found),)
    found = shutil.which(command[0])
    if found is None:
        reason = "names a folder" if os.sep in command[0] and os.path.isdir(command[0]) else "names no program that can be run"
        raise UpstreamUnusable(f"The `command` of this upstream {reason}.")
    # the program gets a working directory of its own
    return (os.path.abspath(found), *command[1:])


def child_arguments(scratch: Scratch) -> tuple[str, ...]:
    """The bridge's own arguments. No secret stands there, since everybody on the machine can read them."""
    return ("--workspace", str(scratch.workspace), "--state-root", str(scratch.state), "--host", "127.0.0.1")


def child_environment(found: Mapping[str, str], scratch: Scratch, named: Sequence[str] = ()) -> dict[str, str]:
    """What the bridge gets of the variables that were `found`, and where its files are.

    >>> from pipeline.upstream.bridge.scratch import Scratch
    >>> found = {"PATH": "/bin", "CURSOR_API_KEY": "crsr_1", "https_proxy": "http://proxy:1", "EDITOR": "ed", "LC_ALL": "C"}
    >>> child = child_environment(found, Scratch(Path("/s")), ("EDITOR", "CURSOR_API_KEY"))
    >>> [name for name in child if not name.startswith("XDG")]
    ['PATH', 'https_proxy', 'EDITOR', 'LC_ALL', 'NO_PROXY', 'no_proxy', 'HOME', 'TMPDIR', 'TMP', 'TEMP']
    >>> child["HOME"], child["no_proxy"]
    ('/s/home', '127.0.0.1,localhost,::1')
    """
    wanted = PASSED | frozenset(named)
    child = {name: value for name, value in found.items() if (name in wanted or name.startswith("LC_")) and not name.startswith(NEVER_PASSED)}
    child |= {name: _absolute(child[name], between) for name, between in PLACES.items() if child.get(name)}
    if any(name.upper() in PROXIES for name in child):
        # else the calls of tools, which are for this process, would leave through the proxy
        rules = child.get("no_proxy") or child.get("NO_PROXY") or ""
        child |= dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(filter(None, (rules, *LOOPBACK))))
    child |= {"HOME": str(scratch.home)} | dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(scratch.temporary))
    return child | {f"XDG_{name}": str(scratch.home / folder) for name, folder in _XDG.items()}


def _absolute(places: str, between: str) -> str:
    return between.join(map(os.path.abspath, places.split(between) if between else [places]))


class _ReadyLine(msgspec.Struct, rename="camel"):
    schema_version: int
    transport: str
    protocol: str
    url: str
    auth_token_file: str
    server_version: str = ""


def read_ready(line: str) -> Ready | None:
    """What a line of standard error says of where the bridge listens; None for all other lines.

    Raises:
        UpstreamUnusable: it listens where, or speaks what, is not to be used.

    >>> read_ready("Debugger attached."), read_ready('cursor-sdk-bridge ready {"schemaVersion": 2}')
    Traceback (most recent call last):
    pipeline.errors.UpstreamUnusable: This version of Cursor's SDK bridge starts in a way that this gateway does not know.
    """
    _, mark, text = line.partition(READY)
    if not mark:
        return None
    try:
        told = msgspec.json.decode(text, type=_ReadyLine)
    except (msgspec.DecodeError, UnicodeError):
        raise incompatible() from None
    is_known = (told.schema_version, told.transport, told.protocol) == (SCHEMA_VERSION, TRANSPORT, PROTOCOL)
    if not is_known or not _is_loopback(told.url):
        raise incompatible()
    return Ready(told.url.rstrip("/"), told.auth_token_file, told.server_version)


def read_token(path: str) -> Secret:
    """The token in the file that the bridge named.

    Raises:
        UpstreamUnusable: there is no token in it that can be sent.
    """
    try:
        with open(path, "rb") as file:
            token = file.read(MAX_TOKEN_BYTES + 1).decode("ascii").strip()
    except (OSError, ValueError):
        raise incompatible() from None
    if not 0 < len(token) <= MAX_TOKEN_BYTES or not token.isprintable():
        raise incompatible()
    return Secret(token)


def incompatible() -> UpstreamUnusable:
    """What is told of a bridge whose beginning is not as we know it."""
    return UpstreamUnusable("This version of Cursor's SDK bridge starts in a way that this gateway does not know.", code=INCOMPATIBLE)


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.port) and ipaddress.ip_address(parts.hostname or "").is_loopback and not parts.username
    except ValueError:
        return False

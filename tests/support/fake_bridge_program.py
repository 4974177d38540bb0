"""The program that a supervisor starts as the bridge: it takes the bridge's arguments, says that it is ready, and passes each connection to the test.

Run by its path, `python -I fake_bridge_program.py --relay PORT [--fake-…] [the bridge's own arguments]`; it needs nothing but the standard library,
and starts quickly. What it is told goes to the server at PORT (`tests.support.fake_bridge`) on a connection that stays open as long as it lives. As
the real one, it writes its token into a folder of its own in TMPDIR, keeps conversations under HOME, takes any value behind an option even when it
begins with `-`, and ends with 0 on SIGTERM and on Shutdown. It leaves both folders behind.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

VALUED = {
    "--host",
    "--port",
    "--workspace",
    "--state-root",
    "--store-callback-url",
    "--store-callback-auth-token",
    "--tool-callback-url",
    "--tool-callback-auth-token",
    "--local-store",
    "--max-concurrent-agents",
    "--max-message-bytes",
    "--relay",
    "--fake-noise",
    "--fake-delay",
    "--fake-exit",
    "--fake-die-after",
    "--fake-flood",
    "--fake-ready",
}
SWITCHES = {"--verbose", "--fake-never-ready", "--fake-ignore-sigterm", "--fake-ignore-shutdown", "--fake-grandchild"}


def parsed(arguments: list[str]) -> dict[str, str]:
    """The options by name; ends the program with 2 where the bridge would print its usage."""
    options: dict[str, str] = {}
    left = iter(arguments)
    for name in left:
        if name in SWITCHES:
            options[name] = "yes"
            continue
        value = next(left, None)
        if name not in VALUED or value is None:
            print(f"Unknown argument: {name}" if name not in VALUED else f"Missing value for {name}", file=sys.stderr)
            sys.exit(2)
        options[name] = value
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def say_noise(options: dict[str, str], where: str) -> None:
    for number in range(int(options.get("--fake-noise", "0"))):
        say(f"(node:{os.getpid()}) ExperimentalWarning {where} {number}: SQLite is an experimental feature \x1b[33mand may change\x1b[0m")


class Relay:
    """Connections to the bridge's port, each passed on to the server behind the number of this start."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.number = b""

    async def tell(self, told: dict[str, object]) -> asyncio.StreamReader:
        """Tell of this start, and learn its number; what comes later on this connection is for the program."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(json.dumps(told).encode() + b"\n")
        self._control = writer  # kept: its end is the end of the program
        self.number = await reader.readline()
        return reader

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, before = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        before.write(self.number)
        ways = [asyncio.ensure_future(passed_on(reader, before)), asyncio.ensure_future(passed_on(behind, writer))]
        _, open_ways = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in open_ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        before.close()
        writer.close()


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end; a reset on one side is one on the other."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionResetError:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def token_file() -> tuple[str, Path]:
    """The token, and the file that holds it, in a new folder in TMPDIR."""
    token = secrets.token_urlsafe(32)
    path = Path(tempfile.mkdtemp(prefix="cursor-sdk-bridge-")) / "auth-token"
    path.touch(mode=0o600)
    path.write_text(token)
    return token, path


def keep_conversations() -> None:
    """Leave a file where the real one keeps its agents, and one that nobody may write to."""
    folder = Path.home() / ".cursor" / "projects" / "fake" / "sdk-agent-store"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agents.db").write_bytes(b"what the conversation was about")
    (folder / "agents.db").chmod(0o400)


async def run(options: dict[str, str]) -> None:
    """Serve until the end."""
    terminated = asyncio.Event()
    if "--fake-ignore-sigterm" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    grandchild = await asyncio.create_subprocess_exec("sleep", "600") if "--fake-grandchild" in options else None
    token, path = token_file()
    keep_conversations()
    relay = Relay(int(options["--relay"]))
    pids = {"pid": os.getpid(), "grandchild": grandchild.pid if grandchild else None}
    told = {**pids, "cwd": os.getcwd(), "arguments": sys.argv[1:], "environment": dict(os.environ)}
    callback = {"callback_url": options.get("--tool-callback-url"), "callback_token": options.get("--tool-callback-auth-token", "")}
    control = await relay.tell({**told, **callback, "token": token})
    server = await asyncio.start_server(relay.serve, options.get("--host", "127.0.0.1"), int(options.get("--port", "0")))
    port = server.sockets[0].getsockname()[1]
    say_noise(options, "before")
    ready = {
        "schemaVersion": 1,
        "serverVersion": "1.0.0",
        "pid": os.getpid(),
        "transport": "tcp",
        "protocol": "connect",
        "host": "127.0.0.1",
        "port": port,
        "url": f"http://127.0.0.1:{port}",
        "authTokenFile": str(path),
        "workspaceRef": options.get("--workspace", ""),
        "stateRoot": options.get("--state-root", ""),
    }
    if "--fake-never-ready" not in options:
        say("cursor-sdk-bridge ready " + options.get("--fake-ready", json.dumps(ready, separators=(",", ":"))))
    say_noise(options, "after")
    flood(int(options.get("--fake-flood", "0")))
    if "--fake-die-after" in options:
        asyncio.get_running_loop().call_later(float(options["--fake-die-after"]), lambda: os._exit(3))
    await until_the_end(control, terminated, listens="--fake-ignore-shutdown" not in options)


def flood(size: int) -> None:
    """So many bytes on stderr; as in Node, a full pipe stops the program."""
    for number in range(size // 100):
        say(f"{number:8d} " + "x" * 90)


async def until_the_end(control: asyncio.StreamReader, terminated: asyncio.Event, *, listens: bool) -> None:
    """Wait for SIGTERM, for Shutdown if it `listens`, or for the end of the test's server."""
    asked = asyncio.ensure_future(control.readline())
    stopped = asyncio.ensure_future(terminated.wait())
    await asyncio.wait([asked, stopped], return_when=asyncio.FIRST_COMPLETED)
    if asked.done() and asked.result() and not listens:
        asked = asyncio.ensure_future(control.readline())
        await asyncio.wait([asked, stopped], return_when=asyncio.FIRST_COMPLETED)
    if asked.done() and asked.result():
        await asyncio.sleep(0.05)  # the answer to the call is on its way
    elif stopped.done():
        say("Received SIGTERM, shutting down")


def main() -> None:
    """Start as the options say."""
    options = parsed(sys.argv[1:])
    time.sleep(float(options.get("--fake-delay", "0")))
    if "--fake-exit" in options:
        say("Error: Cannot find module 'something'")
        sys.exit(int(options["--fake-exit"]))
    asyncio.run(run(options))
    sys.stderr.flush()
    os._exit(0)  # connections that are open end with the program


if __name__ == "__main__":
    main()

"""A fake of the bridge of Cursor's SDK, which speaks `sdk.v1` from scripts, over real sockets.

It serves in the test's own process, on two ports. The first is asked directly, with `url` and `token`. Behind the second stands the program
`tests.support.fake_bridge_program`, which a supervisor starts by `command` as it would the real one: it passes every connection on, each behind a
line that names its start. The connection that told of the start stays open; its end is the end of the program, and the runs of that start are lost.

The n-th Send plays the n-th script, later ones the last. Everything that comes is kept, and `left_behind` names what a client forgot. The other
methods answer as in `tests.support.fake_bridge_methods`, unless `faults` has something else for the next call.
"""

import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from tests.support.composer_server import Cut, Late, Pause, Reply, Reset
from tests.support.fake_bridge_callbacks import Callbacks
from tests.support.fake_bridge_contract import MODELS, Refused
from tests.support.fake_bridge_methods import METHODS, answer_of, begun_run
from tests.support.fake_bridge_run import Agent, Run, Start
from tests.support.fake_bridge_send import ENVELOPES, send_stream
from tests.support.fake_bridge_steps import Script, Step
from tests.support.http_connection import HttpConnection, HttpRequest

PROGRAM = Path(__file__).with_name("fake_bridge_program.py")
_STREAMS = "/sdk.v1.SdkAgentService/Send"


class Rpc(msgspec.Struct, frozen=True):
    """One call: its method without the service, the JSON of its body (None where it is none), and its headers."""

    method: str
    body: Any
    headers: dict[str, str]


class FakeBridge:
    """What a test sees of the bridge."""

    def __init__(self, scripts: Sequence[Script], models: Sequence[dict[str, Any]], keys: set[str] | None, keepalive_seconds: float) -> None:
        self.models = list(models)
        self.keys = keys
        self.keepalive_seconds = keepalive_seconds
        self.version: dict[str, Any] = {"bridgeVersion": "1.0.0", "protocolVersion": "sdk.v1", "capabilities": ["custom_tools"]}
        self.calls: list[Rpc] = []
        self.agents: list[Agent] = []
        self.runs: list[Run] = []
        self.starts: list[Start] = []
        self.faults: dict[str, list[Sequence[Step]]] = {}
        self.direct = Start(secrets.token_urlsafe(24))
        self.port = self.relay_port = 0
        self._scripts = scripts

    # -- what a client is told -----------------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the server is asked without a program in between."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """What that takes."""
        return self.direct.token

    def call_back_to(self, url: str, token: str) -> None:
        """Where the callbacks of agents go that were made without a program."""
        self.direct.call_back_to(Callbacks(url, token))

    @property
    def command(self) -> tuple[str, ...]:
        """The program, for a supervisor."""
        return self.command_with()

    def command_with(self, *options: str) -> tuple[str, ...]:
        """The program with some of its `--fake-…` options."""
        return (sys.executable, "-I", str(PROGRAM), "--relay", str(self.relay_port), *options)

    @property
    def wrapped(self) -> tuple[str, ...]:
        """The program as the child of a shell that waits for it, as the real one is."""
        return ("/bin/sh", "-c", '"$@"\nexit $?', "cursor-sdk-bridge", *self.command)

    def table(self, name: str = "cursor", command: Sequence[str] | None = None, **settings: Any) -> str:
        """The upstream's table for a settings file."""
        rows = {"kind": "sdk-bridge", "command": list(command or self.command), **settings}
        return f"[upstreams.{name}]\n" + "".join(f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in rows.items())

    # -- what a test asks ----------------------------------------------------------------------------------------------------------------------

    def to(self, method: str) -> list[Rpc]:
        """The calls of one method, in order."""
        return [call for call in self.calls if call.method == method]

    def left_behind(self) -> list[str]:
        """What nobody ended: runs that go on, callbacks that are out, agents that were not deleted. Those of a program that is gone went with it."""
        live = [agent for agent in self.agents if not agent.start.gone.is_set()]
        runs = [run for agent in live for run in agent.runs]
        return [
            *(f"{run.id} is {run.status}" for run in runs if not run.over.is_set()),
            *(f"the call of {call.name} waits" for run in runs for call in run.waiting),
            *(f"{agent.id} is not deleted" for agent in live if not agent.deleted),
        ]

    async def until(self, is_so: Callable[[], object], within_seconds: float = 5) -> None:
        """Wait until it is so."""
        with trio.move_on_after(within_seconds):
            while not is_so():  # noqa: ASYNC110 - what is waited for is any state of any object
                await trio.sleep(0.002)
            return
        raise AssertionError(f"it did not come to be within {within_seconds} seconds; left behind: {self.left_behind()}")

    def script_of(self, run: Run) -> Sequence[Step]:
        """The steps that this run plays."""
        if self.faults.get("Send"):
            return self.faults["Send"].pop(0)
        script = self._scripts[min(self.runs.index(run), len(self._scripts) - 1)]
        return script(run) if callable(script) else script


@asynccontextmanager
async def fake_bridge(
    *scripts: Script, models: Sequence[dict[str, Any]] = MODELS, keys: set[str] | None = None, keepalive_seconds: float = 15.0
) -> AsyncIterator[FakeBridge]:
    """Serve until the block is left. `keys` are the accepted ones of Cursor; without them, any."""
    bridge = FakeBridge(scripts, models, keys, keepalive_seconds)
    direct = await trio.open_tcp_listeners(0, host="127.0.0.1")
    relayed = await trio.open_tcp_listeners(0, host="127.0.0.1")
    bridge.port, bridge.relay_port = (listeners[0].socket.getsockname()[1] for listeners in (direct, relayed))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.serve_listeners, partial(_serve_directly, bridge, nursery), direct))
            await nursery.start(partial(trio.serve_listeners, partial(_serve_relayed, bridge, nursery), relayed))
            yield bridge
            nursery.cancel_scope.cancel()
    finally:
        for start in (bridge.direct, *bridge.starts):
            start.call_back_to(None)


async def _serve_directly(bridge: FakeBridge, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
    await _serve(bridge, bridge.direct, nursery, stream, b"")


async def _serve_relayed(bridge: FakeBridge, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
    """The first line is the number of a start whose connection this is, or the JSON of a new one."""
    data = b""
    while b"\n" not in data:
        piece = await stream.receive_some()
        if not piece:
            return
        data += piece
    line, _, rest = data.partition(b"\n")
    if line.isdigit():
        await _serve(bridge, bridge.starts[int(line)], nursery, stream, rest)
        return
    told = msgspec.json.decode(line)
    callbacks = Callbacks(told["callback_url"], told["callback_token"]) if told["callback_url"] else None
    start = Start(told["token"], callbacks)
    start.pid, start.grandchild, start.cwd = told["pid"], told["grandchild"], told["cwd"]
    start.arguments, start.environment = told["arguments"], told["environment"]
    bridge.starts.append(start)
    await stream.send_all(b"%d\n" % (len(bridge.starts) - 1))
    try:
        async with trio.open_nursery() as control:
            control.start_soon(_pass_shutdown_on, start, stream)
            await stream.receive_some()
            control.cancel_scope.cancel()
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # killed: its connections are reset
    finally:
        start.lose()
        await trio.aclose_forcefully(stream)


async def _pass_shutdown_on(start: Start, stream: trio.SocketStream) -> None:
    await start.shutdown.wait()
    await stream.send_all(b"shutdown\n")


async def _serve(bridge: FakeBridge, start: Start, runs: trio.Nursery, stream: trio.SocketStream, already_read: bytes) -> None:
    connection = HttpConnection(stream, already_read)
    try:
        while (request := await connection.request()) is not None:
            if not await _answer(bridge, start, runs, connection, request):
                break
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the client is gone
    finally:
        await trio.aclose_forcefully(stream)


async def _answer(bridge: FakeBridge, start: Start, runs: trio.Nursery, connection: HttpConnection, request: HttpRequest) -> bool:
    """Answer one request; whether the connection can be used again."""
    streams = request.path == _STREAMS
    method = request.path.rpartition("/")[2]
    bridge.calls.append(Rpc(method, _json(request.body[5:] if streams else request.body), request.headers))
    if (refusal := _refusal(start, request, streams)) is not None:
        await connection.answer(refusal.status, refusal.body, refusal.headers)
        return True
    if not streams:
        reply = await _fault(bridge, method, connection) if bridge.faults.get(method) else answer_of(bridge, start, request)
        if reply is None:
            return False
        await connection.answer(reply.status, reply.body, reply.headers)
        return True
    try:
        run = begun_run(bridge, start, request)
    except Refused as fault:
        return await send_stream(connection, None, fault.end(), bridge.keepalive_seconds)
    return await _play(bridge, run, runs, connection)


async def _play(bridge: FakeBridge, run: Run, runs: trio.Nursery, connection: HttpConnection) -> bool:
    steps = bridge.script_of(run)
    if steps and isinstance(steps[0], Late):
        await trio.sleep(steps[0].seconds)
        steps = steps[1:]
    if steps and isinstance(steps[0], Reply):
        run.refuse()
        await connection.answer(steps[0].status, steps[0].body, steps[0].headers)
        return True
    runs.start_soon(run.play, steps)
    return await send_stream(connection, run, None, bridge.keepalive_seconds)


def _refusal(start: Start, request: HttpRequest, streams: bool) -> Reply | None:
    """What the bridge says before it reads a body."""
    if not streams and request.path not in METHODS:
        return Reply(404)
    if request.method != "POST":
        return Reply(405)
    if request.headers.get("content-type") != (ENVELOPES if streams else "application/json"):
        return Reply(415)
    if request.headers.get("authorization") != f"Bearer {start.token}":
        return Refused("unauthenticated", "Unauthorized").reply()
    if request.headers.get("connect-protocol-version") != "1":
        return Refused("invalid_argument", "missing required header: set Connect-Protocol-Version to 1").reply()
    return None


async def _fault(bridge: FakeBridge, method: str, connection: HttpConnection) -> Reply | None:
    """Play what is to come in place of an answer; None when the connection is to be closed."""
    for step in bridge.faults[method].pop(0):
        match step:
            case Late(seconds) | Pause(seconds):
                await trio.sleep(seconds)
            case Reply():
                return step
            case Reset():
                connection.reset()
            case Cut():
                pass
            case _:
                raise AssertionError("a call that is not a stream has no such step")
    return None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None

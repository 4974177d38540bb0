"""What the fake bridge holds: a start of the program, its agents, and their runs, which play scripts.

A run plays its script in a task of its own. What the script says goes into a queue that the Send call's connection empties; when that connection is
gone the run goes on all the same, and only CancelRun, the end of the bridge or the end of the script end it. A reader that falls too far behind loses
the stream, as with the real one.
"""

import os
import signal
import uuid
from collections.abc import Sequence

import trio

from tests.support import sdk_scripts
from tests.support.composer_server import Cut, Late, Pause, Reply, Reset
from tests.support.fake_bridge_callbacks import Callbacks
from tests.support.fake_bridge_contract import AgentOptions, UserMessage
from tests.support.fake_bridge_steps import Await, Call, Calls, Fire, HangUp, Say, Step, ToolResult, Until

MAX_BEHIND = 4096
"""Messages that may wait for the reader of a stream."""


APART_SECONDS = 0.005
"""Between calls that are made side by side: the bridge makes them one after the other, and waits for none."""


class Start:
    """One start of the program; the one without a `pid` is the server itself, asked without a program in between."""

    def __init__(self, token: str, callbacks: Callbacks | None = None) -> None:
        self.token = token
        self.callbacks = callbacks
        self.callback_url = None if callbacks is None else callbacks.url
        self.gone = trio.Event()
        self.shutdown = trio.Event()
        self.pid: int | None = None
        self.grandchild: int | None = None
        self.arguments: list[str] = []
        self.environment: dict[str, str] = {}
        self.cwd = ""
        self.agents: dict[str, Agent] = {}

    def call_back_to(self, callbacks: Callbacks | None) -> None:
        """Where tools are called from now on, if anywhere."""
        if self.callbacks is not None:
            self.callbacks.close()
        self.callbacks = callbacks
        if callbacks is not None:
            self.callback_url = callbacks.url

    def kill(self) -> None:
        """End the program at once, as an accident would."""
        assert self.pid is not None, "this start has no program"
        if not self.gone.is_set():
            os.kill(self.pid, signal.SIGKILL)

    def lose(self) -> None:
        """The program has ended, and with it all that it did."""
        self.gone.set()
        self.call_back_to(None)
        for agent in self.agents.values():
            for run in agent.runs:
                run.stop("LOST")


class Agent:
    """One agent, as CreateAgent asked for it; `tools` is None where it named none.

    `unused_run` is the id of a run that the bridge counts as active although nothing of it was ever told: each agent has one from the beginning,
    which its first Send takes, unless that fails.
    """

    def __init__(self, agent_id: str, options: AgentOptions, start: Start) -> None:
        self.id = agent_id
        self.options = options
        self.start = start
        self.key = options.api_key
        self.model = options.model.id if options.model else ""
        self.params = {param.id: param.value for param in options.model.params} if options.model else {}
        self.tools = list(options.tools.names) if options.tools else None
        self.custom_tools = dict(options.local.custom_tools) if options.local else {}
        self.cwd = list(options.local.cwd) if options.local else []
        self.mode = options.mode
        self.closed = False
        self.deleted = False
        self.runs: list[Run] = []
        self.unused_run: str | None = f"run-{uuid.uuid4()}"

    @property
    def active(self) -> "Run | None":
        """The run that is not over."""
        return next((run for run in self.runs if not run.over.is_set()), None)


class Run:
    """One run: what was sent, what the tools answered, and what became of it.

    `status` is RUNNING, FINISHED, CANCELLED, LOST (the bridge ended), or REFUSED (the script answered otherwise); `waiting` are the callbacks that
    are out; `stream_gone` is set when the client of the stream left before its end, `fell_behind` that it was too slow.
    """

    def __init__(self, agent: Agent, message: UserMessage) -> None:
        self.id = agent.unused_run or f"run-{uuid.uuid4()}"
        self.agent = agent
        agent.unused_run = None
        self.text = message.text
        self.images = [(image.data.mime_type, image.data.data) for image in message.images if image.data is not None]
        self.results: list[ToolResult] = []
        self.waiting: list[Call] = []
        self.status = "RUNNING"
        self.over = trio.Event()
        self.stream_gone = trio.Event()
        self.fell_behind = False
        self._said, self.said = trio.open_memory_channel[bytes | Cut | Reset](MAX_BEHIND)
        self._task = trio.CancelScope()
        self._out: dict[trio.CancelScope, trio.Event] = {}

    def stop(self, status: str) -> None:
        """End the run, if it is not over."""
        if not self.over.is_set():
            self.status = status
            self._task.cancel()

    def refuse(self) -> None:
        """Its script answered in place of a run, which the agent has as before."""
        self.status = "REFUSED"
        self.agent.unused_run = self.id
        self.over.set()

    async def play(self, steps: Sequence[Step]) -> None:
        """Play to the end, or until it is stopped."""
        with self._task:
            async with trio.open_nursery() as callbacks:
                await self._play(steps, callbacks)
                callbacks.cancel_scope.cancel()
        if self.status == "CANCELLED":
            for message in _CANCELLED:
                self._say(message)
        elif self.status == "RUNNING":
            self.status = "FINISHED"
        self.over.set()
        self._said.close()

    async def _play(self, steps: Sequence[Step], callbacks: trio.Nursery) -> None:
        for step in steps:
            match step:
                case bytes() | Cut() | Reset():
                    self._say(step)
                case Pause(seconds):
                    await trio.sleep(seconds)
                case Until(event):
                    await event.wait()
                case Say():
                    await self._play(step.steps(self), callbacks)
                case Fire(name, args, call_id):
                    self._call(Call(name, args, call_id), callbacks)
                case Call():
                    await self._call(step, callbacks).wait()
                case Calls():
                    made = []
                    for call in step.calls:
                        made.append(self._call(call, callbacks))
                        await trio.sleep(APART_SECONDS)
                    for answered in made:
                        await answered.wait()
                case Await():
                    for answered in [*self._out.values()]:
                        await answered.wait()
                case HangUp():
                    for scope in self._out:
                        scope.cancel()
                case Reply() | Late():
                    raise AssertionError("a Reply is a whole answer, and what is Late is its head: they can only be the first step")

    def _say(self, piece: bytes | Cut | Reset) -> None:
        try:
            self._said.send_nowait(self._in_our_names(piece) if isinstance(piece, bytes) else piece)
        except trio.WouldBlock:
            self.fell_behind = True
        except trio.BrokenResourceError:
            pass  # the connection is gone, and nobody reads

    def _in_our_names(self, piece: bytes) -> bytes:
        """A script does not know the ids of its run and agent; they take the place of the written ones where they are as long, as envelopes need."""
        for written, ours in ((sdk_scripts.RUN, self.id), (sdk_scripts.AGENT, self.agent.id)):
            if len(written) == len(ours):
                piece = piece.replace(written.encode(), ours.encode())
        return piece

    def _call(self, call: Call, callbacks: trio.Nursery) -> trio.Event:
        """Call back; the event is set when the call is over."""
        scope, over = trio.CancelScope(), trio.Event()
        self._out[scope] = over
        self.waiting.append(call)
        callbacks.start_soon(self._called, call, scope)
        return over

    async def _called(self, call: Call, scope: trio.CancelScope) -> None:
        try:
            with scope:
                listener = self.agent.start.callbacks
                unheard = ToolResult(call.name, call.args, call.id, self.agent.id, None, {})
                self.results.append(unheard if listener is None else await listener.call(call, self.agent.id))
        finally:
            self.waiting.remove(call)
            self._out.pop(scope).set()


BEHIND = sdk_scripts.error_end("resource_exhausted", "Run stream consumer fell behind.")
"""What a reader gets that is too slow."""


_CANCELLED = (sdk_scripts.result(state="CANCELLED"), sdk_scripts.done(), sdk_scripts.end())
"""How the stream of a cancelled run ends."""

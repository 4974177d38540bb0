"""A client of the SDK bridge's upstream, for tests: requests, their answers, and the requests that bring results of tools.

`direct_upstream` is the upstream over a fake bridge without the program in between: what a supervisor would start is the server in the test itself.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskStatus

from pipeline.credential import Credential, Kind, Secret
from pipeline.events import Failed, NativeToolCall, Notice, Progress, TextDelta, UpstreamEvent
from pipeline.request import Message, Options, Part, Request, Role, TextPart, Tool, ToolCall
from pipeline.upstream.bridge.launch import Callback, Launch
from pipeline.upstream.bridge.process import BridgeProcess
from pipeline.upstream.bridge.unary import Endpoint
from pipeline.upstream.http import Client, open_client
from pipeline.upstream.sdk_bridge import SdkBridgeConfig, SdkBridgeUpstream, open_sdk_bridge
from tests.support import sdk_scripts as sdk
from tests.support.fake_bridge import FakeBridge
from tests.support.fake_bridge_steps import Call, Step

KEY = "user-key-0123456789"
READ = Tool("read", "Reads a file.", {"type": "object", "properties": {"path": {"type": "string"}}})
GREP = Tool("grep", "Finds text.", {"type": "object", "properties": {"pattern": {"type": "string"}}})
TOOLS = (READ, GREP)

Steps = list[Step]


def user(text: str, *parts: Part) -> Message:
    return Message(Role.USER, (TextPart(text), *parts))


def request(
    *messages: Message | str, tools: Sequence[Tool] = TOOLS, model: str = "composer-2.5", options: Options | None = None, **fields: Any
) -> Request:
    """A request; a text is a user's message."""
    turns = tuple(user(message) if isinstance(message, str) else message for message in messages)
    return Request(model, turns, tuple(tools), options=options or Options(), **fields)


ASKED = request("What is in a.py?")

# what runs do: a text; a look into a file and what was in it; and what a fresh agent says that is told of all that
HELLO: Steps = [sdk.system(), sdk.thinking("Hm. "), sdk.delta("Hello "), sdk.delta("there."), *sdk.finish("Hello there.")]
LOOK: Steps = [
    sdk.system(),
    sdk.delta("Let me look."),
    Call("read", {"path": "a.py"}, "tool_1\nfc_2"),
    sdk.delta("It is empty."),
    *sdk.finish("It is empty."),
]
REPLAYED: Steps = [sdk.system(), sdk.delta("Once more."), *sdk.finish("Once more.")]


def calls_of(events: Sequence[UpstreamEvent]) -> list[NativeToolCall]:
    return [event for event in events if isinstance(event, NativeToolCall)]


def text_of(events: Sequence[UpstreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def notices_of(events: Sequence[UpstreamEvent]) -> list[str]:
    return [event.code for event in events if isinstance(event, Notice)]


def said(events: Sequence[UpstreamEvent]) -> Notice:
    """The one Notice `run_replayed`."""
    (notice,) = [event for event in events if isinstance(event, Notice) and event.code == "run_replayed"]
    return notice


def failed(events: Sequence[UpstreamEvent]) -> Any:
    """The error that ended it."""
    assert isinstance(events[-1], Failed), events
    return events[-1].error


def turn(events: Sequence[UpstreamEvent]) -> Message:
    """The assistant's message as a client keeps it: its text trimmed, and its calls."""
    text = text_of(events).strip()
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in calls_of(events))
    return Message(Role.ASSISTANT, (TextPart(text),) if text else (), calls)


def result(call_id: str, text: str, **fields: Any) -> Message:
    return Message(Role.TOOL, (TextPart(text),), tool_call_id=call_id, **fields)


def results_for(before: Request, events: Sequence[UpstreamEvent], texts: Mapping[str, str] | str = "ok", **fields: Any) -> Request:
    """The request that goes on behind an answer with calls, with a result for each: by the tool's name, or the same for all."""
    results = [result(call.id, texts if isinstance(texts, str) else texts[call.name]) for call in calls_of(events)]
    kept = {"model": before.model, "tools": before.tools, "options": before.options, **fields}
    return request(*before.messages, turn(events), *results, **kept)


async def answer(upstream: SdkBridgeUpstream, asked: Request, key: str = KEY) -> list[UpstreamEvent]:
    """All events of an answer, without silence and what says nothing."""
    events: list[UpstreamEvent] = []
    async with aclosing(upstream.stream(upstream.write(asked), key)) as batches:
        async for batch in batches:
            events += [event for event in batch if not isinstance(event, Progress)]
    return events


async def until_said(batches: AsyncGenerator[list[UpstreamEvent], None], text: str) -> None:
    """Read an answer until it has said a text."""
    so_far = ""
    async for batch in batches:
        so_far += text_of(batch)
        if text in so_far:
            return
    raise AssertionError(f"the answer ended behind {so_far!r}")


class DirectBridge(BridgeProcess):
    """A supervisor of nothing: the fake bridge is there already. `end` is what the supervisor says when its program ends."""

    def __init__(self, bridge: FakeBridge, name: str, launch: Launch, client: Client, *, callback: Callback | None = None) -> None:
        super().__init__(name, launch, client, callback=callback)
        assert callback is not None
        bridge.call_back_to(callback.url, callback.token.reveal())
        self._current = Endpoint(bridge.url, Secret(bridge.token), "1.0.0", 1, "/workspace")

    def end(self) -> None:
        for told in self._told_on_exit:
            told(1)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started()


def config_of(bridge: FakeBridge, **settings: Any) -> SdkBridgeConfig:
    return SdkBridgeConfig(
        **{"launch": Launch(command=bridge.command), "credential": Credential(Kind.CALLER), "gather_seconds": 0.02, "park_seconds": 30.0, **settings}
    )


@asynccontextmanager
async def direct_upstream(bridge: FakeBridge, silence_seconds: float = 5.0, **settings: Any) -> AsyncGenerator[SdkBridgeUpstream, None]:
    """The upstream, asking the fake bridge without a program."""
    supervisor: Any = partial(DirectBridge, bridge)
    async with (
        open_client(silence_seconds=silence_seconds) as client,
        open_sdk_bridge("cursor", config_of(bridge, **settings), client, supervisor=supervisor) as upstream,
    ):
        yield upstream


@asynccontextmanager
async def started_upstream(bridge: FakeBridge, **settings: Any) -> AsyncGenerator[SdkBridgeUpstream, None]:
    """The upstream with its program."""
    async with open_client() as client, open_sdk_bridge("cursor", config_of(bridge, **settings), client) as upstream:
        yield upstream

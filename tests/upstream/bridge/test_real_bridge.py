"""The vendor's own bridge under our supervisor: what the fake keeps to is what the real one does."""

import logging
import os
import re
import signal
import tempfile
import time
from pathlib import Path

import anyio
import msgspec
import pytest
import trio

from pipeline.credential import Secret
from pipeline.errors import AuthenticationError, UpstreamError, UpstreamUnavailable
from pipeline.request import Tool
from pipeline.upstream.bridge.agent import Agent
from pipeline.upstream.bridge.calls import BridgeCalls
from pipeline.upstream.bridge.launch import Callback
from pipeline.upstream.bridge.orphans import processes_of
from pipeline.upstream.bridge.unary import Endpoint
from pipeline.upstream.http import Client, open_client, opened, read_bounded
from pipeline.wire import sdk_requests as wire
from pipeline.wire.connect import EnvelopeDecoder
from pipeline.wire.sdk_errors import error_from_end
from pipeline.wire.sdk_models import Selection
from tests.support.real_bridge import LAUNCHER, extra, install, locked_package
from tests.support.supervised_bridge import descriptors, scratch_folders, supervised

pytestmark = pytest.mark.slow

KEY = "crsr_0123456789abcdef0123456789abcdef"
"""Of nobody: the vendor refuses it, where there is a network."""

NO_ACCOUNT = (AuthenticationError, UpstreamUnavailable)
CALLBACK = Callback("http://127.0.0.1:9", Secret("-a-token-that-begins-with-a-dash"))
COMMAND = (str(LAUNCHER),)


@pytest.fixture(scope="module", autouse=True)
def _installed():
    reason = install()
    if reason is not None:
        pytest.skip(f"cursor-sdk cannot be installed: {reason}")


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_of_the_extra():
    [wanted] = extra()
    assert wanted.startswith("cursor-sdk>=1.")
    assert locked_package().startswith("cursor-sdk==1.")


async def test_it_starts_answers_and_stops_with_nothing_left(caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, "penstock.bridge")
    monkeypatch.setenv("CURSOR_API_KEY", KEY)
    home = await trio.to_thread.run_sync(lambda: set(Path.home().glob(".cursor/**/*")))
    before = descriptors()
    async with supervised(COMMAND, callback=CALLBACK) as process, open_client() as client:
        endpoint = await process.endpoint()
        [folder] = scratch_folders()
        processes = list(processes_of(folder))
        assert len(processes) == 2  # a shell and the program
        assert len({os.getpgid(pid) for pid in processes}) == 1
        assert not [pid for pid in processes if KEY in await shown(pid, "environ") or CALLBACK.token.reveal() in await shown(pid, "cmdline")]
        calls = BridgeCalls(client, process)
        await calls.ping()
        version = await calls.version()
        assert version.protocol == "sdk.v1"
        assert version.bridge == endpoint.version
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert not [pid for pid in processes if await is_running(pid)]
    assert scratch_folders() == []
    assert endpoint.token.reveal() not in caplog.text
    assert await trio.to_thread.run_sync(lambda: set(Path.home().glob(".cursor/**/*"))) == home
    with trio.fail_after(5):
        while descriptors() != before:  # noqa: ASYNC110 - sockets close by themselves
            await trio.sleep(0.01)


async def shown(pid: int, name: str) -> str:
    return (await trio.Path(f"/proc/{pid}/{name}").read_bytes()).decode("utf-8", "replace")


async def is_running(pid: int) -> bool:
    try:
        return bool(await shown(pid, "cmdline"))
    except OSError:
        return False


async def test_a_key_of_nobody_is_refused_and_without_one_none_is_found(monkeypatch):
    """Without a network the refusal is that there is none; with one it is the vendor's."""
    monkeypatch.setenv("CURSOR_API_KEY", KEY)
    async with supervised(COMMAND) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        for ask in (calls.list_models, calls.me):
            with pytest.raises(NO_ACCOUNT) as caught:
                await ask(KEY)
            assert KEY not in repr(caught.value)
        with pytest.raises(AuthenticationError):
            await calls.me("")  # neither of the environment nor of anybody's home


async def test_agents_are_made_and_refused():
    """An agent of a model is made by asking the vendor; one of none is made here, and can do nothing."""
    async with supervised(COMMAND, callback=CALLBACK) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        endpoint = await process.endpoint()
        tools = (Tool("read.x", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}}),)
        body = wire.create_agent(Selection("composer-2.5", (("fast", "false"),)), key=KEY, cwd=endpoint.workspace, tools=tools)
        with pytest.raises(NO_ACCOUNT):
            await calls.call(wire.CREATE_AGENT, body, within_seconds=15, secrets=(KEY,), endpoint=endpoint)
        options = msgspec.json.decode(body)["options"]
        del options["model"]
        told = await calls.call(wire.CREATE_AGENT, msgspec.json.encode({"options": options}), within_seconds=15, secrets=(KEY,), endpoint=endpoint)
        agent = wire.read_agent_id(told)
        for agent_id in (agent, "agent-00000000-0000-4000-8000-000000000000"):
            error = await refused_send(client, endpoint, agent_id)
            assert error is not None
            assert KEY not in repr(error)
        # the run that could not begin is one for all that, and is named nowhere else; it is cancelled by its own id alone
        with pytest.raises(UpstreamError, match="is not terminal") as caught:
            await calls.call(wire.DELETE_AGENT, wire.delete_agent(agent), within_seconds=15, endpoint=endpoint)
        [run_id] = re.findall(r"run-[0-9a-f-]{36}", caught.value.message)
        ends = {
            wire.CANCEL_RUN: msgspec.json.encode({"runId": run_id}),
            **dict.fromkeys((wire.CLOSE_AGENT, wire.DELETE_AGENT), wire.close_agent(agent)),
        }
        for path, body in ends.items():
            assert await calls.call(path, body, within_seconds=15, endpoint=endpoint) == wire.EMPTY


async def test_an_agent_whose_run_never_began_is_deleted_too():
    """As one whose message was refused, or whose client left before that."""
    async with supervised(COMMAND) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        agent = Agent(client, process)
        agent.endpoint = endpoint = await process.endpoint()
        agent._may_exist = agent.is_sent = True
        body = msgspec.json.encode({"options": {"agentId": agent.id, "apiKey": KEY, "local": {"cwd": [endpoint.workspace]}}})
        assert wire.read_agent_id(await calls.call(wire.CREATE_AGENT, body, within_seconds=15, endpoint=endpoint)) == agent.id
        assert await refused_send(client, endpoint, agent.id) is not None
        await agent.remove(None)
        assert await calls.call(wire.CREATE_AGENT, body, within_seconds=15, endpoint=endpoint)  # the id is free again
        await agent.remove(None)


async def refused_send(client: Client, endpoint: Endpoint, agent_id: str):
    headers = {**wire.STREAM_HEADERS, **endpoint.headers}
    decoder = EnvelopeDecoder()
    async with opened(client, "POST", endpoint.url + wire.SEND, headers, wire.send(agent_id, "Hi")) as response:
        assert response.status_code == 200
        *_, end = decoder.feed(await read_bounded(response, 1_000_000))
    assert end.is_end
    return error_from_end(end.payload, callers_key=True, secrets=(KEY,))


async def test_a_killed_one_is_started_again():
    async with supervised(COMMAND) as process:
        first = await process.endpoint()
        [folder] = scratch_folders()
        [program] = [pid for pid in processes_of(folder) if pid != os.getpgid(pid)]  # the other is the shell that waits for it
        os.kill(program, signal.SIGKILL)
        assert await process.is_over(first, 5)
        assert (await process.endpoint()).generation == 2


async def started_and_stopped() -> str:
    async with supervised(COMMAND, callback=CALLBACK) as process:
        return (await process.endpoint()).version


async def test_it_runs_under_asyncio_too():
    assert await trio.to_thread.run_sync(lambda: anyio.run(started_and_stopped, backend="asyncio"))

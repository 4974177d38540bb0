"""The fake bridge keeps the contract, so that what is tested over it holds for the real one: its answers are those that were measured there."""

import os
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from tests.support import sdk_scripts as sdk
from tests.support.composer_server import Cut, Pause, Reply, Reset
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_client import KEY, Client, asked, listener
from tests.support.fake_bridge_contract import error_reply
from tests.support.fake_bridge_steps import Await, Call, Calls, Fire, HangUp, Say, Step, Until

TEXT = [sdk.system(), sdk.delta("Hi"), *sdk.finish("Hi")]


async def test_an_agent_is_made_used_and_deleted():
    async with asked(TEXT) as (bridge, client):
        assert await client.ask("Ping") == (200, {"message": "pong"})
        assert (await client.ask("GetVersion"))[1]["protocolVersion"] == "sdk.v1"
        assert (await client.ask("Me", {"options": {"apiKey": KEY}}))[1]["user"]["userId"] == "7"
        assert (await client.ask("ListModels", {"options": {"apiKey": KEY}}))[1]["items"][0]["id"] == "composer-2.5"
        agent = await client.agent("read", tools={"names": ["mcp"]}, mode="AGENT_MODE_OPTION_AGENT")
        messages = await client.send(agent, "What time is it?")
        assert messages[0]["sdkMessage"]["message"]["run_id"] == bridge.runs[0].id
        assert messages[-1] == {}
        assert bridge.left_behind() == [f"{agent} is not deleted"]
        assert await client.ask("CloseAgent", {"agentId": agent}) == (200, {})
        assert await client.ask("DeleteAgent", {"agentId": agent}) == (200, {})

    made, run = bridge.agents[0], bridge.runs[0]
    assert (made.key, made.model, made.tools, [*made.custom_tools], made.cwd) == (KEY, "composer-2.5", ["mcp"], ["read"], ["work"])
    assert (run.text, run.status, bridge.left_behind()) == ("What time is it?", "FINISHED", [])
    assert [call.method for call in bridge.calls][-3:] == ["Send", "CloseAgent", "DeleteAgent"]


REFUSED = {
    "token": ("Ping", {}, {"authorization": "Bearer other"}, 401, "unauthenticated"),
    "version": ("Ping", {}, {"connect-protocol-version": "2"}, 400, "invalid_argument"),
    "kind": ("Ping", {}, {"content-type": "text/plain"}, 415, None),
    "no key": ("ListModels", {"options": {}}, {}, 401, "unauthenticated"),
    "no JSON": ("Ping", [], {}, 400, "invalid_argument"),
    "type": ("CreateAgent", {"options": {"apiKey": KEY, "local": {"cwd": "work"}}}, {}, 400, "invalid_argument"),
    "enum": ("CreateAgent", {"options": {"apiKey": KEY, "mode": "AGENT"}}, {}, 400, "invalid_argument"),
    "field": ("CreateAgent", {"options": {"apiKey": KEY, "api_key": KEY}}, {}, 400, "invalid_argument"),
    "tool": ("CreateAgent", {"options": {"apiKey": KEY, "tools": {"names": ["nope"]}}}, {}, 400, "invalid_argument"),
    "model": ("CreateAgent", {"options": {"apiKey": KEY, "model": {"id": "composer-9"}}}, {}, 400, "invalid_argument"),
    "agent": ("CloseAgent", {"agentId": "nobody"}, {}, 404, "not_found"),
    "run id": ("CancelRun", {"runId": "r", "agentId": "nobody"}, {}, 400, "invalid_argument"),
    "run": ("CancelRun", {"runId": "r"}, {}, 400, "invalid_argument"),
}


@pytest.mark.parametrize(("method", "body", "headers", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_refused_as_measured(method, body, headers, status, code):
    async with asked(TEXT) as (_, client):
        found, answer = await client.ask(method, body, **headers)
    assert (found, answer and answer["code"]) == (status, code)


async def test_a_method_that_nobody_knows_is_a_bare_404():
    async with asked(TEXT) as (_, client):
        assert await client.ask("Juggle") == (404, None)


async def test_another_key_is_refused_with_details():
    async with asked(TEXT, keys={"another"}) as (_, client):
        status, answer = await client.ask("Me", {"options": {"apiKey": KEY}})
    assert (status, answer["details"][0]["debug"]["sdkErrorCode"]) == (401, "SDK_ERROR_CODE_UNAUTHORIZED")


async def test_send_is_refused_in_its_stream():
    async with asked([Until(trio.Event())]) as (bridge, client), trio.open_nursery() as nursery:
        assert (await client.send("nobody"))[-1]["error"]["code"] == "not_found"
        agent = await client.agent()
        nursery.start_soon(client.send, agent)
        await bridge.until(lambda: bridge.runs)
        assert (await client.send(agent))[-1]["error"]["details"][0]["debug"]["sdkErrorCode"] == "SDK_ERROR_CODE_AGENT_BUSY"
        status, answer = await client.ask("DeleteAgent", {"agentId": agent})
        assert (status, "is not terminal" in answer["message"]) == (500, True)
        assert await client.ask("CancelRun", {"runId": bridge.runs[0].id, "agentId": agent}) == (200, {})
        await bridge.runs[0].over.wait()
        assert await client.ask("DeleteAgent", {"agentId": agent}) == (200, {})
    assert bridge.runs[0].status == "CANCELLED"


async def test_faults_are_played_once():
    async with asked(TEXT) as (bridge, client):
        bridge.faults["CreateAgent"] = [[error_reply("internal", "Network request failed")], [Cut()], [Reset()]]
        bridge.faults["Send"] = [[Reply(502, b"no")]]
        assert (await client.ask("CreateAgent", {}))[0] == 500
        for _ in range(2):
            with pytest.raises(httpx.NetworkError if _ else httpx.RemoteProtocolError):
                await client.agent()
        agent = await client.agent()
        with pytest.raises(AssertionError, match="no"):
            await client.send(agent)
        assert len(await client.send(agent)) == len(TEXT)
    assert [run.status for run in bridge.runs] == ["REFUSED", "FINISHED"]


async def test_tools_are_called_back_one_after_the_other_and_side_by_side():
    answer = Say(lambda run: [sdk.delta(" and ".join(result.text for result in run.results))])
    script: list[Step] = [sdk.system(), Call("read", {"path": "a"}, "tool_1\nfc_1"), Calls(Call("grep"), Call("list")), answer, *sdk.finish()]
    async with listener() as (one, url), asked(script) as (bridge, client):
        bridge.call_back_to(url, "-our-token")
        messages = await client.send(await client.agent("read", "grep", "list"))
    assert messages[1]["interactionUpdate"]["update"]["text"] in ("read ran and grep ran and list ran", "read ran and list ran and grep ran")
    assert one.asked[0] == {"toolName": "read", "args": {"path": "a"}, "toolCallId": "tool_1\nfc_1", "agentId": bridge.agents[0].id}
    assert [result.is_error for result in bridge.runs[0].results] == [False] * 3


async def test_a_call_that_is_given_up_closes_its_connection_and_one_that_is_fired_waits_for_nobody():
    gate = trio.Event()
    script: list[Step] = [sdk.system(), Fire("read"), sdk.delta("meanwhile"), Until(gate), HangUp(), Await(), Fire("grep"), Await(), *sdk.finish()]
    async with listener(answers=False) as (one, url), asked(script) as (bridge, client), trio.open_nursery() as nursery:
        bridge.call_back_to(url, "-our-token")
        nursery.start_soon(client.send, await client.agent("read", "grep"))
        await bridge.until(lambda: len(one.asked) == 1)
        assert [call.name for call in bridge.runs[0].waiting] == ["read"]
        gate.set()
        await bridge.until(lambda: one.gone == 1 and len(one.asked) == 2)
        one.answers.set()
    assert [result.name for result in bridge.runs[0].results] == ["grep"]


async def test_a_run_goes_on_without_its_reader_until_it_is_cancelled():
    async with listener(answers=False) as (one, url), asked((sdk.system(), Call("read"))) as (bridge, client):
        bridge.call_back_to(url, "-our-token")
        agent = await client.agent("read")
        request = client.request("Send", {"agentId": agent, "message": {"text": "Hi"}})
        answer = await client.http.send(request, stream=True)
        await bridge.until(lambda: one.asked)
        await answer.aclose()
        run = bridge.runs[0]
        await bridge.until(run.stream_gone.is_set)
        assert (run.status, len(run.waiting)) == ("RUNNING", 1)
        await client.ask("CancelRun", {"runId": run.id, "agentId": agent})
        await bridge.until(lambda: one.gone == 1)
    assert (run.status, run.waiting, run.results) == ("CANCELLED", [], [])


async def test_a_stream_is_kept_alive_and_a_cut_ends_it():
    async with asked((sdk.system(), Pause(0.1), Cut()), keepalive_seconds=0.02) as (_, client):
        agent = await client.agent()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.send(agent)
    async with asked([sdk.system(), Pause(0.1), *sdk.finish()], keepalive_seconds=0.02) as (_, client):
        messages = await client.send(await client.agent())
    assert messages.count({}) > 2  # the end is one too


async def test_a_reader_that_falls_behind_loses_the_stream():
    async with asked([sdk.delta("x" * 2000)] * 6000) as (bridge, client):
        agent = await client.agent()
        request = client.request("Send", {"agentId": agent, "message": {"text": "Hi"}})
        answer = await client.http.send(request, stream=True)
        await bridge.until(lambda: bridge.runs[0].over.is_set())
        assert b"resource_exhausted" in (await answer.aread())[-200:]


# -- the program -----------------------------------------------------------------------------------------------------------------------------------


class Program:
    """The program as a supervisor has it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.before: list[str] = []

    def ready(self) -> dict[str, Any]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if b" ready {" in line:
                return msgspec.json.decode(line.partition(b" ready ")[2], type=dict[str, Any])
            self.before.append(line.decode())
        raise AssertionError(self.before)


def _started(arguments: list[str], environment: dict[str, str], folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, env=environment, start_new_session=True, cwd=folder)


@asynccontextmanager
async def program(command: tuple[str, ...], folder: Path, *more: str) -> AsyncGenerator[Program]:
    home, temporary = folder / "home", folder / "tmp"
    for made in (home, temporary):
        made.mkdir(exist_ok=True)
    arguments = [*command, "--workspace", str(folder), "--state-root", str(folder), "--host", "127.0.0.1", *more]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary)}
    process = await trio.to_thread.run_sync(_started, arguments, environment, folder)
    with process:
        try:
            yield Program(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def waited(process: "subprocess.Popen[bytes]") -> int:
    return await trio.to_thread.run_sync(process.wait, 10)


async def test_the_program_passes_on_what_it_is_asked(tmp_path):
    async with asked([sdk.system(), Call("read"), *sdk.finish()]) as (bridge, client), listener() as (one, url):
        more = ("--tool-callback-url", url, "--tool-callback-auth-token", "-our-token")
        async with program(bridge.command_with("--fake-noise", "3"), tmp_path, *more) as child:
            ready = await trio.to_thread.run_sync(child.ready)
            token = await trio.Path(ready["authTokenFile"]).read_text()
            behind = Client(ready["url"], token, client.http)
            assert len(await behind.send(await behind.agent("read"))) == 4
            assert bridge.runs[0].results[0].text == "read ran"
            assert await behind.ask("Shutdown", {"graceSeconds": 0}) == (200, {})
            assert await waited(child.process) == 0
    start = bridge.starts[0]
    assert (start.pid, start.token, start.gone.is_set(), len(child.before)) == (ready["pid"], token, True, 3)
    assert set(start.environment) >= {"PATH", "HOME", "TMPDIR"}
    assert bridge.left_behind() == []
    assert list((tmp_path / "tmp").iterdir())
    assert len(one.asked) == 1


async def test_the_program_ends_with_0_on_sigterm_and_a_kill_cuts_its_streams(tmp_path):
    async with asked([sdk.system(), Until(trio.Event())]) as (bridge, client):
        async with program(bridge.command, tmp_path) as child:
            await trio.to_thread.run_sync(child.ready)
            child.process.terminate()
            assert await waited(child.process) == 0
        async with program(bridge.wrapped, tmp_path) as child:
            ready = await trio.to_thread.run_sync(child.ready)
            assert ready["pid"] != child.process.pid
            behind = Client(ready["url"], bridge.starts[1].token, client.http)
            agent = await behind.agent()
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    with pytest.raises(httpx.TransportError):
                        await behind.send(agent)

                nursery.start_soon(send)
                await bridge.until(lambda: bridge.runs)
                bridge.starts[1].kill()
            await bridge.until(lambda: bridge.runs[0].status == "LOST")


ENDS = {"--fake-exit": ("7", 7), "--fake-die-after": ("0.1", 3), "--unknown": ("x", 2)}


@pytest.mark.parametrize(("option", "value", "status"), [(option, *rest) for option, rest in ENDS.items()], ids=ENDS)
async def test_the_program_ends_as_it_is_told(tmp_path, option, value, status):
    async with fake_bridge(TEXT) as bridge, program(bridge.command_with(option, value), tmp_path) as child:
        assert await waited(child.process) == status

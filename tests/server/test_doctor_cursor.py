"""The doctor on the other ways to Cursor's models: the bridge of the SDK, from its program to a tool, and a website's stream."""

import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from server.doctor import Finding, State, report
from tests.support import sdk_scripts as sdk
from tests.support import website_words as words
from tests.support.composer_server import Cut, Late, Reply
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_contract import error_reply
from tests.support.fake_bridge_run import Run
from tests.support.fake_bridge_steps import Call, Say, Step
from tests.support.openai_server import Received, openai_server
from tests.support.parameter_bench import trigger_of
from tests.support.processes import PENSTOCK, clean_environment

KEY = "user-key-1234567890"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No settings but the test's own, and no server on the default port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PORT", str(port))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "PENSTOCK_CONFIG", "KILO_TOOL_STRICT"):
        monkeypatch.delenv(name, raising=False)


def found(all_of_them: list[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in all_of_them if check in finding.check]
    return finding


def states(all_of_them: list[Finding]) -> set[State]:
    return {finding.state for finding in all_of_them if finding.subject != "server"}


async def findings(folder: Path, table: str, key: str | None = KEY, **more: Any) -> list[Finding]:
    path = folder / "penstock.toml"
    path.write_text(table)
    return [finding async for finding in report(path, key, more.get("model"))]


class TestBridge:
    async def test_from_the_program_to_a_tool(self, tmp_path):
        def script(run: Run) -> list[Step]:
            if not run.agent.custom_tools:
                return [sdk.system(), sdk.delta("It is well."), *sdk.finish("It is well.")]
            return [sdk.system(), Call("get_weather", {"location": "Boston"}), Say(lambda run: [sdk.delta(run.results[0].text), *sdk.finish()])]

        async with fake_bridge(script) as bridge:
            said = await findings(tmp_path, bridge.table())
            await bridge.until(lambda: bridge.starts[0].gone.is_set())
        assert states(said) == {State.OK}
        assert [finding.check.partition(" with ")[0] for finding in said if finding.subject == "cursor"] == [
            "the bridge's program is there",
            "credential",
            "the bridge starts",
            "the key is accepted",
            "the models are listed",
            "text round trip",
            "tool round trip",
        ]
        assert found(said, "the bridge starts").detail.endswith(" s, version 1.0.0, protocol sdk.v1")
        assert len(bridge.starts) == 1
        assert len(bridge.runs) == 2, "the tool's result went to the run that called it"
        assert KEY not in repr(said)

    async def test_a_program_that_is_not_there_is_one_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        said = await findings(tmp_path, '[upstreams.sdk]\nkind = "sdk-bridge"\n')
        program = found(said, "program is there")
        assert (program.state, program.detail) == (State.WRONG, "cursor-sdk-bridge is not installed")
        assert "pip install 'penstock[cursor-sdk]'" in program.fix
        assert "upstreams.sdk.command" in program.fix
        assert found(said, "round trip").detail == "they need what is wrong above"

    async def test_a_command_that_is_not_there_is_one_to_correct(self, tmp_path):
        said = await findings(tmp_path, '[upstreams.sdk]\nkind = "sdk-bridge"\ncommand = ["no-such-bridge"]\n')
        assert found(said, "program is there").fix == "correct upstreams.sdk.command, or leave it out and install the package"

    async def test_without_a_key_it_is_started_and_not_asked(self, tmp_path):
        async with fake_bridge([]) as bridge:
            said = await findings(tmp_path, bridge.table(), None)
            await bridge.until(lambda: bridge.starts[0].gone.is_set())
            assert not bridge.agents
            assert not bridge.to("Me")
        assert found(said, "the bridge starts").state is State.OK
        assert found(said, "round trip").detail == "they need the key"

    async def test_a_bridge_that_ends_at_once_says_so(self, tmp_path):
        async with fake_bridge([]) as bridge:
            said = await findings(tmp_path, bridge.table(command=bridge.command_with("--fake-exit", "3")))
        starts = found(said, "the bridge starts")
        assert starts.state is State.WRONG
        assert starts.fix
        assert found(said, "round trip").state is State.SKIPPED

    async def test_another_protocol_says_so(self, tmp_path):
        async with fake_bridge([]) as bridge:
            bridge.version = {"bridgeVersion": "9.0.0", "protocolVersion": "sdk.v9", "capabilities": []}
            said = await findings(tmp_path, bridge.table())
        assert found(said, "the bridge starts").state is State.WRONG
        assert "speaks sdk.v1" in found(said, "the bridge starts").fix

    @pytest.mark.parametrize("method", ["Me", "ListModels"])
    async def test_a_refused_key_says_so(self, tmp_path, method):
        async with fake_bridge([]) as bridge:
            refusal = error_reply("unauthenticated", "The key is not known.", "API_KEY_NOT_FOUND")
            bridge.faults[method] = [[refusal]]
            said = await findings(tmp_path, bridge.table())
            assert not bridge.agents
        refused = found(said, "the key is accepted" if method == "Me" else "the models are listed")
        assert (refused.state, refused.fix) == (State.WRONG, "check the key")
        assert KEY not in repr(said)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    async def test_a_stop_signal_takes_the_bridge_along(self, tmp_path, number):
        async with fake_bridge([]) as bridge:
            bridge.faults["GetVersion"] = [[Late(30), Cut()]]
            (tmp_path / "penstock.toml").write_text(bridge.table())
            errors = (tmp_path / "errors").open("w")
            temporary = tmp_path / "temporary"
            temporary.mkdir()
            command = [PENSTOCK, "doctor", "--config", str(tmp_path / "penstock.toml")]
            environment = clean_environment(TMPDIR=str(temporary))
            run = partial(trio.run_process, command, env=environment, cwd=tmp_path, check=False, stdout=subprocess.DEVNULL, stderr=errors)
            async with trio.open_nursery() as nursery:
                process = await nursery.start(run)
                await bridge.until(lambda: bridge.to("GetVersion"), within_seconds=20)
                process.send_signal(number)
                process.send_signal(number)
                with trio.fail_after(10):
                    assert await process.wait() == 128 + number
            assert bridge.starts[0].gone.is_set()
            assert list(temporary.iterdir()) == []
        errors.close()
        assert (tmp_path / "errors").read_text() == f"penstock: stopped by {number.name}\n"

    async def test_another_upstream_s_look_starts_no_bridge(self, tmp_path):
        async with fake_bridge([]) as bridge:
            table = f"{bridge.table(api_key_env='MINE')}[upstreams.demo]\nkind = 'captured'\n"
            table += "[auth]\nmode = 'open'\n[routes.'*']\ntargets = [{ upstream = 'demo', model = '*' }]\n"
            (tmp_path / ".env").write_text(f"MINE={KEY}\n")
            said = await findings(tmp_path, table)
            assert len(bridge.starts) == 1
        assert found(said, "is reached by a route").state is State.WRONG
        assert found(said, "tool round trip").state is State.OK


def talks(received: Received) -> list[bytes]:
    """A model behind a website that calls the tool when it is offered and not yet answered."""
    trigger = trigger_of(received.json)
    calls = trigger and "18 degrees" not in repr(received.json)
    said = f'{trigger}<invoke name="get_weather">{{"location": "Boston"}}</invoke>' if calls else "It is well."
    return [words.START + words.text(said) + words.END]


def website(origin: str) -> str:
    return f'[upstreams.web]\nkind = "website"\nurl = "{origin}{words.ENDPOINT}"\n'


class TestWebsite:
    async def test_one_that_answers(self, tmp_path):
        async with openai_server(talks, words.ENDPOINT) as server:
            said = await findings(tmp_path, website(server.origin))
        assert states(said) == {State.OK}
        assert found(said, "accepts connections").state is State.OK
        assert found(said, "tool round trip").state is State.OK

    @pytest.mark.parametrize(("dialects", "state"), [('"bracket"', State.OK), ("", State.WRONG)])
    async def test_answers_are_read_as_the_table_says(self, tmp_path, dialects, state):
        def brackets(received: Received) -> list[bytes]:
            calls = trigger_of(received.json) and "18 degrees" not in repr(received.json)
            return [words.START + words.text('[TOOL_CALL]get_weather[ARGS]{"location": "Boston"}' if calls else "It is well.") + words.END]

        async with openai_server(brackets, words.ENDPOINT) as server:
            said = await findings(tmp_path, f"{website(server.origin)}tools = {{ dialects = [{dialects}] }}\n")
        assert found(said, "tool round trip").state is state

    async def test_one_that_wants_a_browser_is_named(self, tmp_path):
        page = Reply(403, b"<html><title>Just a moment</title></html>", {"content-type": "text/html"})
        async with openai_server([page], words.ENDPOINT) as server:
            said = await findings(tmp_path, website(server.origin))
        for trip in (found(said, "text round trip"), found(said, "tool round trip")):
            assert trip.state is State.WRONG
            assert "424 upstream_refused" in trip.detail
            assert trip.fix.startswith("the website lets no programs in")
            assert "Just a moment" not in trip.detail

    async def test_an_address_that_is_not_set_is_named(self, tmp_path):
        said = await findings(tmp_path, '[upstreams.web]\nkind = "website"\n')
        assert found(said, "url is set").fix == "set upstreams.web.url"
        assert found(said, "round trip").state is State.SKIPPED

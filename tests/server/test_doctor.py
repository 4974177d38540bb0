"""The doctor: each line green, or with what mends it."""

import json
import socket
from pathlib import Path

import pytest

from pipeline.wire.composer import encode_end, encode_text
from server.cli import main
from server.doctor import Finding, State, report
from tests.support.composer_backend import composer_backend, json_reply
from tests.support.composer_server import ENDPOINT, Received, Reply
from tests.support.processes import server_process

B, b, S, e, E = "<|tool_calls_begin|>", "<|tool_call_begin|>", "<|tool_sep|>", "<|tool_call_end|>", "<|tool_calls_end|>"
CALL = f"{B}{b}\nget_weather\n{S}location\nBoston\n{e}{E}"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No settings but the test's own, and no server on the default port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PORT", str(port))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "PENSTOCK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


async def findings(config: Path | None = None, key: str | None = None) -> list[Finding]:
    return [finding async for finding in report(config, key, None)]


def found(all_of_them: list[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in all_of_them if check in finding.check]
    return finding


def composer_file(folder: Path, origin: str) -> Path:
    path = folder / "penstock.toml"
    path.write_text(f'[upstreams.composer]\nkind = "composer"\nbase_url = "{origin}"\nendpoint = "{ENDPOINT}"\napi_base = "{origin}"\n')
    return path


def answers(received: Received):
    """A model that calls the tool when it is offered and not yet answered."""
    text = received.message.text if received.message else ""
    wants_call = "get_weather" in text and "18 degrees" not in text
    return [encode_text(CALL if wants_call else "It is well.") + encode_end()]


async def test_the_embedded_demo_is_well():
    report_lines = await findings()
    assert not [finding for finding in report_lines if finding.state is State.WRONG]
    assert found(report_lines, "text round trip").state is State.OK
    assert found(report_lines, "tool round trip").state is State.OK
    assert found(report_lines, "is running").state is State.SKIPPED


async def test_a_composer_upstream_that_answers(tmp_path):
    async with composer_backend(answers) as backend:
        report_lines = await findings(composer_file(tmp_path, backend.origin), "user-key-1234567890")
    assert {finding.state for finding in report_lines} == {State.OK, State.SKIPPED}
    assert found(report_lines, "accepts connections").state is State.OK
    assert found(report_lines, "tool round trip").state is State.OK


async def test_without_a_key_the_round_trips_are_skipped(tmp_path):
    async with composer_backend(answers) as backend:
        report_lines = await findings(composer_file(tmp_path, backend.origin))
        assert not backend.requests
    assert found(report_lines, "round trip").state is State.SKIPPED
    assert "--key-env" in found(report_lines, "credential").detail


async def test_a_refused_key_says_so(tmp_path):
    async with composer_backend([Reply(401)], exchange=[json_reply(401, {"message": "no"})]) as backend:
        report_lines = await findings(composer_file(tmp_path, backend.origin), "user-key-1234567890")
    trip = found(report_lines, "text round trip")
    assert trip.state is State.WRONG
    assert trip.fix == "check the key"
    assert "user-key" not in repr(report_lines)


async def test_a_model_that_never_calls(tmp_path):
    async with composer_backend([encode_text("It is sunny.") + encode_end()]) as backend:
        report_lines = await findings(composer_file(tmp_path, backend.origin), "user-key-1234567890")
    assert found(report_lines, "text round trip").state is State.OK
    assert found(report_lines, "tool round trip").fix == "use a model that can call tools"


async def test_what_is_not_set_is_named(tmp_path):
    path = tmp_path / "penstock.toml"
    path.write_text('[upstreams.composer]\nkind = "composer"\napi_base = "http://127.0.0.1:1"\n')
    report_lines = await findings(path, "user-key-1234567890")
    assert "CURSOR_CHAT_ENDPOINT" in found(report_lines, "endpoint is set").fix
    assert found(report_lines, "accepts connections").state is State.WRONG


async def test_a_host_name_that_does_not_exist(tmp_path):
    path = composer_file(tmp_path, "https://nowhere.invalid")
    report_lines = await findings(path, "user-key-1234567890")
    assert {finding.state for finding in report_lines if "has an address" in finding.check} == {State.WRONG}


async def test_wrong_settings_are_the_first_thing(tmp_path):
    path = tmp_path / "penstock.toml"
    path.write_text("[server]\nprot = 1\n")
    (finding,) = await findings(path)
    assert finding.state is State.WRONG
    assert "server.prot" in finding.detail


def test_the_command_with_a_running_server(capsys, monkeypatch):
    with server_process() as server:
        monkeypatch.setenv("PORT", str(server.port))
        assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["wrong"] == 0
    assert [finding["check"] for finding in document["findings"] if finding["subject"] == "server"] == [
        f"{server.url} is ready",
        "text round trip with composer-2.5",
        "tool round trip with composer-2.5",
    ]


def test_the_command_says_when_something_is_wrong(capsys, tmp_path, monkeypatch):
    (tmp_path / "penstock.toml").write_text("[server]\nprot = 1\n")
    assert main(["doctor"]) == 1
    assert "1 thing needs mending" in capsys.readouterr().out
    assert main(["doctor", "--key-env", "NOT_SET_ANYWHERE"]) == 2

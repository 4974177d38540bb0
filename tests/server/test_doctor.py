"""The doctor: each line green, or with what mends it."""

import json
import socket
from pathlib import Path

import pytest

from pipeline.wire.composer import encode_end, encode_text
from server.cli import main
from server.doctor import Finding, State, report, summary
from server.doctor_trips import ServerTrips
from tests.support import anthropic_words as anthropic
from tests.support.composer_backend import composer_backend, json_reply
from tests.support.composer_server import ENDPOINT, Received, Reply
from tests.support.gateway_server import gateway_from
from tests.support.openai_server import DONE, chunk, openai_server
from tests.support.openai_server import Received as HttpReceived
from tests.support.openai_server import text as openai_text
from tests.support.processes import server_process
from tests.support.settings_files import load

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


async def findings(config: Path | None = None, key: str | None = None, model: str | None = None) -> list[Finding]:
    return [finding async for finding in report(config, key, model)]


def found(all_of_them: list[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in all_of_them if check in finding.check]
    return finding


def composer_file(folder: Path, origin: str) -> Path:
    path = folder / "penstock.toml"
    path.write_text(f'[upstreams.composer]\nkind = "composer"\nbase_url = "{origin}"\nendpoint = "{ENDPOINT}"\napi_base = "{origin}"\n')
    return path


def two_upstreams(folder: Path, composer: str, local: str) -> Path:
    """Composer for its own model, and a server of any models behind `*` alone."""
    path = composer_file(folder, composer)
    path.write_text(
        f'{path.read_text()}[upstreams.local]\nkind = "openai-chat"\nbase_url = "{local}/v1"\n'
        '[routes."composer-2.5"]\ntargets = [{ upstream = "composer", model = "*" }]\n'
        '[routes."*"]\ntargets = [{ upstream = "local", model = "*" }]\n[aliases]\nmine = "kimi-k3"\n'
    )
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


async def test_no_server_is_asked_for_a_model_that_nobody_named(tmp_path):
    async with composer_backend(answers) as backend, openai_server([openai_text("Hi"), chunk("stop"), DONE]) as local:
        report_lines = await findings(two_upstreams(tmp_path, backend.origin, local.origin), "user-key-1234567890")
        assert not local.requests
    (trip,) = [finding for finding in report_lines if finding.subject == "local" and "round trip" in finding.check]
    assert trip.state is State.SKIPPED
    assert "--model ID" in trip.detail
    assert not [finding for finding in report_lines if finding.state is State.WRONG]


@pytest.mark.parametrize("model", ["kimi-k3", "mine"])
async def test_a_named_model_is_asked_for_where_it_leads_and_nowhere_else(tmp_path, model):
    async with composer_backend(answers) as backend, openai_server([openai_text("Hi"), chunk("stop"), DONE]) as local:
        report_lines = await findings(two_upstreams(tmp_path, backend.origin, local.origin), "user-key-1234567890", model)
        assert {received.json["model"] for received in local.requests} == {"kimi-k3"}
    trips = [finding.check for finding in report_lines if finding.check.startswith("text round trip")]
    assert trips == ["text round trip with composer-2.5", f"text round trip with {model}"]


async def test_each_upstream_of_a_route_with_several_targets_is_asked_for_its_own_model(tmp_path):
    async with composer_backend(answers) as backend, openai_server([openai_text("Hi"), chunk("stop"), DONE]) as local:
        path = composer_file(tmp_path, backend.origin)
        path.write_text(
            f'{path.read_text()}[upstreams.local]\nkind = "openai-chat"\nbase_url = "{local.origin}/v1?version=1"\n'
            '[routes.mine]\ntargets = [{ upstream = "composer", model = "composer-2.5" }, { upstream = "local", model = "k3" }]\n'
        )
        report_lines = await findings(path, "user-key-1234567890")
        assert {received.json["model"] for received in local.requests} == {"k3"}
        assert {received.path for received in local.requests} == {"/v1/chat/completions?version=1"}
    trips = [(finding.subject, finding.state) for finding in report_lines if finding.check == "text round trip with mine"]
    assert trips == [("composer", State.OK), ("local", State.OK)]


async def test_a_model_that_no_route_serves_is_named(tmp_path):
    path = tmp_path / "penstock.toml"
    path.write_text('[upstreams.demo]\nkind = "captured"\n[routes."composer-2.5"]\ntargets = [{ upstream = "demo", model = "*" }]\n')
    report_lines = await findings(path, model="kimi-k3")
    assert found(report_lines, "a route serves kimi-k3").state is State.WRONG
    assert found(report_lines, "text round trip with composer-2.5").state is State.OK


@pytest.mark.parametrize(("model", "checks"), [(None, ["text and tool"]), ("kimi-k3", ["text", "tool"])])
async def test_through_the_server_too_a_model_is_asked_for_only_when_one_is_named(tmp_path, model, checks):
    async with (
        openai_server([openai_text("Hi"), chunk("stop"), DONE]) as local,
        gateway_from(tmp_path, f'[upstreams.local]\nkind = "openai-chat"\nbase_url = "{local.origin}/v1"\n', mode="open") as server,
    ):
        settings = load(tmp_path, overrides={"auth.mode": "open"}).settings
        trips = await ServerTrips(settings, server.url, None, model).make()
    assert [trip.what.partition(" round trip")[0] for trip in trips[1:]] == checks
    assert [trip.good for trip in trips[1:]] == ([None] if model is None else [True, False])


def test_the_command_with_a_running_server(capsys, monkeypatch):
    with server_process() as server:
        monkeypatch.setenv("PORT", str(server.port))
        assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["wrong"], document["skipped"]) == (0, 0)
    assert [finding["check"] for finding in document["findings"] if finding["subject"] == "server"] == [
        f"{server.url} is ready",
        "text round trip with composer-2.5",
        "tool round trip with composer-2.5",
    ]


def test_the_command_says_what_it_did_not_look_at(capsys):
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is wrong; 1 check was skipped"


@pytest.mark.parametrize(
    ("wrong", "skipped", "said"),
    [
        (0, 0, "everything is well"),
        (0, 2, "nothing is wrong; 2 checks were skipped"),
        (2, 0, "2 things need mending"),
        (1, 1, "1 thing needs mending; 1 check was skipped"),
    ],
)
def test_the_last_line_counts_what_is_wrong_and_what_was_skipped(wrong, skipped, said):
    assert summary(wrong, skipped) == said


def test_the_command_says_when_something_is_wrong(capsys, tmp_path, monkeypatch):
    (tmp_path / "penstock.toml").write_text("[server]\nprot = 1\n")
    assert main(["doctor"]) == 1
    assert "1 thing needs mending" in capsys.readouterr().out
    assert main(["doctor", "--key-env", "NOT_SET_ANYWHERE"]) == 2


def anthropic_answers(received: HttpReceived):
    """A model of Anthropic's API that calls the tool when it is offered and not yet answered."""
    wants_call = "tools" in received.json and "tool_result" not in received.body.decode()
    if wants_call:
        return [anthropic.START, *anthropic.called("get_weather", ['{"location": "Boston"}']), anthropic.end("tool_use")]
    return [anthropic.START, *anthropic.spoken(["It is well."]), anthropic.end()]


async def test_a_server_with_anthropic_s_api(tmp_path, monkeypatch):
    monkeypatch.setenv("OWN_KEY", "sk-4f9a0c77-canary")
    path = tmp_path / "penstock.toml"
    async with openai_server(anthropic_answers, "/anthropic/v1/messages") as server:
        path.write_text(f'[upstreams.a]\nkind = "anthropic"\nbase_url = "{server.origin}/anthropic"\napi_key_env = "OWN_KEY"\n')
        report_lines = await findings(path, model="claude-sonnet-5")
    assert [finding.check for finding in report_lines if finding.state is State.WRONG] == []
    of_it = [finding for finding in report_lines if finding.subject == "a"]
    assert [finding.state for finding in of_it] == [State.OK] * len(of_it)
    checks = " / ".join(finding.check for finding in of_it)
    for check in ("has an address", "accepts connections", "credential", "text round trip with claude-sonnet-5", "tool round trip with claude"):
        assert check in checks
    assert all(received.headers["x-api-key"] == "sk-4f9a0c77-canary" for received in server.requests)
    assert "canary" not in repr(report_lines)

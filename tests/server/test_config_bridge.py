"""The settings of the SDK bridge: what may be started, what it may see, and what several of them mean."""

from typing import Any

import pytest

from pipeline.credential import Kind
from server.config_routes import warnings
from server.upstream_settings import SdkBridge
from tests.support.settings_files import load, problems, usual_umask

BRIDGE = '[upstreams.sdk]\nkind = "sdk-bridge"\n'
KEY = "key-4f9a0c77d1e2"
FROM = " (from ./penstock.toml)"


@pytest.fixture(autouse=True, scope="module")
def umask():
    with usual_umask():
        yield


def test_its_kind_alone_is_enough(tmp_path):
    loaded = load(tmp_path, BRIDGE)
    assert loaded.settings.upstreams == {"sdk": SdkBridge()}
    assert loaded.settings.auth.mode == "forward"
    assert loaded.settings.upstreams["sdk"].credential().kind is Kind.CALLER
    assert list(loaded.settings.routes) == ["*"]
    assert not list(warnings(loaded.settings))


@pytest.mark.parametrize("kind", ["sdk-bridge", "composer"])
def test_without_a_key_it_answers_nothing(tmp_path, kind):
    table = f'[upstreams.sdk]\nkind = "{kind}"\n'
    assert problems(tmp_path, f'{table}credential = "none"') == [
        f"upstreams.sdk.credential: kind {kind} answers nothing without a key; leave it out, and the caller's own is sent, or set api_key_env or "
        f"api_key_file instead{FROM}"
    ]
    assert load(tmp_path, f'{table}credential = "caller"')
    assert load(tmp_path, f'{table}api_key_env = "MINE"', MINE=KEY)


def test_a_website_may_want_none(tmp_path):
    upstream = load(tmp_path, '[upstreams.web]\nkind = "website"\nurl = "https://w.example/chat"\ncredential = "none"').settings.upstreams["web"]
    assert upstream.credential().kind is Kind.NONE


class TestCommand:
    def test_a_path_leads_to_a_program(self, tmp_path):
        program = tmp_path / "bridge"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for command in (str(program), "./bridge", "bridge-of-the-path"):
            upstream = load(tmp_path, f'{BRIDGE}command = ["{command}", "--an-argument"]').settings.upstreams["sdk"]
            assert isinstance(upstream, SdkBridge)
            assert upstream.command == (command, "--an-argument")

    def test_one_that_does_not_is_named(self, tmp_path):
        (tmp_path / "text").write_text("no program")
        for command, fault in (("./text", "it may not be executed"), ("./gone", "there is no such file"), ("./", "it is a folder")):
            assert problems(tmp_path, f'{BRIDGE}command = ["{command}"]') == [
                f'upstreams.sdk.command[0]: expected the path of a program, from the working directory, got "{command}": {fault}{FROM}'
            ]

    @pytest.mark.parametrize("command", ["/" + "a" * 5000, "/\\u0000"])
    def test_one_that_no_file_system_has_is_named(self, tmp_path, command):
        [said] = problems(tmp_path, f'{BRIDGE}command = ["{command}"]')
        assert said.startswith("upstreams.sdk.command[0]: expected the path of a program")


class TestEnvironment:
    @pytest.mark.parametrize(
        ("variable", "expected"),
        [
            ("CURSOR_API_KEY", "CURSOR_API_KEY holds a key, and the bridge is given the key of each request with it; leave it out"),
            ("OWN_KEY", "OWN_KEY holds a key, and the bridge is given the key of each request with it; leave it out"),
            ("PENSTOCK_SERVER__PORT", "variables that begin with PENSTOCK_ are this gateway's own; leave it out"),
            ("HOME", "HOME says where files are, and the bridge's are in a folder of its own; leave it out"),
            ("XDG_CONFIG_HOME", "XDG_CONFIG_HOME says where files are, and the bridge's are in a folder of its own; leave it out"),
            ("A=canary", "expected the name of an environment variable, without a value"),
            ("1A", "expected the name of an environment variable, without a value"),
        ],
    )
    def test_no_key_and_no_folder_is_passed_on(self, tmp_path, variable, expected):
        other = '[upstreams.o]\nkind = "openai-chat"\nbase_url = "https://o.example"\napi_key_env = "OWN_KEY"\n'
        routes = '[routes."*"]\ntargets = [{ upstream = "sdk", model = "*" }]\n'
        said = problems(tmp_path, f'{BRIDGE}environment = ["FINE", "{variable}"]\n{other}{routes}', OWN_KEY=KEY)
        assert said == [f"upstreams.sdk.environment[1]: {expected}{FROM}"]

    def test_others_are(self, tmp_path):
        upstream = load(tmp_path, f'{BRIDGE}environment = ["NODE_OPTIONS", "my_proxy", "CURSOR_BRIDGE_LOG"]').settings.upstreams["sdk"]
        assert isinstance(upstream, SdkBridge)
        assert upstream.environment == ("NODE_OPTIONS", "my_proxy", "CURSOR_BRIDGE_LOG")


def test_several_workers_have_several_bridges_and_it_is_said(tmp_path):
    environ: dict[str, Any] = {"PENSTOCK_SERVER__WORKERS": "3"}
    [said] = warnings(load(tmp_path, BRIDGE, **environ).settings)
    assert str(said).startswith("upstreams.sdk: each of 3 workers starts a bridge of its own, and a run that waits for the results of tools ")
    assert not list(warnings(load(tmp_path, '[upstreams.web]\nkind = "website"\n', **environ).settings))


def test_the_operator_s_key_serves_this_machine_alone(tmp_path):
    alice = f'[[auth.keys]]\nname = "alice"\nhash = "sha256:{"1" * 64}"\n'
    toml = f'{alice}{BRIDGE}api_key_env = "MINE"\n'
    assert load(tmp_path, toml, MINE=KEY)
    [said] = problems(tmp_path, toml, MINE=KEY, PENSTOCK_SERVER__HOST="0.0.0.0")
    assert said.startswith("upstreams.sdk.api_key_env: a Cursor key of the operator's is for this machine alone")


def test_no_website_s_models_are_warned_of(tmp_path):
    """A name with gpt in it is a wish for Cursor's own model there, as with Composer."""
    for kind in ("sdk-bridge", "website"):
        toml = f'[upstreams.one]\nkind = "{kind}"\n[routes."gpt-5.2"]\ntargets = [{{ upstream = "one", model = "*" }}]\n'
        assert not list(warnings(load(tmp_path, toml).settings))

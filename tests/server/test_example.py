"""`penstock.example.toml`: each of its set-ups is a file that the program takes, alone and with keys, and serves what it says."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pipeline.credential import Kind
from server.config_routes import warnings
from server.resolver import lead, resolve
from server.settings import Settings
from server.upstream_settings import Anthropic, KeyedUpstream, OpenAICompatible, OpenAIResponses, SdkBridge, Website
from tests.support.documents import ROOT
from tests.support.settings_files import load, usual_umask

TEXT = (ROOT / "penstock.example.toml").read_text(encoding="utf-8")
HEADINGS = re.compile(r"^## (.+?) -{3,}$", re.MULTILINE)
KEYS, *SETUPS = [title.partition(":")[0] for title in HEADINGS.findall(TEXT)]


def blocks() -> Mapping[str, str]:
    """The text below each heading, as it is when its settings are taken out of their comments."""
    _, *parts = HEADINGS.split(TEXT)
    return {title.partition(":")[0]: re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE) for title, text in zip(parts[::2], parts[1::2], strict=True)}


BLOCKS = blocks()
VARIABLES: dict[str, Any] = {name: f"sk-4f9a0c77-{name.lower()}" for name in re.findall(r'api_key_env = "(\w+)"', TEXT)}


@pytest.fixture(autouse=True, scope="module")
def umask():
    with usual_umask():
        yield


@pytest.fixture(params=SETUPS)
def setup(request) -> str:
    return request.param


def test_there_are_seven():
    assert [f"Set-up {number}" for number in range(1, 8)] == SETUPS
    assert KEYS == "Who may come in"
    assert all("#" not in line[:1] or line.startswith("# ") or line == "#" for line in "".join(BLOCKS.values()).splitlines())


def test_as_it_is_it_sets_nothing(tmp_path):
    assert tomllib.loads(TEXT) == {}
    assert load(tmp_path, TEXT).settings == Settings()


OF_CURSOR = {"Set-up 5": SdkBridge, "Set-up 6": Website}
"""Those whose callers bring the upstream's key, so that keys of the gateway's own do not go with them."""


@pytest.mark.parametrize(
    ("setup", "keys"),
    [pytest.param(setup, "", id=f"{setup}, this machine") for setup in SETUPS]
    + [pytest.param(setup, BLOCKS[KEYS], id=f"{setup}, with keys") for setup in SETUPS if setup not in OF_CURSOR],
)
def test_each_is_whole_and_good(tmp_path, setup, keys):
    settings = load(tmp_path, keys + BLOCKS[setup], **VARIABLES).settings
    assert settings.auth.mode == ("keys" if keys else "forward")
    assert not list(warnings(settings))
    routed = {target.upstream for route in settings.routes.values() for target in route.targets}
    assert routed == set(settings.upstreams)
    for upstream in settings.upstreams.values():
        assert isinstance(upstream, KeyedUpstream)
        assert upstream.credential().kind in ((Kind.CALLER,) if setup in OF_CURSOR else (Kind.OWN, Kind.NONE))
    assert all(resolve(settings, name) is not None for name in (*settings.aliases, *settings.routes) if name != "*")


def test_no_key_stands_in_it(tmp_path, setup):
    for name in re.findall(r'api_key_env = "(\w+)"', BLOCKS[setup]):
        upstreams = load(tmp_path, BLOCKS[setup], **VARIABLES).settings.upstreams.values()
        assert VARIABLES[name] in {upstream.credential().key(None) for upstream in upstreams}
        assert VARIABLES[name] not in repr(list(upstreams))
    assert not re.search(r"\b(sk|psk|sk-or)-?[A-Za-z0-9_-]{16,}", TEXT)


@pytest.mark.parametrize(("setup", "kind"), OF_CURSOR.items())
def test_cursor_s_models_are_for_callers_with_their_own_key(tmp_path, setup, kind):
    """They serve others than this machine's user too, and everyone under their own key."""
    settings = load(tmp_path, f'server.public_url = "https://gateway.example"\n{BLOCKS[setup]}').settings
    (upstream,) = settings.upstreams.values()
    assert isinstance(upstream, kind)
    assert not upstream.missing
    assert [found.model_id for name in ("composer-2.5-fast", "gpt-5.2") if (found := lead(settings, name))] == ["composer-2.5-fast", "gpt-5.2"]


def test_its_own_servers_need_no_key_and_the_second_is_asked_behind_the_first(tmp_path):
    settings = load(tmp_path, BLOCKS["Set-up 1"]).settings
    found = resolve(settings, "qwen-coder-high")
    assert found is not None
    assert [each.upstream for each in found.leads] == ["vllm", "ollama"]
    assert (found.effort, found.route.context_overflow) == ("high", "signal")


def test_openrouter_gets_every_id_as_it_is(tmp_path):
    settings = load(tmp_path, BLOCKS["Set-up 2"], **VARIABLES).settings
    asked = {name: found.model_id for name in ("a/b:nitro", "a/b:free", "kimi:nitro", "~moonshotai/kimi-latest") if (found := lead(settings, name))}
    assert asked == {
        "a/b:nitro": "a/b:nitro",
        "a/b:free": "a/b:free",
        "kimi:nitro": "moonshotai/kimi-k2.5",
        "~moonshotai/kimi-latest": "moonshotai/kimi-k2.5",
    }
    assert resolve(settings, "moonshotai/kimi-latest") is None


def test_deepseek_s_reasoning_is_remembered(tmp_path):
    settings = load(tmp_path, BLOCKS["Set-up 3"], **VARIABLES).settings
    assert (settings.reasoning.memory, settings.reasoning.memory_miss) == ("on", "disable")
    upstream = settings.upstreams["deepseek"]
    assert isinstance(upstream, OpenAICompatible)
    assert upstream.reasoning_field


def test_azure_s_key_goes_in_its_own_header_and_its_version_is_in_the_address(tmp_path):
    settings = load(tmp_path, BLOCKS["Set-up 4"], **VARIABLES).settings
    for upstream in settings.upstreams.values():
        assert isinstance(upstream, OpenAIResponses)
        assert upstream.api_key_header == "api-key"
        assert upstream.base_url.endswith("?api-version=preview")
        assert msgspec.to_builtins(upstream.profile)["custom_tools"]


def test_anthropic_s_models_are_served_as_they_are_named_and_one_by_another_vendor(tmp_path):
    settings = load(tmp_path, BLOCKS["Set-up 7"], **VARIABLES).settings
    asked = {name: (found.upstream, found.model_id) for name in ("claude-sonnet-5", "deepseek-v4-pro") if (found := lead(settings, name))}
    assert asked == {"claude-sonnet-5": ("anthropic", "claude-sonnet-5"), "deepseek-v4-pro": ("deepseek", "deepseek-v4-pro")}
    own, other = (settings.upstreams[name] for name in ("anthropic", "deepseek"))
    assert isinstance(own, Anthropic)
    assert isinstance(other, Anthropic)
    assert (own.profile.prompt_cache, own.profile.thinking, own.profile.unsigned_thinking) == (True, "adaptive", False)
    assert (other.profile.thinking, other.profile.unsigned_thinking, other.profile.structured_outputs) == ("budget", True, False)

"""Upstreams by variables: what CURSOR_* and OPENAI_* make, alone, together and beside a file."""

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.credential import Kind
from pipeline.models import LISTED
from server.config import load_settings
from server.config_text import show
from server.problems import SettingsError
from server.settings import Route, Target
from server.upstream_settings import Anthropic, Captured, Composer, OpenAIChat
from tests.support.settings_files import load, problems, usual_umask

CURSOR: dict[str, Any] = {"CURSOR_BACKEND_BASE_URL": "https://b.example", "CURSOR_CHAT_ENDPOINT": "/x.Y/Z"}
OPENAI: dict[str, Any] = {"OPENAI_BASE_URL": "https://o.example/v1", "OPENAI_API_KEY": "sk-4f9a0c77"}
KIMI = '[upstreams.kimi]\nkind = "openai-chat"\nbase_url = "https://k.example"\n'
TO_COMPOSER = Route(targets=(Target(upstream="composer", model="*"),))
TO_OPENAI = Route(targets=(Target(upstream="openai", model="*"),))


@pytest.fixture(autouse=True, scope="module")
def umask():
    with usual_umask():
        yield


class TestCursor:
    def test_alone(self, tmp_path):
        loaded = load(tmp_path, **CURSOR, CURSOR_API_BASE="https://a.example", CURSOR_CLIENT_VERSION="1.2")
        composer = Composer(base_url="https://b.example", endpoint="/x.Y/Z", api_base="https://a.example", client_version="1.2")
        assert loaded.settings.upstreams == {"composer": composer}
        assert loaded.settings.routes == {"*": TO_COMPOSER}
        assert loaded.settings.auth.mode == "forward"
        assert loaded.origins["upstreams.composer.endpoint"] == "CURSOR_CHAT_ENDPOINT"

    def test_in_dotenv(self, tmp_path):
        (tmp_path / ".env").write_text("CURSOR_BACKEND_BASE_URL=https://b.example\nCURSOR_CHAT_ENDPOINT=/x\nCURSOR_CLIENT_VERSION=\n")
        loaded = load(tmp_path)
        assert loaded.settings.upstreams == {"composer": Composer(base_url="https://b.example", endpoint="/x")}
        assert loaded.origins["upstreams.composer.endpoint"] == "CURSOR_CHAT_ENDPOINT in .env"

    def test_beside_a_file(self, tmp_path):
        routes = load(tmp_path, KIMI, **CURSOR).settings.routes
        assert routes["*"].targets[0].upstream == "kimi"
        assert {routes[model] == TO_COMPOSER for model in (*LISTED.split(), "auto")} == {True}

    def test_the_file_s_routes_stay(self, tmp_path):
        routed = '[routes.default]\ntargets = [{ upstream = "kimi", model = "k" }]\n'
        routes = load(tmp_path, KIMI + routed, **CURSOR).settings.routes
        assert routes["default"].targets[0].upstream == "kimi"
        assert routes["composer-2.5"] == TO_COMPOSER
        assert "*" not in routes

    def test_they_fill_what_the_file_s_one_composer_lacks(self, tmp_path):
        file = '[upstreams.mine]\nkind = "composer"\nbase_url = "https://file.example"\nendpoint = ""\n'
        loaded = load(tmp_path, file, **CURSOR)
        assert loaded.settings.upstreams == {"mine": Composer(base_url="https://file.example", endpoint="/x.Y/Z")}
        assert list(loaded.settings.routes) == ["*"]
        assert loaded.origins["upstreams.mine.endpoint"] == "CURSOR_CHAT_ENDPOINT"
        assert loaded.origins["upstreams.mine.base_url"] == str(tmp_path / "penstock.toml")

    def test_a_wrong_one_is_named(self, tmp_path):
        assert problems(tmp_path, **(CURSOR | {"CURSOR_BACKEND_BASE_URL": "b.example"})) == [
            'upstreams.composer.base_url: expected https://host or http://host, with a port or a path if needed, got "b.example" '
            "(from CURSOR_BACKEND_BASE_URL)"
        ]
        assert problems(tmp_path, **(CURSOR | {"CURSOR_CHAT_ENDPOINT": "/\udcff"}))[0] == "CURSOR_CHAT_ENDPOINT: expected text in UTF-8"

    @pytest.mark.parametrize("missing", CURSOR)
    def test_half_of_them(self, tmp_path, missing):
        half = {name: value for name, value in CURSOR.items() if name != missing}
        for environ in (half, half | {missing: ""}):
            [said] = problems(tmp_path, **environ)
            assert said.startswith(f"{missing}: it is not set; ")

    def test_the_name_is_taken(self, tmp_path):
        [said] = problems(tmp_path, KIMI.replace("kimi", "composer"), **CURSOR)
        assert said.startswith("upstreams.composer: CURSOR_BACKEND_BASE_URL and CURSOR_CHAT_ENDPOINT make an upstream of this name")

    def test_others_make_nothing(self, tmp_path):
        environ: dict[str, Any] = dict.fromkeys(CURSOR, "") | {"CURSOR_API_BASE": "https://a.example", "CURSOR_TRACE_ID": "1", "OPENAI_API_KEY": "x"}
        assert load(tmp_path, **environ).settings.upstreams == {"captured": Captured()}


class TestAnthropic:
    """Its variables are what clients are pointed at this gateway with: an upstream made of them would be the gateway itself."""

    def test_they_make_nothing(self, tmp_path):
        environ: dict[str, Any] = {
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787",
            "ANTHROPIC_API_KEY": "sk-4f9a0c77",
            "ANTHROPIC_AUTH_TOKEN": "sk-4f9a0c77",
            "ANTHROPIC_MODEL": "composer-2.5",
        }
        assert load(tmp_path, **environ).settings.upstreams == {"captured": Captured()}

    def test_a_file_may_name_the_key_s(self, tmp_path):
        file = '[upstreams.a]\nkind = "anthropic"\nbase_url = "https://a.example"\napi_key_env = "ANTHROPIC_API_KEY"\n'
        loaded = load(tmp_path, file, ANTHROPIC_API_KEY="sk-4f9a0c77", ANTHROPIC_BASE_URL="http://127.0.0.1:8787")
        upstream = loaded.settings.upstreams["a"]
        assert isinstance(upstream, Anthropic)
        assert (upstream.base_url, upstream.credential().key(None)) == ("https://a.example", "sk-4f9a0c77")


class TestOpenAI:
    def test_alone(self, tmp_path):
        loaded = load(tmp_path, **OPENAI)
        (upstream,) = loaded.settings.upstreams.values()
        assert isinstance(upstream, OpenAIChat)
        assert upstream.base_url == "https://o.example/v1"
        assert upstream.credential().key(None) == "sk-4f9a0c77"
        assert loaded.settings.routes == {"*": TO_OPENAI}
        assert loaded.settings.auth.mode == "open"
        assert "sk-4f9a0c77" not in repr(loaded)
        assert loaded.origins["upstreams.openai.base_url"] == "OPENAI_BASE_URL"

    def test_without_a_key(self, tmp_path):
        upstream = load(tmp_path, OPENAI_BASE_URL="http://127.0.0.1:8000/v1").settings.upstreams["openai"]
        assert upstream.credential().key("callers") is None

    def test_an_empty_key_counts_as_not_set(self, tmp_path):
        loaded = load(tmp_path, **(OPENAI | {"OPENAI_API_KEY": ""}))
        assert loaded.settings == load(tmp_path, OPENAI_BASE_URL=OPENAI["OPENAI_BASE_URL"]).settings
        assert "upstreams.openai.api_key_env" not in loaded.origins

    @pytest.mark.parametrize("key", ["psk_4f9a0c77d1", "cmp_4f9a0c77d1"])
    def test_a_gateway_s_token_is_refused_and_not_shown(self, tmp_path, key):
        [said] = problems(tmp_path, **(OPENAI | {"OPENAI_API_KEY": key}))
        assert "OPENAI_API_KEY holds a gateway's token, which no upstream is ever sent" in said
        assert key not in said

    def test_on_loopback_or_with_keys(self, tmp_path):
        outside: dict[str, Any] = {"PENSTOCK_SERVER__HOST": "0.0.0.0"}
        for more, mode in (({}, "open"), ({"PENSTOCK_AUTH__MODE": "forward"}, "forward")):
            [said] = problems(tmp_path, **OPENAI, **outside, **more)
            assert said.startswith(f'auth.mode: "{mode}" ')
        keys = f'[[auth.keys]]\nname = "a"\nhash = "sha256:{"1" * 64}"\n'
        assert load(tmp_path, keys, **OPENAI, **outside).settings.auth.mode == "keys"

    @pytest.mark.parametrize("file", ['[upstreams.demo]\nkind = "captured"\n', '[routes.a]\ntargets = [{ upstream = "captured", model = "a" }]\n'])
    def test_a_file_that_names_upstreams_or_routes_is_left_alone(self, tmp_path, file):
        with_them = load(tmp_path, file, **OPENAI).settings
        assert with_them == load(tmp_path, file).settings
        assert "openai" not in with_them.upstreams


EVERY_KIND = """
[upstreams.demo]
kind = "captured"
[upstreams.composer]
kind = "composer"
api_key_env = "OWN_KEY"
tools = { unknown = "pass" }
[upstreams.sdk]
kind = "sdk-bridge"
[upstreams.web]
kind = "website"
credential = "none"
tools = { strict = false }
[upstreams.local]
kind = "openai-chat"
base_url = "http://127.0.0.1:8000/v1"
[routes."*"]
targets = [{ upstream = "sdk", model = "*" }]
"""


class TestToolStrict:
    def test_every_upstream_that_has_it_and_does_not_say_it_gets_it(self, tmp_path):
        loaded = load(tmp_path, EVERY_KIND, KILO_TOOL_STRICT="true", OWN_KEY="sk-4f9a0c77")
        strict = {name: upstream.reading().strict_tool_choice for name, upstream in loaded.settings.upstreams.items()}
        assert strict == {"demo": True, "composer": True, "sdk": True, "web": False, "local": False}
        of_it = {path for path, origin in loaded.origins.items() if origin == "KILO_TOOL_STRICT"}
        assert of_it == {f"upstreams.{name}.tools.strict" for name in ("demo", "composer", "sdk")}
        composer = loaded.settings.upstreams["composer"]
        assert isinstance(composer, Composer)
        assert composer.tools.unknown == "pass"

    @pytest.mark.parametrize(
        ("text", "value"), [("true", True), ("1", True), ("TRUE", True), ("false", False), ("0", False), (" ", None), ("", None)]
    )
    def test_what_it_may_say(self, tmp_path, text, value):
        loaded = load(tmp_path, KILO_TOOL_STRICT=text)
        assert loaded.settings.upstreams["captured"].reading().strict_tool_choice is bool(value)
        assert ("upstreams.captured.tools.strict" in loaded.origins) is (value is not None)
        assert (loaded.settings.auth.mode, list(loaded.settings.routes)) == ("open", ["*"])

    def test_anything_else_is_named(self, tmp_path):
        assert problems(tmp_path, KILO_TOOL_STRICT="yes") == ['KILO_TOOL_STRICT: expected true or false, got "yes"']
        assert problems(tmp_path, KILO_TOOL_STRICT="\udcff")[0] == "KILO_TOOL_STRICT: expected text in UTF-8"

    def test_of_those_that_variables_make_too(self, tmp_path):
        (tmp_path / ".env").write_text("KILO_TOOL_STRICT=true\n")
        loaded = load(tmp_path, **CURSOR, **OPENAI)
        assert list(loaded.settings.upstreams) == ["composer", "openai"]
        assert loaded.settings.upstreams["composer"].reading().strict_tool_choice
        assert loaded.origins["upstreams.composer.tools.strict"] == "KILO_TOOL_STRICT in .env"
        shown = show(loaded)
        assert "# set by KILO_TOOL_STRICT in .env: composer.tools.strict\n" in shown
        assert tomllib.loads(shown)["upstreams"]["composer"]["tools"]["strict"] is True

    @pytest.mark.parametrize(
        "toml", ["upstreams = 1", '[upstreams.a]\nkind = ["x"]', '[upstreams.a]\nkind = "composer"\ntools = 1', "[upstreams]\na = 1"]
    )
    def test_a_file_of_another_shape_is_named_and_nothing_raises(self, tmp_path, toml):
        assert problems(tmp_path, toml, KILO_TOOL_STRICT="true")


def test_both(tmp_path):
    settings = load(tmp_path, **CURSOR, **OPENAI).settings
    assert list(settings.upstreams) == ["composer", "openai"]
    assert (settings.routes["composer-2.5"], settings.routes["auto"], settings.routes["*"]) == (TO_COMPOSER, TO_COMPOSER, TO_OPENAI)
    assert "gpt-4o" not in settings.routes
    assert settings.auth.mode == "forward"


@pytest.mark.parametrize(
    "toml", ["upstreams = 1", "[upstreams]\na = 1", "routes = 1", "[upstreams]\ncomposer = 1", '[upstreams.a]\nkind = ["composer"]']
)
def test_a_file_of_another_shape_is_named_and_nothing_raises(tmp_path, toml):
    for environ in (CURSOR, OPENAI, CURSOR | OPENAI):
        assert problems(tmp_path, toml, **environ)


texts = st.sampled_from(["", "a", "*", "OWN_KEY", "caller", "https://a.example", "http://a.example", "https://u:p@[", "/x", "//x", "\0"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
upstream_tables = st.fixed_dictionaries(
    {"kind": st.sampled_from(["composer", "sdk-bridge", "website", "openai-chat", "openai-responses", "anthropic", "captured"])},
    optional=dict.fromkeys(("base_url", "endpoint", "api_base", "client_version", "url", "credential", "api_key_env", "api_key_file"), texts)
    | {"command": st.lists(texts, max_size=2), "environment": st.lists(texts, max_size=2)}
    | {"headers": st.dictionaries(texts, texts, max_size=2)},
)
key_tables = st.fixed_dictionaries({"name": texts, "hash": texts}, optional={"models": st.lists(texts, max_size=2)})
trees = st.fixed_dictionaries(
    {},
    optional={
        "auth": st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["open", "forward", "keys"]), "keys": st.lists(key_tables, max_size=3)}),
        "upstreams": st.dictionaries(texts, upstream_tables, max_size=3),
        "aliases": st.dictionaries(texts, texts, max_size=2),
    },
)


@hypothesis_settings(deadline=None)
@given(tree=trees, environ=st.dictionaries(st.sampled_from([*CURSOR, *OPENAI, "CURSOR_API_BASE", "KILO_TOOL_STRICT", "OWN_KEY"]), texts))
def test_any_file_and_any_variables_are_settings_or_problems(tmp_path_factory, tree, environ):
    cwd = tmp_path_factory.mktemp("any")
    (cwd / "penstock.toml").write_text(tomli_w.dumps(tree), newline="")
    try:
        loaded = load_settings(overrides={}, config=None, environ=environ, cwd=cwd)
    except SettingsError:
        return
    upstreams = loaded.settings.upstreams.values()
    assert sum(upstream.credential().kind is Kind.CALLER for upstream in upstreams) <= (loaded.settings.auth.mode == "forward")

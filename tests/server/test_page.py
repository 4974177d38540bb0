"""The page at `/`: its commands answer, its blocks are valid, its tables are the program's, nothing hostile runs in it, and no secret is in it."""

import base64
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest
import trio

from pipeline.credential import Secret
from pipeline.models import Model
from pipeline.parameters import ANY_OTHER, PARAMETERS, Family
from server.app import create_app
from server.config_schema import structs_of
from server.first_request import example_body
from server.keys import hash_of, new_key
from server.lifecycle import Lifecycle
from server.live_models import Asked
from server.routes.pages import CONTENT_SECURITY_POLICY
from server.settings import Auth, GatewayKey, Route, Settings, Target
from server.upstream_settings import Anthropic, Captured, Composer, OpenAIChat, OpenAIResponses, SdkBridge, Upstream, Website
from server.web.commands import Curl
from server.web.page import ENDPOINTS, FAMILIES, facts, key_state
from server.web.setups import Place, Setup, setups
from tests.support.gateway_server import gateway_from, running_server
from tests.support.html import Page
from tests.support.listing_server import listing
from tests.support.processes import ServerProcess, clean_environment, server_process
from tests.support.raw_server import REQUEST, Pause, raw_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "</pre></script><script>alert('1')</script>\"><img src=x onerror=alert(2)>&amp;'$(id)`id`\\"


@pytest.fixture(scope="module")
def server() -> Generator[ServerProcess, None, None]:
    """The embedded demo, as `penstock serve` starts it."""
    with server_process() as running:
        yield running


@pytest.fixture(scope="module")
def page(server: ServerProcess) -> Page:
    return Page(httpx.get(server.url, trust_env=False).text)


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False, env=clean_environment(NO_PROXY="*"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands(page: Page) -> list[str]:
    return [element.text for element in page.of("pre") if element.text.startswith("curl ")]


def check_answer(command: str) -> None:
    shown = shell(command.replace("curl ", "curl -sS ", 1))
    if command.startswith("curl -N "):
        assert shown.startswith('data: {"id":"chatcmpl-')
        assert shown.endswith("data: [DONE]\n\n")
        return
    answer = json.loads(shown)
    assert "error" not in answer, (command, answer)
    if "/v1/messages" in command:
        assert ("input_tokens" in answer) if "count_tokens" in command else answer["content"][0]["text"]
    if "calculator" in command:
        (call,) = answer["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "calculator"
        assert json.loads(call["function"]["arguments"]).keys() == {"expression"}


def test_every_command_answers(page):
    found = commands(page)
    assert len(found) > 70
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check_answer, found))


def test_every_model_that_is_served_has_a_card_or_is_a_recording(server, page):
    ids = {card["id"] for card in httpx.get(f"{server.url}/v1/models", trust_env=False).json()["data"]}
    cards = {element.text for element in page.of("span") if element.attributes.get("class") == "id"}
    recordings = {element.text for element in page.of("code") if element.text.startswith("captured/")}
    assert cards | recordings == ids
    assert recordings


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["location"],
        },
    },
}

# requests as other gateways' documents show them: path, model, and further fields of the body
DOCUMENTED = {
    "/cursor, streamed": ("/cursor/v1/chat/completions", "claude-3.7-sonnet-thinking", {"stream": True}),
    "/cursor, a tool": ("/cursor/v1/chat/completions", "gpt-4o", {"tools": [WEATHER], "stream": False}),
    "whole": ("/v1/chat/completions", "gemini-3-flash", {"stream": False}),
    "streamed": ("/v1/chat/completions", "anthropic/gemini-3-flash-thinking", {"stream": True}),
    "a chosen tool": ("/v1/chat/completions", "claude-sonnet-4-5-20250929", {"tools": [WEATHER], "tool_choice": "auto"}),
}


@pytest.mark.parametrize(("path", "model", "fields"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_requests_of_other_documents_answer(server, path, model, fields):
    check_answer(Curl(server.url, "any").chat(model, "What is the weather like in Boston today?", path=path, **fields))


def shown_path(rule: str) -> str:
    """A rule as the page writes it; of the bases that are one for Cursor the first."""
    path = rule.replace("<path:model_id>", "{id}").replace("<path:deployment>", "{model}").replace("<response_id>", "{id}")
    path = path.rstrip("/") or path
    return re.sub(r"^(/cursor|/openai/deployments/\{model\})((?:/v1|/chat/completions)*)(/chat/completions|/models.*)$", r"\1\3", path)


def test_the_endpoints_are_those_of_the_app():
    app = create_app(Settings(), {}, Lifecycle(1))
    served = {(method, shown_path(rule.rule)) for rule in app.url_map.iter_rules() for method in (rule.methods or ()) if method}
    shown = {(row.method, row.path) for row in ENDPOINTS}
    assert {(method, path) for method, path in served if method in ("GET", "POST", "DELETE", "PUT")} == shown
    assert len(shown) == len(ENDPOINTS)


def test_the_tables_are_the_programs(page):
    rows = [row.text for row in page.of("tr")]
    for parameter in PARAMETERS:
        name = "any other field" if parameter.name == ANY_OTHER else parameter.name
        told = parameter.composer.says.replace("`", "")
        assert f"{name}{parameter.values}{parameter.takes}{parameter.composer.effect} {told}" in rows
    for status, code, types in (
        (404, "model_not_found", "invalid_request_errornot_found_error"),
        (424, "upstream_not_configured", "upstream_errorapi_error"),
        (413, "request_too_large", "invalid_request_errorrequest_too_large"),
        (401, "invalid_api_key", "authentication_errorauthentication_error"),
    ):
        assert any(row.startswith(f"{status}{code}{types}") for row in rows)


def to(upstream: str, model: str = "*") -> Route:
    return Route(targets=(Target(upstream=upstream, model=model),))


@pytest.mark.parametrize(
    ("upstreams", "families"),
    [
        ({"a": Captured()}, [Family.COMPOSER]),
        ({"a": OpenAIChat(base_url="https://a.example")}, [Family.OPENAI_CHAT]),
        (
            {"a": OpenAIResponses(base_url="https://a.example"), "b": OpenAIChat(base_url="https://a.example")},
            [Family.OPENAI_CHAT, Family.OPENAI_RESPONSES],
        ),
        ({"a": OpenAIChat(base_url="https://a.example"), "b": Composer()}, [Family.COMPOSER, Family.OPENAI_CHAT]),
        ({"a": Anthropic(base_url="https://a.example"), "b": Captured()}, [Family.COMPOSER, Family.ANTHROPIC]),
        ({"a": Website(), "b": SdkBridge()}, [Family.SDK_BRIDGE, Family.WEBSITE]),
    ],
)
def test_parameters_are_told_for_the_upstreams_that_there_are(upstreams, families):
    shown = facts(Settings(upstreams=upstreams, routes={"*": to("a")}), "http://a", [])
    assert shown["families"] == families
    assert {len(row.outcomes) for row in shown["parameters"]} == {len(families)}


def test_every_kind_of_upstream_has_its_family():
    assert set(FAMILIES) == set(structs_of(Upstream))
    assert set(FAMILIES.values()) == set(Family)


def check_policy(page: Page, headers: httpx.Headers) -> None:
    """Nothing is loaded from elsewhere, and what runs is what the policy names by its hash."""
    policy = headers["content-security-policy"]
    assert policy == CONTENT_SECURITY_POLICY
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (element,) = page.of(tag)
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()}'" in policy
    for element in page.elements:
        assert not [name for name in element.attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")], element.tag
        assert element.attributes.get("href", "#").startswith(("#", "data:image/svg+xml,"))
    assert not {element.tag for element in page.elements} & {"img", "iframe", "object", "form", "base"}


def test_it_loads_nothing_and_runs_only_its_own_script(server, page):
    answer = httpx.get(server.url, trust_env=False)
    check_policy(page, answer.headers)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_hostile_names_are_text():
    upstreams: dict[str, Upstream] = {HOSTILE: OpenAIChat(base_url="http://127.0.0.1:9/v1")}
    settings = Settings(upstreams=upstreams, routes={HOSTILE: to(HOSTILE)}, aliases={HOSTILE * 2: HOSTILE})
    async with running_server(settings, public_url=f"http://127.0.0.1/{HOSTILE}") as server, server.client() as client:
        answer = await client.get("/")
    page = Page(answer.text)
    check_policy(page, answer.headers)
    assert {element.text for element in page.of("span") if element.attributes.get("class") == "id"} == {HOSTILE, HOSTILE * 2}
    for command in commands(page):
        words = shlex.split(command)
        if "-d" in words:
            assert json.loads(words[words.index("-d") + 1])["model"] in (HOSTILE, HOSTILE * 2)


async def test_hostile_words_of_an_upstreams_list_are_text(tmp_path):
    entry = {"id": HOSTILE, "name": HOSTILE, "owned_by": HOSTILE}
    async with raw_server(listing(entry, "llama-4")) as upstream:
        toml = f'[upstreams.local]\nkind = "openai-chat"\nbase_url = "{upstream.url("/v1")}"\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            answers = [await client.get("/") for _ in range(3)]
        assert len(upstream.requests) == 1
    page = Page(answers[0].text)
    check_policy(page, answers[0].headers)
    assert [element.text for element in page.of("span") if element.attributes.get("class") == "id"] == [HOSTILE, "llama-4"]
    assert [element.text for element in page.of("h3")][-2:] == [HOSTILE, "vendor"]


async def test_a_slow_upstream_does_not_hold_the_page(tmp_path):
    async with raw_server([REQUEST]) as upstream:
        toml = f'[upstreams.local]\nkind = "openai-chat"\nbase_url = "{upstream.url("/v1")}"\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            answers = [await client.get("/") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.elapsed.total_seconds() for answer in answers) < 2.5
    assert "has not said which" in answers[0].text
    assert len(upstream.peers) == 1


async def test_a_later_view_has_what_an_earlier_one_did_not_wait_for(tmp_path):
    _, told, close = listing("llama-4")
    async with raw_server([REQUEST, Pause(1.5), told, close]) as upstream:
        toml = f'[upstreams.local]\nkind = "openai-chat"\nbase_url = "{upstream.url("/v1")}"\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            first = await client.get("/")
            await trio.sleep(1.0)
            later = await client.get("/")
    assert "llama-4" not in first.text
    assert '<span class="id">llama-4</span>' in later.text
    assert "has not said which" not in later.text
    assert len(upstream.peers) == 1


async def test_a_page_that_waits_does_not_hold_the_end(tmp_path):
    async with raw_server([REQUEST]) as upstream:
        toml = f'[upstreams.local]\nkind = "openai-chat"\nbase_url = "{upstream.url("/v1")}"\n'
        async with gateway_from(tmp_path, toml, mode="open") as server, server.client() as client:
            await client.get("/")
            server.lifecycle.stopping.set()
            with trio.fail_after(3):
                await server.finished.wait()


LOCAL = OpenAIChat(base_url="http://127.0.0.1:9/v1")
ANY_TO_LOCAL = {"*": to("a")}
# settings, what came of asking, whether a model is known -> what is said of those that are not
NOTES: dict[str, tuple[Settings, Asked, list[str], str]] = {
    "forward": (
        Settings(auth=Auth(mode="forward"), upstreams={"a": OpenAIChat(base_url="https://a.example", credential_word="caller")}, routes=ANY_TO_LOCAL),
        Asked.NOT_ASKED,
        [],
        "GET /v1/models asks it, with your key.",
    ),
    "keys": (
        Settings(auth=Auth(mode="keys"), upstreams={"a": LOCAL}, routes=ANY_TO_LOCAL),
        Asked.NOT_ASKED,
        [],
        "asks it, with the key that the gateway has for it, or with none.",
    ),
    "open, not yet": (Settings(auth=Auth(mode="open"), upstreams={"a": LOCAL}, routes=ANY_TO_LOCAL), Asked.PENDING, [], "has not said which. Load"),
    "open, a fault": (Settings(auth=Auth(mode="open"), upstreams={"a": LOCAL}, routes=ANY_TO_LOCAL), Asked.FAILED, [], "the log has the reason."),
    "open, some told": (Settings(auth=Auth(mode="open"), upstreams={"a": LOCAL}, routes=ANY_TO_LOCAL), Asked.TOLD, ["m"], ""),
    "open, none told": (Settings(auth=Auth(mode="open"), upstreams={"a": LOCAL}, routes=ANY_TO_LOCAL), Asked.TOLD, [], "says that it serves none."),
    "more than is shown": (
        Settings(auth=Auth(mode="open"), upstreams={"a": LOCAL}, routes={"m": to("a"), "*": to("a")}),
        Asked.FAILED,
        ["m"],
        "serves every other id that it knows. It was asked",
    ),
    "a bridge": (
        Settings(auth=Auth(mode="forward"), upstreams={"a": SdkBridge()}, routes=ANY_TO_LOCAL),
        Asked.NOT_ASKED,
        ["composer-2.5"],
        "serves every other id that it knows, and is not asked for this page. GET /v1/models asks it, with your key.",
    ),
    "nobody to ask": (Settings(auth=Auth(mode="open"), upstreams={"a": LOCAL}, routes={"*": to("a", "m")}), Asked.NOT_ASKED, ["m"], ""),
    "nothing": (Settings(upstreams={"a": Captured()}, routes={"llama": to("a")}), Asked.NOT_ASKED, [], "No route leads to a model"),
}


@pytest.mark.parametrize(("settings", "asked", "models", "note"), NOTES.values(), ids=NOTES)
def test_of_models_that_are_not_shown_is_said_what_is_true(settings, asked, models, note):
    shown = facts(settings, "http://a", [Model(each, each, "o") for each in models], asked)
    said = "".join(text for text, _ in shown["models_note"])
    assert (note in said) if note else not said


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_what_models_guards_is_not_on_a_page_for_strangers(host):
    key = new_key()
    settings = Settings(
        auth=Auth(mode="keys", keys=(GatewayKey(name="alice", hash=hash_of(key)),)),
        upstreams={"private-upstream": LOCAL, "private-demo": Captured()},
        routes={"private-route": to("private-upstream"), "captured/one-call": to("private-demo"), "*": to("private-upstream", "private-model")},
        aliases={"private-alias": "private-route"},
    )
    async with running_server(settings, host=host) as server, server.client() as client:
        text = (await client.get("/")).text
        listed = await client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    words = (
        "private-upstream",
        "private-demo",
        "private-route",
        "private-model",
        "private-alias",
        "captured/one-call",
        "no key is sent",
        "needs no key",
    )
    assert {card["id"] for card in listed.json()["data"]} == {"private-route", "private-model", "private-alias", "captured/one-call"}
    assert [word for word in words if word in text] == ([] if host == "0.0.0.0" else list(words))
    assert ("<code>GET /v1/models</code> with your key" in text) == (host == "0.0.0.0")


def test_only_the_demo_has_recordings():
    """Another server may call a model of its own so."""
    settings = Settings(upstreams={"a": LOCAL, "demo": Captured()}, routes={"*": to("a"), "captured/one-call": to("demo")})
    shown = facts(settings, "http://a", [Model(each, each, "o") for each in ("captured/fake", "captured/one-call")], Asked.TOLD)
    assert shown["recordings"] == ["captured/one-call"]
    assert [card.model.id for _, cards in shown["groups"] for card in cards] == ["captured/fake"]


def fish_words(line: str) -> list[str]:
    """A line's words as fish reads them: between single quotes a backslash escapes a backslash or a single quote, and is itself elsewhere."""
    words, word, quote, place = list[str](), "", "", 0
    while place < len(line):
        sign = line[place]
        if quote == "'" and sign == "\\" and line[place + 1] in "\\'":
            word, place = word + line[place + 1], place + 1
        elif sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote = sign
        elif not quote and sign == " ":
            words, word = [*words, word], ""
        else:
            assert not (quote == '"' and sign in "\\$"), "not modelled"
            word += sign
        place += 1
    return [*words, word]


@pytest.mark.parametrize("model", ["back\\slash", "two\\\\", "\\'", "it's", 'a "b" \\"', "end\\", HOSTILE])
def test_a_command_says_the_same_in_fish(model):
    for command in (Curl("http://a", "k").chat(model), Curl("http://a", "k").hello(model), f"-d {example_body_of(model)}"):
        body = fish_words(command.partition("-d ")[2])
        assert len(body) == 1
        assert json.loads(body[0])["model"] == model
        assert json.loads(shlex.split(command)[-1])["model"] == model


def example_body_of(model: str) -> str:
    return example_body(Settings(upstreams={"a": LOCAL}, routes={model: to("a")}))


KEY = "sk-operator-0123456789abcdef"
STATES: dict[str, tuple[Upstream, str, str]] = {
    "demo": (Captured(), "open", "needs no key"),
    "caller's": (OpenAIChat(base_url="https://a.example", credential_word="caller"), "forward", "the caller's own key"),
    "Composer": (Composer(base_url="https://a.example", endpoint="/chat"), "forward", "the caller's own key"),
    "caller's, in mode keys": (
        Composer(base_url="https://a.example", endpoint="/c"),
        "keys",
        "the caller's own key, which mode keys does not pass on",
    ),
    "none": (OpenAIChat(base_url="https://a.example"), "open", "no key is sent"),
    "environment": (OpenAIChat(base_url="https://a.example", api_key_env=KEY, api_key=Secret(KEY)), "keys", "key from the environment: set"),
    "environment, not set": (OpenAIChat(base_url="https://a.example", api_key_env="KEY_A"), "keys", "key from the environment: not set"),
    "file": (OpenAIChat(base_url="https://a.example", api_key_file="/secret", api_key=Secret(KEY)), "keys", "key from a file: set"),
    "not configured": (Composer(), "forward", "not configured yet: base_url and endpoint not set"),
    "bridge": (SdkBridge(), "forward", "the caller's own key"),
    "bridge with a key": (SdkBridge(api_key_env="KEY_A", api_key=Secret(KEY)), "open", "key from the environment: set"),
    "website": (Website(url="https://w.example"), "forward", "the caller's own key"),
    "website without a key": (Website(url="https://w.example", credential_word="none"), "open", "no key is sent"),
    "website, not configured": (Website(), "forward", "not configured yet: url not set"),
}


@pytest.mark.parametrize(("upstream", "mode", "state"), STATES.values(), ids=STATES)
def test_of_a_key_only_its_state_is_said(upstream, mode, state):
    assert key_state(upstream, mode) == state


async def test_no_secret_is_in_the_page():
    upstreams: dict[str, Upstream] = {
        "a": OpenAIChat(base_url="http://127.0.0.1:9/private-path/v1", api_key_env="NAME_OF_A_VARIABLE", api_key=Secret(KEY)),
        "b": Composer(base_url="https://backend.example", endpoint="/hidden", headers={"cookie": "hunter2hunter2"}),
    }
    settings = Settings(upstreams=upstreams, routes={"*": to("a"), "composer-2.5": to("b")}, auth=Auth(mode="open"))
    async with running_server(settings) as server, server.client() as client:
        text = (await client.get("/")).text
    for secret in (KEY, "NAME_OF_A_VARIABLE", "private-path", "backend.example", "/hidden", "hunter2", "cookie"):
        assert secret not in text
    assert "key from the environment: set" in text


@pytest.mark.parametrize(("mode", "key"), [("open", "any"), ("keys", "psk_YOUR_KEY"), ("forward", "YOUR_UPSTREAM_KEY")])
def test_the_key_to_paste_is_the_modes(mode, key):
    shown = facts(Settings(auth=Auth(mode=mode)), "https://gate.example", [Model("m", "M", "o")])
    assert all(key in setup.text for setup in shown["setups"])
    texts = [shown["hello"], *(command.text for command in shown["examples"]), *(card.curl for _, cards in shown["groups"] for card in cards)]
    with_key = [text for text in texts if f"Authorization: Bearer {key}" in text]
    assert len(with_key) == (0 if mode == "open" else len(texts) - 1)  # the probe needs none


async def test_the_public_address_is_what_is_shown():
    settings = Settings(auth=Auth(mode="forward"), upstreams={"c": Composer(base_url="https://b.example", endpoint="/c")}, routes={"*": to("c")})
    async with running_server(settings, public_url="https://gate.example/base/") as server, server.client() as client:
        page = Page((await client.get("/")).text)
    assert page.of("strong")[0].text == "https://gate.example/base/v1"
    assert all("https://gate.example/base/" in command for command in commands(page))


@pytest.mark.parametrize(("count", "cards"), [(199, 199), (201, 200)])
def test_a_long_list_is_counted(count, cards):
    shown = facts(Settings(), "http://a", [Model(f"m{number}", "M", f"o{number % 3}") for number in range(count)])
    assert sum(len(group) for _, group in shown["groups"]) == cards
    assert (shown["model_count"], shown["hidden_count"]) == (count, count - cards)
    assert [owner for owner, _ in shown["groups"]] == ["o0", "o1", "o2"]


# -- client set-ups ----------------------------------------------------------------------------------------------------------------------------


ODD_MODEL = Model('vendor/it\'s "odd" $(id) `id` \\ é:free', 'It\'s "odd" \\ # :', "o", 100_000)


def blocks(model: Model, base_url: str = "http://127.0.0.1:8787", key: str = "any") -> dict[str, Setup]:
    return {setup.client: setup for setup in setups(Place(base_url, key, model))}


@pytest.mark.parametrize("model", [Model("composer-2.5", "Composer 2.5", "cursor", 200_000), ODD_MODEL, Model("x", "X", "o")])
def test_opencode_and_kilo(model):
    for client, path in (("OpenCode", "/opencode/v1"), ("Kilo Code", "/v1")):
        block = json.loads(blocks(model)[client].text)
        provider = block["provider"]["penstock"]
        assert provider["npm"] == "@ai-sdk/openai-compatible"
        assert provider["options"] == {"baseURL": f"http://127.0.0.1:8787{path}", "apiKey": "any"}
        assert provider["models"][model.id]["name"] == model.name
        assert block["model"] == f"penstock/{model.id}"
        limit = provider["models"][model.id].get("limit")
        assert limit == (
            None if model.context_window is None else {"context": model.context_window, "output": min(32_000, model.context_window // 4)}
        )


def test_continue_holds_json_strings_which_are_yaml():
    lines = blocks(ODD_MODEL)["Continue"].text.splitlines()
    values = {name.strip(" -"): msgspec.json.decode(value) for name, _, value in (line.partition(": ") for line in lines) if value.startswith('"')}
    assert values == {"name": ODD_MODEL.name, "model": ODD_MODEL.id, "apiBase": "http://127.0.0.1:8787/v1", "apiKey": "any"}


@pytest.mark.parametrize("interpreter", ["sh", "bash", "zsh"])
def test_aider_survives_a_shell(interpreter):
    if shutil.which(interpreter) is None:
        pytest.skip(f"{interpreter} is not installed")
    script = 'aider() { printf "%s\\n" "$OPENAI_API_BASE" "$OPENAI_API_KEY" "$@"; }\n' + blocks(ODD_MODEL, key="it's")["aider"].text
    said = subprocess.run([interpreter, "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["http://127.0.0.1:8787/v1", "it's", "--model", f"openai/{ODD_MODEL.id}"]


@pytest.mark.parametrize("model", [Model("composer-2.5", "Composer 2.5", "cursor", 200_000), ODD_MODEL, Model("x", "X", "o")])
def test_codex_gets_a_file_of_toml_and_an_environment(model):
    block = blocks(model, key="it's")["Codex"].text
    settings = tomllib.loads(block)
    assert (settings["model"], settings["model_provider"], settings.get("model_context_window")) == (model.id, "penstock", model.context_window)
    provider = settings["model_providers"]["penstock"]
    assert (provider["base_url"], provider["wire_api"]) == ("http://127.0.0.1:8787/v1", "responses")
    [exported] = [line.partition("export ")[2] for line in block.splitlines() if "export " in line]
    said = subprocess.run(["sh", "-c", f'{exported}; printf %s "$PENSTOCK_API_KEY"'], capture_output=True, text=True, check=True).stdout
    assert (exported.partition("=")[0], said) == (provider["env_key"], "it's")


@pytest.mark.parametrize("model", [Model("composer-2.5", "Composer 2.5", "cursor", 200_000), ODD_MODEL, Model("x", "X", "o")])
def test_claude_code_gets_an_environment(model):
    block = blocks(model, key="it's")["Claude Code"].text
    names = re.findall(r"^export (\w+)=", block, re.MULTILINE)
    said = subprocess.run(["sh", "-c", f"{block}printf '%s\\0' " + " ".join(f'"${name}"' for name in names)], capture_output=True, check=True)
    variables = dict(zip(names, said.stdout.decode().split("\0"), strict=False))
    window = {} if model.context_window is None else {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(model.context_window)}
    assert variables == window | {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787",
        "ANTHROPIC_AUTH_TOKEN": "it's",
        "ANTHROPIC_MODEL": model.id,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model.id,
    }


def test_the_python_block_prints_an_answer(server):
    block = blocks(Model("composer-2.5", "Composer 2.5", "cursor"), server.url)["OpenAI for Python"]
    said = subprocess.run(
        [sys.executable, "-c", block.text], capture_output=True, text=True, timeout=60, check=True, env=clean_environment(NO_PROXY="*")
    ).stdout
    assert "demo" in said


@pytest.mark.parametrize("client", ["OpenAI for Python", "Anthropic for Python"])
def test_the_python_block_is_python_whatever_the_model(client):
    compile(blocks(ODD_MODEL)[client].text, "block", "exec")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("client", ["OpenAI for Node", "Anthropic for Node"])
def test_the_node_block_is_javascript(tmp_path, client):
    (tmp_path / "block.mjs").write_text(blocks(ODD_MODEL)[client].text, encoding="utf-8")
    subprocess.run(["node", "--check", str(tmp_path / "block.mjs")], check=True, capture_output=True, timeout=30)


def test_cline_is_told_where_and_what():
    said = {line[:14].strip(): line[14:] for line in blocks(Model("m", "M", "o"))["Cline"].text.splitlines()}
    assert said == {"API Provider": "OpenAI Compatible", "Base URL": "http://127.0.0.1:8787/v1", "API Key": "any", "Model ID": "m"}


# -- a real browser ----------------------------------------------------------------------------------------------------------------------------


def browse(url: str, *options: str, folder: object) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    common = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=1000")
    command = [CHROMIUM, *common, f"--user-data-dir={folder}", *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the page is looked at in a real browser where there is one")
def test_a_browser_shows_it(server, tmp_path):
    shown = browse(server.url, "--dump-dom", folder=tmp_path / "profile")
    assert 'class="copy"' in shown.stdout, "the script did not run: the policy's hash does not fit"
    assert "Content Security Policy" not in shown.stderr
    for name, width, height in (("desk", 1280, 1600), ("phone", 500, 1600)):
        picture = tmp_path / f"{name}.png"
        browse(server.url, f"--window-size={width},{height}", f"--screenshot={picture}", folder=tmp_path / "profile")
        data = picture.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(data[16:20], "big") == width
        assert len(data) > 40_000, "an empty page is a small picture"

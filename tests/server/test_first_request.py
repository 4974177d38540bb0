"""The request that a newcomer is shown is one that works: in the banner and on the first page, with whatever is configured."""

import json
import re
import shlex
import subprocess

import pytest

from pipeline.errors import ModelNotFound
from server.banner import banner
from server.first_request import PLACEHOLDER, example_body, served_models
from server.routing import Routing
from server.settings import Route, Settings, Target
from server.upstream_settings import Captured, Composer, OpenAIChat, Upstream
from server.upstreams import open_upstreams
from tests.support.gateway_server import running_server

LOCAL = OpenAIChat(base_url="http://127.0.0.1:11434/v1")
COMPOSER = Composer(base_url="https://backend.example", endpoint="/chat")
UPSTREAMS: dict[str, Upstream] = {"local": LOCAL, "composer": COMPOSER, "demo": Captured()}


def to(upstream: str, model: str = "*") -> Route:
    return Route(targets=(Target(upstream=upstream, model=model),))


def settings_with(routes: dict[str, Route], aliases: dict[str, str] | None = None) -> Settings:
    return Settings(upstreams=UPSTREAMS, routes=routes, aliases=aliases or {})


CASES = {
    "a local server behind * alone": ({"*": to("local")}, None),
    "Composer behind *": ({"*": to("composer")}, "composer-2.5"),
    "the demo behind *": ({"*": to("demo")}, "composer-2.5"),
    "a named route": ({"*": to("composer"), "kimi-k3": to("local")}, "kimi-k3"),
    "the first named route": ({"b": to("local"), "a": to("local")}, "b"),
    "a name that Composer does not know": ({"llama": to("composer"), "composer-2": to("composer")}, "composer-2"),
    "another name for Composer's": ({"mine": to("composer", "composer-2.5-fast")}, "mine"),
    "a recording": ({"captured/one-call": to("demo"), "*": to("local")}, "captured/one-call"),
    "every id is one of the upstream's": ({"*": to("local", "llama")}, "llama"),
    "every id is one that Composer does not know": ({"*": to("composer", "llama")}, None),
}


@pytest.mark.parametrize(("routes", "model"), CASES.values(), ids=CASES)
async def test_the_model_is_one_that_is_served(routes, model):
    settings = settings_with(routes)
    assert next(served_models(settings), None) == model
    async with open_upstreams(settings) as upstreams:
        routing = Routing(settings, upstreams)
        for served in served_models(settings):
            assert routing.find(served)
        if "llama" in routes:
            with pytest.raises(ModelNotFound):
                routing.find("llama")


def test_an_upstream_s_models_are_those_that_lead_to_it():
    settings = settings_with({"a": to("local"), "composer-2": to("demo"), "*": to("composer")})
    served = {name: list(served_models(settings, name)) for name in UPSTREAMS}
    assert served == {"local": ["a"], "demo": ["composer-2"], "composer": ["composer-2.5"]}


def test_a_target_behind_the_first_is_led_to_as_well():
    both = Route(targets=(Target(upstream="composer", model="no-such"), Target(upstream="local", model="llama")))
    settings = settings_with({"a": both, "*": to("composer")})
    served = {name: list(served_models(settings, name)) for name in UPSTREAMS}
    assert served == {"local": ["a"], "demo": [], "composer": ["composer-2.5"]}
    assert next(served_models(settings)) == "a"


@pytest.mark.parametrize(
    ("routes", "aliases"), [({"composer-2.5": to("local"), "*": to("composer")}, {}), ({"*": to("composer")}, {"composer-2.5": "x"})]
)
def test_an_id_that_leads_elsewhere_is_not_one_of_the_route_for_all_others(routes, aliases):
    assert list(served_models(settings_with(routes, aliases), "composer")) == []


@pytest.mark.parametrize("model", ["composer-2.5", "it's", 'a "b" $(c) `d`', "日本"])
def test_the_body_survives_a_shell(model):
    quoted = example_body(settings_with({model: to("local")}))
    assert json.loads(shlex.split(quoted)[0])["model"] == model
    assert json.loads(subprocess.run(["sh", "-c", f"printf %s {quoted}"], capture_output=True, check=True).stdout)["model"] == model


class TestBanner:
    @pytest.mark.parametrize(("routes", "model"), CASES.values(), ids=CASES)
    def test_suggests_it(self, routes, model):
        command = banner(settings_with(routes), "http://127.0.0.1:8787").partition("  try\n")[2]
        words = shlex.split(command)
        assert json.loads(words[words.index("-d") + 1])["model"] == (model or PLACEHOLDER)
        assert words[:3] == ["curl", "-N", "http://127.0.0.1:8787/v1/chat/completions"]

    def test_names_each_upstream_its_kind_and_its_address(self):
        upstreams = [line.split(None, 1) for line in banner(settings_with({"*": to("local")}), "http://127.0.0.1:1").splitlines()[4:7]]
        assert [" ".join(words).removeprefix("upstreams ") for words in upstreams] == [
            "local: openai-chat at http://127.0.0.1:11434/v1",
            "composer: composer at https://backend.example",
            "demo: the embedded demo: recorded and made-up answers, no model behind them",
        ]

    def test_names_what_may_surprise(self):
        routes = {"gpt-5.2": to("local"), "composer-2": to("demo"), "gemini-3-flash": to("composer"), "*": to("local")}
        lines = banner(settings_with(routes, {"my-Claude": "llama", "mine": "gpt-5.2"}), "http://127.0.0.1:1").splitlines()
        notes = [line.split(None, 1)[1] for line in lines if line.split()[0] == "note"]
        assert [note.partition(": ")[0] for note in notes] == ['routes."gpt-5.2"', "aliases.my-Claude"]
        assert 'with "claude" in its name' in notes[1]

    def test_shows_no_credential(self):
        upstreams: dict[str, Upstream] = {
            "a": OpenAIChat(base_url="https://user:hunter2@a.example:8443/v1?key=hunter2#hunter2"),
            "b": Composer(headers={"cookie": "hunter2"}),
            "c": OpenAIChat(base_url="https://hunter2\n"),
        }
        shown = banner(Settings(upstreams=upstreams, routes={"*": to("a")}), "http://127.0.0.1:1")
        assert "a: openai-chat at https://a.example:8443/v1\n" in shown
        assert "b: composer, without an address yet\n" in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize(("routes", "model"), [CASES["a local server behind * alone"], CASES["a named route"], CASES["the demo behind *"]])
async def test_the_first_page_suggests_the_same(routes, model):
    async with running_server(settings_with(routes)) as server, server.client() as client:
        page = (await client.get("/")).text
    [body] = re.findall(r"-d &#39;(.*)&#39;</pre>", page)
    assert json.loads(body.replace("&#34;", '"'))["model"] == (model or PLACEHOLDER)

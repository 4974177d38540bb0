"""Which models are listed, and where an id goes."""

import pytest

from pipeline.errors import ModelNotFound
from pipeline.models import ALIASES, Model
from server.routing import Routing
from server.settings import Route, Settings, Target
from server.upstream_settings import Captured, Composer, OpenAIChat, Upstream
from server.upstreams import open_upstreams
from tests.support.gateway_server import running_server

UPSTREAMS: dict[str, Upstream] = {
    "demo": Captured(),
    "composer": Composer(base_url="https://backend.example", endpoint="/chat"),
    "local": OpenAIChat(base_url="http://127.0.0.1:9/v1"),
}


def to(upstream: str, model: str = "*") -> Route:
    return Route(targets=(Target(upstream=upstream, model=model),))


async def test_an_alias_that_leads_nowhere_is_not_listed_and_breaks_nothing():
    settings = Settings(aliases={"fast": "gpt-99-unknown", "small": "composer-2.5"})
    async with running_server(settings) as server, server.client() as client:
        listed = await client.get("/v1/models")
        page = await client.get("/")
        asked = await client.get("/v1/models/fast")
    assert (listed.status_code, page.status_code, asked.status_code) == (200, 200, 404)
    ids = [model["id"] for model in listed.json()["data"]]
    assert "small" in ids
    assert "fast" not in ids
    assert len(ids) == len(set(ids))


async def test_a_routes_own_id_is_listed_once_and_as_what_it_leads_to():
    routes = {"*": to("composer"), "composer-2": to("local"), "mine": to("composer", "gpt-5.2"), "gone": to("composer", "no-such")}
    settings = Settings(upstreams=UPSTREAMS, routes=routes, aliases={"composer-1": "mine"})
    async with open_upstreams(settings) as upstreams:
        routing = Routing(settings, upstreams)
        models = {model.id: model for model in routing.models()}
        assert len(list(routing.models())) == len(models)
        assert models["composer-2"].owner == "local"
        assert models["mine"].name == models["composer-1"].name == "GPT-5.2"
        assert not models.keys() & {"gone", "*"}
        for model in models.values():
            if model.id not in ALIASES:  # one of these is told as the model that it is another name of
                assert routing.described(model.id) == model
                assert routing.find(model.id).model.name == model.name


@pytest.mark.parametrize(
    ("asked", "near"),
    [("composer-2.6", "composer-2.5"), ("openai/gpt-5.2-codx", "gpt-5.2-codex"), ("mein", "mine"), ("captured/one-cal", "captured/one-call")],
)
async def test_an_unknown_id_is_told_the_nearest_of_those_that_are_served_here(asked, near):
    routes = {"*": to("composer"), "mine": to("composer", "gpt-5.2"), "captured/one-call": to("demo")}
    settings = Settings(upstreams=UPSTREAMS, routes=routes)
    async with open_upstreams(settings) as upstreams:
        with pytest.raises(ModelNotFound) as caught:
            Routing(settings, upstreams).find(asked)
    assert f"Did you mean {near}" in caught.value.message


async def test_the_operator_s_own_names_are_suggested_however_many_models_there_are():
    told = {name: Model(name, name, "o") for name in (f"m-{number:04}-aaaa" for number in range(600))}
    routes = {"*": to("local"), "zebra-route": to("demo", "composer-2.5")}
    settings = Settings(upstreams=UPSTREAMS, routes=routes, aliases={"giraffe-alias": "zebra-route"})
    async with open_upstreams(settings) as upstreams:
        routing = Routing(settings, upstreams)
        for asked, near in (("zebra-rout", "zebra-route"), ("giraffe-alia", "giraffe-alias")):
            with pytest.raises(ModelNotFound) as caught:
                routing.described(asked, told)
            assert f"Did you mean {near}" in caught.value.message


async def test_what_is_not_served_is_not_suggested():
    settings = Settings(upstreams=UPSTREAMS, routes={"mine": to("composer", "composer-2.5")})
    async with open_upstreams(settings) as upstreams:
        with pytest.raises(ModelNotFound) as caught:
            Routing(settings, upstreams).find("composer-2.5")
    assert caught.value.message.endswith("GET /v1/models lists what is served.")

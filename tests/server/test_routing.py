"""Which models are listed, and where an id goes."""

import pytest

from pipeline.errors import ModelNotFound, PermissionDenied
from pipeline.models import ALIASES, PRICES, Model, Price
from pipeline.upstream.health import Order
from server.front_door import Caller
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


TWO = (Target(upstream="local", model="k3", price=(0.6, 2.5)), Target(upstream="composer", model="composer-2.5"))


class TestPlan:
    async def test_every_target_is_a_destination_in_the_route_s_order(self):
        upstreams_of = {**UPSTREAMS, "local": OpenAIChat(base_url="http://127.0.0.1:9/v1", cooldown_seconds=7)}
        settings = Settings(upstreams=upstreams_of, routes={"kimi-k3": Route(targets=TWO, min_output_tokens=9)}, aliases={"~a/latest": "kimi-k3"})
        async with open_upstreams(settings) as upstreams:
            plan = Routing(settings, upstreams).plan("~a/latest-thinking-high:floor")
        assert [destination.target for destination in plan.destinations] == ["local/k3", "composer/composer-2.5"]
        assert [destination.upstream.name for destination in plan.destinations] == ["local", "composer"]
        assert [destination.price for destination in plan.destinations] == [Price(0.6, 2.5), PRICES["composer-2.5"]]
        assert [destination.cooldown_seconds for destination in plan.destinations] == [7, 20]
        assert (plan.wanted, plan.order, plan.effort, plan.thinking, plan.fast) == ("kimi-k3", Order.PRICE, "high", True, False)
        assert plan.route.min_output_tokens == 9
        assert plan.names == {"~a/latest-thinking-high:floor", "~a/latest", "kimi-k3"}

    async def test_a_target_that_does_not_have_the_model_is_none(self):
        targets = (Target(upstream="composer", model="no-such"), Target(upstream="local", model="m"))
        settings = Settings(upstreams=UPSTREAMS, routes={"m": Route(targets=targets), "n": Route(targets=targets[:1])})
        async with open_upstreams(settings) as upstreams:
            routing = Routing(settings, upstreams)
            assert [destination.target for destination in routing.plan("m").destinations] == ["local/m"]
            assert routing.find("m").upstream.name == "local"
            assert [model.id for model in routing.models()] == ["m"]
            with pytest.raises(ModelNotFound):
                routing.plan("n")

    async def test_every_id_may_go_to_the_first_that_has_it(self):
        settings = Settings(
            upstreams=UPSTREAMS, routes={"*": Route(targets=(Target(upstream="composer", model="*"), Target(upstream="local", model="*")))}
        )
        async with open_upstreams(settings) as upstreams:
            routing = Routing(settings, upstreams)
            targets = {asked: [each.target for each in routing.plan(asked).destinations] for asked in ("composer-2.5", "llama-4")}
            assert targets == {"composer-2.5": ["composer/composer-2.5", "local/composer-2.5"], "llama-4": ["local/llama-4"]}

    @pytest.mark.parametrize("asked", ["a/latest", "a/latest-high", "a/latest:nitro"])
    async def test_an_id_that_lacks_its_mark_is_told_so_and_goes_nowhere(self, asked):
        settings = Settings(upstreams=UPSTREAMS, routes={"*": to("local")}, aliases={"~a/latest": "m"})
        async with open_upstreams(settings) as upstreams:
            routing = Routing(settings, upstreams)
            for look in (routing.plan, routing.described):
                with pytest.raises(ModelNotFound) as caught:
                    look(asked)
                assert f"Did you mean ~{asked}?" in caught.value.message
            with pytest.raises(ModelNotFound):
                routing.plan("~a/other")


class TestKeysThatMayUseSomeModels:
    """What a suffix or an alias adds to a name that a key has."""

    SETTINGS = Settings(
        upstreams=UPSTREAMS,
        routes={"kimi-k3": Route(targets=TWO), "composer-2.5": to("composer"), "other": to("local"), "*": to("local")},
        aliases={"~a/latest": "kimi-k3"},
    )

    @pytest.mark.parametrize(
        ("may_use", "asked", "allowed"),
        [
            ("kimi-k3", "kimi-k3-high:nitro", True),
            ("kimi-k3", "~a/latest-high", True),
            ("~a/latest", "~a/latest-fast", False),  # its second target has a fast model, which is another one
            ("~a/latest", "~a/latest-high", True),
            ("~a/latest", "kimi-k3", False),
            ("kimi-k3-high", "kimi-k3-high", True),
            ("kimi-k3-high", "kimi-k3", False),
            ("kimi-k3", "other", False),
            ("composer-2.5", "composer-2.5-fast", False),
            ("composer-2.5-fast", "composer-2.5-fast", True),
            ("x", "x-high", False),  # another model, for all that is known
        ],
    )
    async def test_what_a_key_opens(self, may_use, asked, allowed):
        async with open_upstreams(self.SETTINGS) as upstreams:
            names = Routing(self.SETTINGS, upstreams).plan(asked).names
        caller = Caller(models=(may_use,))
        if allowed:
            caller.check_model(asked, names)
        else:
            with pytest.raises(PermissionDenied):
                caller.check_model(asked, names)

    async def test_a_name_of_one_target_alone_opens_nothing(self):
        route = Route(targets=(Target(upstream="composer", model="*"), Target(upstream="local", model="*")))
        settings = Settings(upstreams=UPSTREAMS, routes={"*": route})
        async with open_upstreams(settings) as upstreams:
            plan = Routing(settings, upstreams).plan("composer-latest")
        assert plan.destinations[0].names == {"composer-latest", "composer-2.5"}
        assert plan.names == {"composer-latest"}


async def test_a_route_s_window_and_price_are_what_is_told_of_its_models():
    own = Route(targets=(Target(upstream="composer", model="composer-2.5", price=(1, 2)),), context_window=50_000)
    every = Route(targets=(Target(upstream="local", model="*", price=(3, 4)),), context_window=8_000)
    settings = Settings(upstreams=UPSTREAMS, routes={"mine": own, "*": every}, aliases={"also": "mine"})
    live = {"llama": Model("llama", "Llama", "meta", context_window=100_000, price=Price(9, 9))}
    async with open_upstreams(settings) as upstreams:
        routing = Routing(settings, upstreams)
        listed = {model.id: model for model in routing.models(live)}
        assert {name: (model.context_window, model.price) for name, model in listed.items()} == {
            "mine": (50_000, Price(1, 2)),
            "also": (50_000, Price(1, 2)),
            "llama": (8_000, Price(3, 4)),
        }
        assert {name: routing.described(name, live) for name in listed} == listed
        assert routing.described("mine-high").context_window == routing.plan("mine").destinations[0].model.context_window == 50_000


async def test_an_id_that_a_suffix_leads_elsewhere_is_not_listed_as_the_upstream_s():
    settings = Settings(upstreams=UPSTREAMS, routes={"*": to("local"), "llama": to("demo", "composer-2.5")})
    live = {name: Model(name, name, "o") for name in ("llama-fast", "llama:nitro", "llama-big", "~x")}
    async with open_upstreams(settings) as upstreams:
        routing = Routing(settings, upstreams)
        assert {model.id for model in routing.models(live)} == {"llama", "llama-big"}
        assert routing.described("llama-fast", live).owner == "cursor"

"""Where an id leads: suffixes, aliases with `~`, the order of targets, and what goes to `*` as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models import Price
from pipeline.upstream.health import Order
from server.resolver import ANY, EFFORTS, Lead, asked_upstream, example_of_any, goes_through_any, latest_form, lead, readings, resolve, takes
from server.settings import Route, Settings, Target
from server.upstream_settings import Captured, Composer, OpenAIChat, OpenAIResponses, SdkBridge, Upstream, Website

UPSTREAMS: dict[str, Upstream] = {
    "demo": Captured(),
    "composer": Composer(base_url="https://backend.example", endpoint="/chat"),
    "sdk": SdkBridge(),
    "web": Website(url="https://w.example/chat"),
    "local": OpenAIChat(base_url="http://127.0.0.1:9/v1"),
    "azure": OpenAIResponses(base_url="https://a.example/openai/v1?api-version=preview"),
}


def to(*targets: str) -> Route:
    """A route to targets that are written as `upstream/model`."""
    return Route(targets=tuple(Target(upstream=upstream, model=model) for upstream, _, model in (each.partition("/") for each in targets)))


ROUTES = {
    "*": to("local/*"),
    "kimi-k3": to("local/k3", "azure/moonshotai/kimi-k3"),
    "kimi-k3-low": to("azure/*"),
    "llama3.1:8b": to("local/*"),
    "b-fast": to("local/b1"),
    "nitro:nitro": to("local/n"),
}
ALIASES = {"~moonshotai/kimi-latest": "kimi-k3", "quick": "kimi-k3-high-fast", "free": "some/model:free", "mine-high": "b-fast"}
SETTINGS = Settings(upstreams=UPSTREAMS, routes=ROUTES, aliases=ALIASES)
NAMED = Settings(upstreams=UPSTREAMS, routes={name: route for name, route in ROUTES.items() if name != ANY}, aliases={"quick": "kimi-k3-high-fast"})


def told(model_id: str, settings: Settings = SETTINGS) -> tuple[str, str] | None:
    """The model that is wanted, and what the id asks for, in words; None for an id that leads nowhere."""
    found = resolve(settings, model_id)
    if found is None:
        return None
    words = [
        found.effort or "",
        "thinking" if found.thinking else "",
        "fast" if found.fast else "",
        found.order if found.order != Order.GIVEN else "",
    ]
    return f"{'*: ' if found.through_any else ''}{found.wanted}", " ".join(word for word in words if word)


K3 = "kimi-k3"
CASES = {
    "kimi-k3": (K3, ""),
    "kimi-k3-fast": (K3, "fast"),
    "kimi-k3-thinking": (K3, "thinking"),
    "kimi-k3-thinking-high": (K3, "high thinking"),
    "kimi-k3-high-thinking": (K3, "high thinking"),
    "kimi-k3-xhigh": (K3, "xhigh"),
    "kimi-k3-minimal-fast": (K3, "minimal fast"),
    "kimi-k3-thinking-medium-fast:floor": (K3, "medium thinking fast price"),
    "kimi-k3-thinking-high:nitro": (K3, "high thinking speed"),
    "kimi-k3:nitro": (K3, "speed"),
    # a route of its own counts before a suffix, and the fewest suffixes before more
    "kimi-k3-low": ("kimi-k3-low", ""),
    "kimi-k3-low-fast": ("kimi-k3-low", "fast"),
    "b-fast": ("b-fast", ""),
    "b-fast-high": ("b-fast", "high"),
    "nitro:nitro": ("nitro:nitro", ""),
    "nitro:nitro:floor": ("nitro:nitro", "price"),
    # a colon is part of an id otherwise
    "llama3.1:8b": ("llama3.1:8b", ""),
    "llama3.1:8b-high:floor": ("llama3.1:8b", "high price"),
    "llama3.1:70b": ("*: llama3.1:70b", ""),
    "kimi-k3:free": ("*: kimi-k3:free", ""),
    # what no route and no alias has goes through `*`, whole
    "b": ("*: b", ""),
    "x-fast": ("*: x-fast", ""),
    "x:nitro": ("*: x:nitro", ""),
    "x-thinking-high:floor": ("*: x-thinking-high:floor", ""),
    "kimi-k3-low-low": ("kimi-k3-low", "low"),
    "kimi-k3-high-low": ("*: kimi-k3-high-low", ""),
    "kimi-k3-fast-fast": ("*: kimi-k3-fast-fast", ""),
    "kimi-k3:nitro-high": ("*: kimi-k3:nitro-high", ""),
    "kimi-k3:nitro:floor": ("*: kimi-k3:nitro:floor", ""),
    "KIMI-K3": ("*: KIMI-K3", ""),
    "-high": ("*: -high", ""),
    "": ("*: ", ""),
    "*": None,
    # aliases, also of an id with suffixes, and those that may change
    "free": ("*: some/model:free", ""),
    "free:floor": ("*: some/model:free", "price"),
    "mine-high": ("b-fast", ""),
    "mine-high-low": ("b-fast", "low"),
    "quick": (K3, "high fast"),
    "quick-low": (K3, "low fast"),
    "quick-thinking:nitro": (K3, "high thinking fast speed"),
    "~moonshotai/kimi-latest": (K3, ""),
    "~moonshotai/kimi-latest-thinking-high:nitro": (K3, "high thinking speed"),
    "moonshotai/kimi-latest": None,
    "moonshotai/kimi-latest-high": None,
    "moonshotai/kimi-latest:nitro": None,
    "~moonshotai/other-latest": None,
    "~~moonshotai/kimi-latest": None,
    "~": None,
}


@pytest.mark.parametrize(("model_id", "expected"), CASES.items())
def test_an_id_is_read_in_one_order(model_id, expected):
    assert told(model_id) == expected


@pytest.mark.parametrize("model_id", ["x", "kimi-k3:free", "kimi-k3-high-low", "", "*", "~", "quick:free"])
def test_without_a_route_for_all_others_it_leads_nowhere(model_id):
    assert resolve(NAMED, model_id) is None


def test_each_target_is_a_lead_in_the_route_s_order():
    found = resolve(SETTINGS, "~moonshotai/kimi-latest-high")
    assert found is not None
    assert found.base == "~moonshotai/kimi-latest"
    assert found.route is ROUTES["kimi-k3"]
    assert found.leads == (Lead("local", "k3", "kimi-k3"), Lead("azure", "moonshotai/kimi-k3", "kimi-k3"))
    assert lead(SETTINGS, "~moonshotai/kimi-latest-high") == found.leads[0]
    assert lead(SETTINGS, "kimi-k3-low-fast") == Lead("azure", "kimi-k3-low", "kimi-k3-low")


def test_a_target_s_price_is_told():
    route = Route(targets=(Target(upstream="local", model="m", price=(0.6, 2.5)), Target(upstream="azure", model="m")))
    found = resolve(Settings(upstreams=UPSTREAMS, routes={"m": route}), "m:floor")
    assert found is not None
    assert [each.price for each in found.leads] == [Price(0.6, 2.5), None]


class TestCursorsOwnIds:
    """The list has ids that end as suffixes do."""

    @pytest.mark.parametrize("upstream", ["composer", "demo", "sdk", "web"])
    @pytest.mark.parametrize("model_id", ["composer-2.5-fast", "gpt-5.2-high", "gpt-5.2-high-fast", "claude-4.5-opus-high-thinking"])
    def test_stay_whole_behind_the_route_for_all_others(self, upstream, model_id):
        settings = Settings(upstreams=UPSTREAMS, routes={"*": to(f"{upstream}/*")})
        assert lead(settings, model_id) == Lead(upstream, model_id, model_id)
        assert goes_through_any(settings, model_id)

    def test_a_route_of_the_base_counts_before_it_and_sends_what_the_list_has(self):
        routes = {"*": to("local/*"), "composer-2.5": to("composer/*"), "five": to("composer/gpt-5.2", "local/five")}
        settings = Settings(upstreams=UPSTREAMS, routes=routes)
        fast, five = resolve(settings, "composer-2.5-fast"), resolve(settings, "five-high-fast")
        assert fast is not None
        assert five is not None
        assert fast.leads == (Lead("composer", "composer-2.5-fast", "composer-2.5", fast=True),)
        assert five.leads == (Lead("composer", "gpt-5.2-high-fast", "five", fast=True), Lead("local", "five", "five"))
        assert (fast.fast, five.fast, five.effort) == (False, False, "high")
        assert not goes_through_any(settings, "composer-2.5-fast")

    @pytest.mark.parametrize("upstream", ["composer", "demo", "sdk", "web"])
    def test_a_route_of_the_base_leads_to_the_variant_wherever_cursor_s_models_are(self, upstream):
        settings = Settings(upstreams=UPSTREAMS, routes={"composer-2.5": to(f"{upstream}/*"), "five": to(f"{upstream}/gpt-5.2")})
        assert lead(settings, "composer-2.5-fast") == Lead(upstream, "composer-2.5-fast", "composer-2.5", fast=True)
        assert lead(settings, "five-high") == Lead(upstream, "gpt-5.2-high", "five")

    def test_a_suffix_that_the_list_does_not_have_is_asked_for_as_such(self):
        found = resolve(Settings(upstreams=UPSTREAMS, routes={"composer-2.5": to("composer/*")}), "composer-2.5-high")
        assert found is not None
        assert (found.leads[0].model_id, found.effort) == ("composer-2.5", "high")

    def test_a_price_of_the_model_is_not_its_fast_one_s(self):
        route = Route(targets=(Target(upstream="composer", model="composer-2.5", price=(1, 2)),))
        settings = Settings(upstreams=UPSTREAMS, routes={"composer-2.5": route})
        assert [found.price for name in ("composer-2.5", "composer-2.5-fast") if (found := lead(settings, name))] == [Price(1, 2), None]


@pytest.mark.parametrize(
    ("upstream", "is_asked", "example", "takes_any"),
    [
        ("demo", False, "composer-2.5", False),
        ("composer", False, "composer-2.5", False),
        ("sdk", True, "composer-2.5", True),
        ("web", False, "composer-2.5", True),
        ("local", True, None, True),
        ("azure", True, None, True),
    ],
)
def test_who_is_asked_for_models_and_what_is_known_without(upstream, is_asked, example, takes_any):
    settings = Settings(upstreams=UPSTREAMS, routes={"*": to(f"{upstream}/*")})
    assert asked_upstream(settings) == (upstream if is_asked else None)
    assert example_of_any(settings) == example
    assert takes(UPSTREAMS[upstream], "composer-2-5")
    assert takes(UPSTREAMS[upstream], "a-model-of-tomorrow") is takes_any


@pytest.mark.parametrize(
    ("model_id", "form"),
    [
        ("moonshotai/kimi-latest", "~moonshotai/kimi-latest"),
        ("moonshotai/kimi-latest-high:nitro", "~moonshotai/kimi-latest-high:nitro"),
        ("~moonshotai/kimi-latest", None),
        ("kimi-k3", None),
        ("x", None),
    ],
)
def test_the_form_with_the_mark_is_known(model_id, form):
    assert latest_form(SETTINGS, model_id) == form


def test_an_id_that_is_a_name_here_is_not_hidden_by_the_form_with_the_mark():
    settings = Settings(upstreams=UPSTREAMS, routes={"a": to("local/*"), "b": to("local/*")}, aliases={"~a": "b", "~c": "a", "c": "b"})
    assert [found.wanted for name in ("a", "~a", "c", "~c", "a-high") if (found := resolve(settings, name))] == ["a", "b", "b", "a", "a"]


pieces = st.sampled_from(["kimi-k3", "b", "quick", "moonshotai/kimi-latest", "~", "*", "-", ":", ":nitro", ":floor", "-fast", "-thinking", "x"])
ids = st.lists(pieces | st.sampled_from([f"-{effort}" for effort in EFFORTS]), max_size=7).map("".join) | st.text(max_size=20)


@given(ids)
def test_every_id_leads_somewhere_or_nowhere(model_id):
    found = resolve(SETTINGS, model_id)
    for reading in readings(model_id):
        assert reading.base + reading.suffix in (model_id, model_id.removesuffix(":nitro"), model_id.removesuffix(":floor"))
    if found is None:
        assert model_id == ANY or "~" in model_id or latest_form(SETTINGS, model_id) is not None
        return
    assert [each.upstream for each in found.leads] == [target.upstream for target in found.route.targets]
    assert found.base in SETTINGS.aliases or found.base in ROUTES or (found.through_any and found.base == found.wanted == model_id)
    assert not found.leads[0].model_id.startswith("~")
    assert model_id not in ROUTES or found.route is ROUTES[model_id]


@given(ids)
def test_no_id_with_a_mark_goes_through_the_route_for_all_others(model_id):
    found = resolve(SETTINGS, f"~{model_id}")
    assert found is None or found.base == "~moonshotai/kimi-latest"

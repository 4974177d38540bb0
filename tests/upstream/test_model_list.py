"""The list of an upstream's models: asked seldom, waited for briefly, read whatever it holds, and a fault is a value."""

import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.credential import Credential, Kind, Secret
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.models import Model, Price
from pipeline.upstream import model_list
from pipeline.upstream.model_list import KEPT_SECONDS, LIST_COUNT, MAX_BODY_BYTES, MAX_MODELS, REASON_KEPT_SECONDS, ModelList, read_model
from tests.support.listing_server import answer, listing
from tests.support.raw_server import REQUEST, RawServer, Wait, raw_server

KEY = "sk-0123456789-of-the-caller"
CALLER = Credential(Kind.CALLER)


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def models_of(server: RawServer, credential: Credential | None = None, clock: Now | None = None, window: int | None = None) -> ModelList:
    return ModelList("local", server.url("/v1"), credential, clock=clock or Now(), context_window=window)


def ids(models: tuple[Model, ...]) -> list[str]:
    return [model.id for model in models]


# what vendors list, with the fields of theirs that say something
VENDORS = {
    "OpenAI": ({"id": "gpt-5.2", "object": "model", "created": 1, "owned_by": "openai"}, Model("gpt-5.2", "gpt-5.2", "openai", created=1)),
    "vLLM": ({"id": "Qwen/Q3", "owned_by": "vllm", "max_model_len": 40960}, Model("Qwen/Q3", "Qwen/Q3", "vllm", 40960)),
    "Groq": (
        {"id": "k2", "owned_by": "Moonshot AI", "context_window": 131072, "max_completion_tokens": 16384},
        Model("k2", "k2", "Moonshot AI", 131072, 16384),
    ),
    "Mistral": ({"id": "m", "name": "Mistral M", "max_context_length": 32768}, Model("m", "Mistral M", "local", 32768)),
    "OpenRouter": (
        {
            "id": "vendor/model:free",
            "name": "Vendor: Model",
            "context_length": 8192,
            "top_provider": {"context_length": 8192, "max_completion_tokens": 4096},
            "pricing": {"prompt": "0.0000005", "completion": "0.0000025"},
        },
        Model("vendor/model:free", "Vendor: Model", "local", 8192, 4096, Price(0.5, 2.5)),
    ),
    "Penstock": (
        {
            "id": "composer-2.5",
            "owned_by": "cursor",
            "name": "Composer 2.5",
            "context_window": 200000,
            "max_tokens": 9,
            "pricing": {"currency": "USD", "input_per_million": 0.5, "output_per_million": 2.5},
        },
        Model("composer-2.5", "Composer 2.5", "cursor", 200000, 9, Price(0.5, 2.5)),
    ),
    "Anthropic": (
        {
            "type": "model",
            "id": "claude-sonnet-5",
            "display_name": "Claude Sonnet 5",
            "created_at": "2026-02-19T00:00:00Z",
            "max_input_tokens": 1_000_000,
            "max_tokens": 128_000,
        },
        Model("claude-sonnet-5", "Claude Sonnet 5", "local", 1_000_000, 128_000, created=1_771_459_200),
    ),
    "Anthropic, of unknown age": ({"id": "c", "display_name": "C", "created_at": "1970-01-01T00:00:00Z"}, Model("c", "C", "local")),
    "a date that is none": ({"id": "c", "created_at": "soon"}, Model("c", "c", "local")),
    "the id alone": ({"id": "x"}, Model("x", "x", "local")),
}


@pytest.mark.parametrize(("entry", "model"), VENDORS.values(), ids=VENDORS)
def test_what_a_vendor_says_is_read(entry, model):
    assert read_model(entry, "local") == model


@pytest.mark.parametrize("model_id", [None, 7, "", " x", "x\n", "a\x00b", "x" * 257, ["x"], "\u202ex"])
def test_an_entry_without_a_usable_id_is_none(model_id):
    assert read_model({"id": model_id}, "local") is None


@pytest.mark.parametrize("value", [True, "8192", -1, 0, 10**12, 1.5, None, {}])
def test_a_window_that_is_no_count_is_unknown(value):
    assert read_model({"id": "x", "context_window": value, "max_tokens": value}, "local", 7) == Model("x", "x", "local", 7)


NO_PRICES = [
    {"prompt": "-1", "completion": "-1"},
    {"prompt": "0.1"},
    {"prompt": "nan", "completion": "1"},
    {"prompt": True, "completion": 1},
    {"prompt": "", "completion": "x"},
    {"prompt": 10**400, "completion": 1},
    [],
]


@pytest.mark.parametrize("pricing", NO_PRICES, ids=repr)
def test_a_price_that_is_none_is_unknown(pricing):
    assert read_model({"id": "x", "pricing": pricing}, "local") == Model("x", "x", "local")


@pytest.mark.parametrize("created", [None, True, 0, -1, 1.5, "1", 10**12, [1]], ids=repr)
def test_a_date_that_is_none_is_unknown(created):
    assert read_model({"id": "x", "created": created}, "local") == Model("x", "x", "local")


def test_the_operator_s_window_counts_before_what_the_list_says():
    assert [read_model({"id": "x", **more}, "local", 5) for more in ({}, {"max_model_len": 9})] == [Model("x", "x", "local", 5)] * 2


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = SCALARS | st.lists(SCALARS, max_size=2)
FIELDS = st.sampled_from(["id", "name", "owned_by", "pricing", "prompt", "completion", "context_length", "max_tokens", "top_provider"])


@settings(deadline=None)  # a busy machine is not a failure
@given(st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON)))
def test_any_entry_is_read_without_a_fault(entry):
    model = read_model(entry, "local")
    assert model is None or (model.id == entry["id"] and model.name.isprintable() and model.owner.isprintable())


async def test_it_is_asked_once_in_a_while_and_with_no_key_where_none_is_set():
    now = Now()
    async with raw_server(listing("a", "b", "a"), listing("c")) as server:
        models = models_of(server, clock=now)
        first, second = await models.ask(KEY), await models.ask("another key")
        now.seconds += KEPT_SECONDS - 1
        third = await models.ask()
        now.seconds += 1
        fourth = await models.ask()
    assert ids(first.models) == ids(second.models) == ids(third.models) == ["a", "b"]
    assert (first.is_kept, second.is_kept, third.is_kept, fourth.is_kept) == (False, True, True, False)
    assert ids(fourth.models) == ["c"]
    assert len(server.requests) == 2
    assert server.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"authorization" not in server.requests[0].lower()


async def test_each_key_has_its_list_and_the_key_goes_with_the_call():
    async with raw_server(listing("for-one"), listing("for-two")) as server:
        models = models_of(server, CALLER)
        one, two, again = await models.ask(KEY), await models.ask(KEY + "2"), await models.ask(KEY)
        without = await models.ask(None)
    assert (ids(one.models), ids(two.models), ids(again.models)) == (["for-one"], ["for-two"], ["for-one"])
    assert f"authorization: bearer {KEY}2\r\n".encode() in server.requests[1].lower()
    assert isinstance(without.error, AuthenticationError)
    assert KEY not in repr(vars(models))


async def test_an_own_key_is_sent_and_the_callers_is_not():
    async with raw_server(listing("a")) as server:
        await models_of(server, Credential(Kind.OWN, Secret("sk-operator-0123456789"))).ask(KEY)
    assert b"sk-operator-0123456789" in server.requests[0]
    assert KEY.encode() not in server.requests[0]


async def test_lists_of_many_keys_are_bounded():
    async with raw_server(listing("a")) as server:
        models = models_of(server, CALLER)
        for number in range(LIST_COUNT + 1):
            await models.ask(f"{KEY}-{number}")
        assert (await models.ask(f"{KEY}-{LIST_COUNT}")).is_kept
        assert not (await models.ask(f"{KEY}-0")).is_kept


async def test_those_who_ask_together_share_one_call():
    go = anyio.Event()
    told: list[list[str]] = []
    async with raw_server([REQUEST, Wait(go), *listing("a")[1:]]) as server:
        models = models_of(server)

        async def ask() -> None:
            told.append(ids((await models.ask()).models))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            go.set()
    assert told == [["a"]] * 5
    assert len(server.requests) == 1


async def test_a_slow_upstream_is_waited_for_once_and_briefly(monkeypatch):
    monkeypatch.setattr(model_list, "CALL_SECONDS", 0.05)
    now = Now()
    async with raw_server([REQUEST], listing("a")) as server:
        models = models_of(server, clock=now)
        first, second = await models.ask(), await models.ask()
        with anyio.fail_after(2):
            await server.peers[0].gone.wait()
        now.seconds += REASON_KEPT_SECONDS
        third = await models.ask()
    assert isinstance(first.error, UpstreamTimeout)
    assert (first.models, first.is_kept, second.is_kept) == ((), False, True)
    assert ids(third.models) == ["a"]
    assert len(server.peers) == 2


HTML = b"<html><body>bad gateway</body></html>"
FAULTS = {
    "refused key": (answer(json.dumps({"error": {"message": f"Incorrect API key: {KEY}"}}).encode(), 401), AuthenticationError),
    "no such path": (answer(b'{"detail":"Not Found"}', 404), UpstreamUnusable),
    "redirect": (answer(b"", 302, location="http://elsewhere.example/v1/models"), UpstreamUnusable),
    "a gateway's HTML": (answer(HTML, 502), PenstockError),
    "HTML that says 200": (answer(HTML), ProtocolViolation),
    "another JSON": (answer(b'{"models":["x"]}'), ProtocolViolation),
    "broken JSON": (answer(b'{"data":[{"id":'), ProtocolViolation),
    "too deep": (answer(b"[" * 100_000), ProtocolViolation),
    "compressed": (answer(b"\x1f\x8b", content_encoding="gzip"), ProtocolViolation),
    "too large": (answer(b" " * (MAX_BODY_BYTES + 1)), ProtocolViolation),
}


@pytest.mark.parametrize(("script", "error"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_a_value(script, error):
    async with raw_server(script) as server:
        told = await models_of(server, CALLER).ask(KEY)
    assert isinstance(told.error, error)
    assert told.models == ()
    assert KEY not in told.error.message
    assert "<" not in told.error.message


async def test_nobody_there():
    async with raw_server(listing()) as server:
        pass
    assert isinstance((await models_of(server).ask()).error, UpstreamUnavailable)


@pytest.mark.parametrize("key", ["schlüssel", "a\nb"])
async def test_a_key_that_no_header_can_carry_is_not_sent(key):
    async with raw_server(listing("a")) as server:
        told = await models_of(server, CALLER).ask(key)
    assert isinstance(told.error, AuthenticationError)
    assert not server.peers


async def test_empty_bare_and_long_lists():
    many = listing(*(f"m{number}" for number in range(MAX_MODELS + 5)))
    async with raw_server(listing(), answer(b"[]"), answer(b'[{"id":"x"},7,{"id":null}]'), many) as server:
        told = [await models_of(server, window=5).ask() for _ in range(4)]
    assert [listed.error for listed in told] == [None] * 4
    assert [len(listed.models) for listed in told] == [0, 0, 1, MAX_MODELS]
    assert told[2].models[0].context_window == 5

"""`/v1/models` behind a bridge: the running upstream lists its own models, with the key that a request would have."""

import logging

import pytest

from pipeline.errors import AuthenticationError, PenstockError, PermissionDenied, UpstreamUnavailable
from pipeline.models import Model
from pipeline.upstream.model_list import Listing
from server.settings import Auth, Route, Settings, Target
from server.upstream_settings import SdkBridge, Upstream
from tests.support.gateway_server import running_server
from tests.support.scripted import ScriptedUpstream

LISTED = (
    Model("composer-2.5", "Composer 2.5", "cursor", context_window=200_000),
    Model("composer-2.5-fast", "Composer 2.5 Fast", "cursor"),
    Model("a-model-of-tomorrow-high", "Tomorrow High", "cursor"),
)
KEY = "key-of-the-caller-1234567890"


class ListingUpstream(ScriptedUpstream):
    """Lists what it is told to, and knows one model under another spelling too."""

    def __init__(self, listing: Listing) -> None:
        super().__init__([], "sdk")
        self.listing = listing
        self.asked: list[str | None] = []

    def find_model(self, model_id: str) -> Model | None:
        return LISTED[0] if model_id == "auto" else super().find_model(model_id)

    async def list_models(self, key: str | None) -> Listing:
        self.asked.append(key)
        return self.listing


def settings(mode: str = "forward", **routes: str) -> Settings:
    table: dict[str, Upstream] = {"sdk": SdkBridge()}
    made = {name: Route(targets=(Target(upstream="sdk", model=model),)) for name, model in {"*": "*", **routes}.items()}
    return Settings(upstreams=table, routes=made, auth=Auth(mode="forward" if mode == "forward" else "open"))


async def test_the_list_of_the_callers_key_is_the_answer():
    upstream = ListingUpstream(Listing(LISTED))
    async with running_server(settings(mine="composer-2.5"), {"sdk": upstream}) as server, server.client(authorization=f"Bearer {KEY}") as client:
        cards = {card["id"]: card for card in (await client.get("/v1/models")).json()["data"]}
        assert set(cards) == {model.id for model in LISTED} | {"mine"}
        assert cards["mine"]["context_window"] == cards["composer-2.5"]["context_window"] == 200_000
        assert (await client.get("/v1/models/a-model-of-tomorrow-high")).json() == cards["a-model-of-tomorrow-high"]
        # another spelling of one that is listed
        auto = (await client.get("/v1/models/auto")).json()
        assert (auto["id"], auto["context_window"]) == ("auto", 200_000)
        missed = await client.get("/v1/models/composer-2.6")
    assert (missed.status_code, missed.json()["error"]["code"]) == (404, "model_not_found")
    assert "Did you mean composer-2.5" in missed.json()["error"]["message"]
    assert set(upstream.asked) == {KEY}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (AuthenticationError("The key was not accepted."), 401, "invalid_api_key"),
        (PermissionDenied("This plan has no API."), 403, "permission_denied"),
    ],
)
async def test_a_caller_is_told_that_their_own_key_is_refused(error, status, code):
    upstream = ListingUpstream(Listing(error=error))
    async with running_server(settings(), {"sdk": upstream}) as server, server.client(authorization=f"Bearer {KEY}") as client:
        answer = await client.get("/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("error", [UpstreamUnavailable("The bridge is down.", code="upstream_bridge_down"), UpstreamUnavailable("No network.")])
async def test_another_fault_leaves_what_is_known_without_asking(error: PenstockError, caplog):
    upstream = ListingUpstream(Listing(error=error))
    with caplog.at_level(logging.WARNING, "penstock"):
        async with running_server(settings(), {"sdk": upstream}) as server, server.client(authorization=f"Bearer {KEY}") as client:
            listed = (await client.get("/v1/models")).json()
    assert [card["id"] for card in listed["data"]] == [model.id for model in upstream.models()]
    assert f"upstream sdk: its models are not listed: {error.message}" in caplog.text
    assert KEY not in caplog.text


async def test_the_page_shows_the_list_only_where_no_key_is_asked_for():
    upstream = ListingUpstream(Listing(LISTED))
    async with running_server(settings(), {"sdk": upstream}) as server, server.client() as client:
        page = (await client.get("/")).text
    assert not upstream.asked
    assert "sdk-bridge" in page
    assert "the caller&#39;s own key" in page or "the caller's own key" in page
    assert "a-model-of-tomorrow" not in page

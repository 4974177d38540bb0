"""Unary calls: to the bridge that runs, once more to the next one where the first ended, and never with a secret in what is raised."""

import os
import tempfile

import pytest
import trio

from pipeline.credential import Secret
from pipeline.errors import AuthenticationError, PenstockError, ProtocolViolation, StreamCut, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.upstream.bridge import accounts
from pipeline.upstream.bridge import calls as calls_module
from pipeline.upstream.bridge.calls import BridgeCalls
from pipeline.upstream.bridge.unary import MAX_ANSWER_BYTES, Endpoint, ask
from pipeline.upstream.http import open_client
from pipeline.wire import sdk_requests as wire
from tests.support.composer_server import Cut, Late, Reply, Reset
from tests.support.fake_bridge import fake_bridge
from tests.support.fake_bridge_contract import error_reply
from tests.support.supervised_bridge import supervised

KEY = "crsr_0123456789abcdef"
JSON = {"content-type": "application/json"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def direct(bridge) -> Endpoint:
    """The fake without a program in between."""
    return Endpoint(bridge.url, Secret(bridge.token), "1.0.0", 1, "/w")


async def raised(bridge, path=wire.PING, body=wire.EMPTY, *, endpoint=None, within_seconds=5.0, **said) -> PenstockError:
    async with open_client() as client:
        with pytest.raises(PenstockError) as caught:
            await ask(client, endpoint or direct(bridge), path, body, within_seconds=within_seconds, **said)
    return caught.value


async def test_a_bridge_says_what_it_is_and_what_it_has():
    async with fake_bridge(keys={KEY}) as bridge, supervised(bridge.command) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        await calls.ping()
        version = await calls.version()
        assert (version.bridge, version.protocol) == ("1.0.0", "sdk.v1")
        assert {model["id"] for model in bridge.models} <= {listed.selection.id for listed in await calls.list_models(KEY)}
        assert (await calls.me(KEY)).key_name
        assert {call.headers["authorization"] for call in bridge.calls} == {f"Bearer {bridge.starts[0].token}"}
        assert bridge.to("Me")[0].body == {"options": {"apiKey": KEY}}


async def test_a_refused_key_is_the_callers_or_ours():
    async with fake_bridge(keys={KEY}) as bridge, supervised(bridge.command) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        with pytest.raises(AuthenticationError):
            await calls.me("crsr_of_somebody_else")
        with pytest.raises(UpstreamUnusable):
            await calls.list_models("crsr_of_somebody_else", callers_key=False)


async def test_a_call_goes_over_to_the_next_start():
    async with fake_bridge() as bridge, supervised(bridge.command) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        first = await process.endpoint()
        await calls.ping()  # so that a connection is kept, which is closed with the bridge
        bridge.starts[0].kill()
        await calls.ping()
        assert process.current is not None
        assert process.current.generation == 2
        with pytest.raises(UpstreamUnavailable):
            await calls.call(wire.CLOSE_AGENT, wire.close_agent("agent-1"), within_seconds=5, endpoint=first)
        assert bridge.to("CloseAgent") == []


async def test_a_call_that_the_bridge_ended_in_goes_over_too():
    async with fake_bridge() as bridge, supervised(bridge.command) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        await process.endpoint()
        bridge.faults["GetVersion"] = [[Late(30), Cut()]]
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def kill() -> None:
                await bridge.until(lambda: bridge.to("GetVersion"))
                bridge.starts[0].kill()

            assert (await calls.version()).bridge == "1.0.0"
        assert len(bridge.to("GetVersion")) == 2


async def test_a_bridge_that_lives_is_asked_once():
    async with fake_bridge() as bridge, supervised(bridge.command) as process, open_client() as client:
        calls = BridgeCalls(client, process)
        bridge.faults["ListModels"] = [[error_reply("internal", "Network request failed")], [Reset()], [Reset()]]
        with pytest.raises(UpstreamUnavailable):
            await calls.list_models(KEY)
        assert len(bridge.to("ListModels")) == 1
        with pytest.raises(StreamCut):
            await calls.list_models(KEY)
        assert len(bridge.to("ListModels")) == 3  # the connection was a kept one, so that the transport itself asked once more
        assert len(bridge.starts) == 1


async def test_a_list_that_did_not_come_is_not_waited_for_twice(monkeypatch):
    assert calls_module.LIST_SECONDS < accounts.LIST_SECONDS
    monkeypatch.setattr(calls_module, "LIST_SECONDS", 0.05)
    async with fake_bridge() as bridge, supervised(bridge.command) as process, open_client() as client:
        bridge.faults["ListModels"] = [[Late(30), Cut()]]
        kept = accounts.Accounts(BridgeCalls(client, process), callers_key=True)
        for is_kept in (False, True):
            listing = await kept.listing(KEY)
            assert isinstance(listing.error, UpstreamTimeout)
            assert listing.is_kept == is_kept
        assert len(bridge.to("ListModels")) == 1


async def test_an_answer_to_something_else_is_no_pong():
    async with fake_bridge() as bridge, supervised(bridge.command) as process, open_client() as client:
        await process.endpoint()
        bridge.faults["Ping"] = [[Reply(200, b"{}", JSON)]]
        with pytest.raises(ProtocolViolation):
            await BridgeCalls(client, process).ping()


async def test_a_call_takes_no_longer_than_it_may():
    async with fake_bridge() as bridge:
        bridge.faults["Ping"] = [[Late(30), Cut()]]
        error = await raised(bridge, within_seconds=0.1)
    assert isinstance(error, UpstreamTimeout)
    assert "0.1 seconds" in error.message


async def test_an_answer_is_bounded():
    async with fake_bridge() as bridge:
        fits = b'"' + b"x" * (MAX_ANSWER_BYTES - 2) + b'"'
        bridge.faults["Ping"] = [[Reply(200, fits, JSON)], [Reply(200, fits + b" ", JSON)], [Reply(500, fits + b" ", JSON)]]
        async with open_client() as client:
            assert await ask(client, direct(bridge), wire.PING, wire.EMPTY, within_seconds=5) == fits
        assert isinstance(await raised(bridge), ProtocolViolation)
        assert (await raised(bridge)).status == 502


async def test_an_answer_that_was_compressed_is_none():
    async with fake_bridge() as bridge:
        bridge.faults["Ping"] = [[Reply(200, b"\x1f\x8b", JSON | {"content-encoding": "gzip"})]]
        assert isinstance(await raised(bridge), ProtocolViolation)


async def test_a_bridge_of_another_token_was_started_again():
    async with fake_bridge() as bridge:
        stale = Endpoint(bridge.url, Secret("a-token-of-another-start"), "1.0.0", 1, "/w")
        error = await raised(bridge, endpoint=stale, callers_key=True)
    assert (error.status, error.code) == (503, "upstream_bridge_restarted")


async def test_a_port_that_nobody_listens_on_is_told_as_such():
    async with fake_bridge() as bridge:
        gone = direct(bridge)
    assert isinstance(await raised(bridge, endpoint=gone), UpstreamUnavailable)


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_secrets_are_in_no_error(status):
    async with fake_bridge() as bridge:
        said = f'{{"code":"internal","message":"{KEY} and {bridge.token} are wrong"}}'.encode()
        bridge.faults["Me"] = [[Reply(status, said, JSON)]]
        error = await raised(bridge, wire.ME, wire.me(KEY), secrets=(KEY,))
    assert KEY not in repr(error)
    assert bridge.token not in repr(error)


async def test_loopback_is_asked_without_the_environments_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://203.0.113.9:3128")
    for name in [name for name in os.environ if name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    async with fake_bridge() as bridge, open_client() as client:
        assert wire.read_pong(await ask(client, direct(bridge), wire.PING, wire.EMPTY, within_seconds=5))

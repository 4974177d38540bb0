"""The httpx client: what it is set to, and its faults in our words."""

import httpx
import pytest

from pipeline.clocks import Timeouts
from pipeline.errors import StreamCut, UpstreamError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnusable
from pipeline.upstream.http import USER_AGENT, open_client, told_faults
from pipeline.upstream.transport import Transport
from tests.support.composer_server import Cut, Reply, composer_server


async def test_the_client_times_only_the_connection_and_the_writing():
    async with open_client(Timeouts(connect_seconds=3, write_stall_seconds=4)) as client:
        transport = client._transport
        assert client.timeout == httpx.Timeout(None)
        assert isinstance(transport, Transport)
        assert (transport._connect_seconds, transport._write_seconds) == (3, 4)


async def test_a_redirect_is_not_followed_and_the_client_says_who_it_is():
    async with composer_server([], {"/": [Reply(302, b"", {"location": "/else"})], "/else": [Reply(200)]}) as server, open_client() as client:
        answer = await client.get(server.origin + "/")
    assert answer.status_code == 302
    assert answer.http_version == "HTTP/1.1"
    assert [received.headers["user-agent"] for received in server.requests] == [USER_AGENT]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (httpx.ConnectTimeout("x"), UpstreamTimeout),
        (httpx.WriteTimeout("x"), UpstreamTimeout),
        (httpx.ConnectError("x"), UpstreamUnavailable),
        (httpx.ProxyError("x"), UpstreamUnavailable),
        (httpx.UnsupportedProtocol("x"), UpstreamUnusable),
        (httpx.ReadError("x"), StreamCut),
        (httpx.WriteError("x"), StreamCut),
        (httpx.RemoteProtocolError("x"), StreamCut),
        (httpx.DecodingError("x"), StreamCut),
        (httpx.InvalidURL("x"), UpstreamUnusable),
    ],
)
def test_every_fault_has_an_error_without_the_librarys_text(fault, error):
    with pytest.raises(UpstreamError) as caught, told_faults():
        raise type(fault)("socket of secret.example")
    assert type(caught.value) is error
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is None


async def test_a_connection_that_is_closed_is_a_cut():
    async with composer_server([], {"/": [Cut()]}) as server, open_client() as client:
        with pytest.raises(StreamCut), told_faults():
            await client.get(server.origin + "/")

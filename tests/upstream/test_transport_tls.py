"""TLS: who is trusted, how a refusal is told, one read one piece, and an end without a closing alert."""

import ssl

import anyio
import httpx
import pytest

from pipeline.upstream.transport import CertificateError
from tests.support.open_transport import open_transport, pieces_of
from tests.support.raw_server import REQUEST, Close, Pause, Reset, raw_server
from tests.support.tls import CERTIFICATE, KEY

OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = OK + b"Content-Length: 2\r\n\r\nhi"


@pytest.fixture
def authority(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text(CERTIFICATE)
    return path


@pytest.fixture
def server_tls(tmp_path, authority):
    (tmp_path / "key.pem").write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_an_authority_of_ones_own_is_trusted_and_the_connection_kept(authority, server_tls):
    async with raw_server([REQUEST, ANSWER] * 5, tls=server_tls) as server, open_transport(verify=authority) as (client, transport):
        for _ in range(5):
            assert (await client.get(server.url(scheme="https", host="localhost"))).content == b"hi"
        assert (len(server.peers), transport.idle_count) == (1, 1)


async def test_an_unknown_authority_is_refused(server_tls):
    async with raw_server([REQUEST, ANSWER], tls=server_tls) as server, open_transport() as (client, transport):
        with pytest.raises(CertificateError) as caught:
            await client.get(server.url(scheme="https", host="localhost"))
        assert isinstance(caught.value, httpx.ConnectError)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert (server.requests, transport.idle_count) == ([], 0)


async def test_another_host_is_refused_unless_its_name_is_given(authority, server_tls):
    async with raw_server([REQUEST, ANSWER], tls=server_tls) as server, open_transport(verify=authority) as (client, _):
        url = server.url(scheme="https")
        with pytest.raises(CertificateError):
            await client.get(url)
        assert (await client.get(url, extensions={"sni_hostname": "localhost"})).content == b"hi"


async def test_a_peer_without_tls_is_a_failed_connection(authority):
    async with raw_server([Pause(0.01), b"HTTP/1.1 400 No\r\n\r\n"]) as server, open_transport(verify=authority) as (client, _):
        with pytest.raises(httpx.ConnectError) as caught:
            await client.get(server.url(scheme="https", host="localhost"))
        assert not isinstance(caught.value, CertificateError)


async def test_a_peer_that_never_shakes_hands_runs_into_the_connect_clock(authority):
    async with raw_server([]) as server, open_transport(verify=authority, connect_seconds=0.1) as (client, _):
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(server.url(scheme="https", host="localhost"))
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()


async def test_many_records_that_came_together_are_one_piece(authority, server_tls):
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    steps = [REQUEST, head, *[b"2\r\nhi\r\n"] * 50, b"0\r\n\r\n"]
    async with raw_server(steps, tls=server_tls) as server, open_transport(verify=authority) as (client, _):
        async with client.stream("GET", server.url(scheme="https", host="localhost")) as response:
            # by then all of the records are in the socket's buffer
            await anyio.sleep(0.1)
            pieces = await pieces_of(response)
        assert b"".join(pieces) == b"hi" * 50
        assert len(pieces) <= 2


@pytest.mark.parametrize("ending", [Close(), Reset()])
async def test_an_end_without_a_closing_alert_is_a_cut(authority, server_tls, ending):
    steps = [REQUEST, OK + b"\r\nhel", Pause(0.02), ending]
    async with raw_server(steps, tls=server_tls) as server, open_transport(verify=authority) as (client, _):
        with pytest.raises(httpx.ReadError):
            await client.get(server.url(scheme="https", host="localhost"))


async def test_silence_over_tls_loses_nothing(authority, server_tls):
    steps = [REQUEST, OK + b"Content-Length: 5\r\n\r\nhe", Pause(0.1), b"llo"]
    async with raw_server(steps, tls=server_tls) as server, open_transport(verify=authority, silence_seconds=0.03) as (client, _):
        async with client.stream("GET", server.url(scheme="https", host="localhost")) as response:
            pieces = await pieces_of(response)
        assert b"".join(pieces) == b"hello"
        assert b"" in pieces

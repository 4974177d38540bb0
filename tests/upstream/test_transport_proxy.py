"""Proxies: which one, what it is told, and what the target never sees."""

import httpx
import pytest

from pipeline.errors import UpstreamError
from pipeline.upstream.http import told_faults
from pipeline.upstream.http1.proxy import Proxies, ProxySettingFault, parse_proxy, proxies_from_environment
from pipeline.upstream.transport import Transport
from tests.support.open_transport import open_transport
from tests.support.raw_server import REQUEST, raw_server

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def test_http_goes_to_the_proxy_with_the_whole_address():
    async with raw_server([REQUEST, ANSWER] * 2) as proxy:
        address = f"http://me:p%40ss@127.0.0.1:{proxy.port}"
        async with open_transport(proxies=Proxies(http=address)) as (client, _):
            await client.get("http://user:word@target.example:8080/a?b=c", headers={"Proxy-Authorization": "Basic other"})
            await client.get("http://target.example:8080/again")
        first, _ = proxy.requests
        assert first.startswith(b"GET http://target.example:8080/a?b=c HTTP/1.1\r\n")
        assert b"Host: target.example:8080\r\n" in first
        assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in first
        assert b"other" not in first
        assert len(proxy.peers) == 1


async def test_https_goes_through_a_tunnel_and_credentials_stay_with_the_proxy():
    async with raw_server([REQUEST, b"HTTP/1.1 200 Connection established\r\n\r\n"]) as proxy:
        address = f"http://me:secret@127.0.0.1:{proxy.port}"
        async with open_transport(proxies=Proxies(https=address), connect_seconds=0.3) as (client, _):
            with pytest.raises(httpx.ConnectTimeout):
                await client.get("https://target.example/a", headers={"Authorization": "Bearer key"})
        assert proxy.requests == [
            b"CONNECT target.example:443 HTTP/1.1\r\nHost: target.example:443\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n",
        ]
        # what follows is the first record of a TLS handshake, never a request
        assert not proxy.peers[0].held or proxy.peers[0].held[0] == 0x16


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbytes of mine", b"SSH-2.0\r\n"],
)
async def test_a_proxy_that_refuses(answer):
    async with raw_server([REQUEST, answer]) as proxy:
        proxies = Proxies(https=f"http://me:secret@127.0.0.1:{proxy.port}")
        transport = Transport(proxies=proxies, connect_seconds=2)
        with pytest.raises(httpx.ProxyError) as caught:
            await transport.handle_async_request(httpx.Request("GET", "https://target.example/"))
        assert "secret" not in str(caught.value)
        assert transport.idle_count == 0


async def test_the_direct_way_drops_what_is_meant_for_a_proxy():
    async with raw_server([REQUEST, ANSWER]) as server:
        proxies = Proxies(http="http://127.0.0.1:1", bypass=("127.0.0.0/8",))
        async with open_transport(proxies=proxies) as (client, _):
            await client.get(server.url(), headers={"Proxy-Authorization": "Basic x"})
        assert b"proxy-authorization" not in server.requests[0].lower()


async def test_a_kind_of_proxy_that_we_do_not_speak_is_refused_and_not_bypassed():
    async with raw_server([REQUEST, ANSWER]) as server, open_transport(proxies=Proxies(http=f"socks5://127.0.0.1:{server.port}")) as (client, _):
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("http://target.example/")
        assert server.peers == []


async def test_this_machine_is_never_asked_through_a_proxy():
    """A key that may go over plain http to a loopback address would go to the proxy's machine."""
    async with raw_server([REQUEST, ANSWER] * 2) as server, raw_server([REQUEST, ANSWER] * 2) as proxy:
        async with open_transport(proxies=Proxies(http=f"http://127.0.0.1:{proxy.port}")) as (client, _):
            await client.get(server.url(), headers={"Authorization": "Bearer key"})
        assert len(server.requests) == 1
        assert proxy.peers == []


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True)),
        *(("localhost", True), ("LOCALHOST.", True), ("a.localhost", True)),
        *(("128.0.0.1", False), ("::2", False), ("0.0.0.0", False), ("localhost.example", False), ("notlocalhost", False)),
    ],
)
def test_which_hosts_are_this_machine(host, direct):
    proxies = Proxies("http://proxy.example", "http://proxy.example")
    assert [proxies.find(scheme, host, 80) is None for scheme in ("http", "https")] == [direct, direct]


@pytest.mark.parametrize(
    ("status", "code"),
    [(407, "upstream_proxy_refused"), (403, "upstream_proxy_refused"), (502, "upstream_unavailable"), (503, "upstream_unavailable")],
)
async def test_a_refusal_is_permanent_and_a_bad_way_behind_the_proxy_is_not(status, code):
    answer = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    async with raw_server([REQUEST, answer]) as proxy, open_transport(proxies=Proxies(https=f"http://127.0.0.1:{proxy.port}")) as (client, _):
        with pytest.raises(UpstreamError) as caught, told_faults():
            await client.get("https://target.example/")
    assert caught.value.code == code
    assert caught.value.status == (424 if code == "upstream_proxy_refused" else 503)


@pytest.mark.parametrize(
    ("rule", "host", "direct"),
    [
        ("*", "a.example", True),
        ("example.org", "example.org", True),
        ("example.org", "api.example.org", True),
        (".example.org", "api.example.org", True),
        ("example.org", "notexample.org", False),
        ("example.org:443", "example.org", True),
        ("example.org:8443", "example.org", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("target.example", "192.0.2.1", False),
    ],
)
def test_no_proxy(rule, host, direct):
    proxies = proxies_from_environment({"all": "http://proxy.example:3128", "no": f"other.example, {rule}"})
    assert (proxies.find("https", host, 443) is None) == direct


def test_the_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxies_from_environment() == Proxies()
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@one.example:1")
    monkeypatch.setenv("ALL_PROXY", "two.example:2")
    proxies = proxies_from_environment()
    assert [(found.host, found.port) for scheme in ("https", "http") if (found := proxies.find(scheme, "a.example", 1))] == [
        ("one.example", 1),
        ("two.example", 2),
    ]
    assert "secret" not in f"{proxies} {proxies.find('https', 'a.example', 1)}"


@pytest.mark.parametrize("address", ["socks5://a.example", "http://", "http://a:b:c", "http://a.example:99999999"])
def test_an_address_that_cannot_be_used(address):
    with pytest.raises(ProxySettingFault):
        parse_proxy(address)

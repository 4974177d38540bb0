"""The guarded fetcher: what it refuses before it connects, where it connects, and what it takes from a server that means ill."""

import gzip
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import anyio
import anyio.to_thread
import pytest

from pipeline.errors import RequestError
from pipeline.upstream.guarded_fetch import LOOKUPS_AT_ONCE, MAX_URL_CHARS, GuardedFetcher, Target, open_fetcher, read_target, resolve
from tests.support.image_files import PNG
from tests.support.open_transport import settled, socket_count
from tests.support.raw_server import REQUEST, Close, Flood, Reset, Script, raw_server
from tests.support.tls import CERTIFICATE, KEY

PATH = "messages[0].content[1].image_url"
OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = OK + b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG
MAX_BYTES = 10_000


class Names:
    """A resolver that answers from a table, each time with the next row, and remembers what it was asked."""

    def __init__(self, *rows: Sequence[str]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.rows[min(len(self.asked), len(self.rows)) - 1]


@asynccontextmanager
async def loopback_fetcher(port: int, *rows: Sequence[str], **options: Any) -> AsyncIterator[tuple[GuardedFetcher, Names]]:
    """A fetcher that may reach loopback and nothing else, and knows every name as 127.0.0.1, or as `rows` say."""
    names = Names(*(rows or (["127.0.0.1"],)))
    settings: dict[str, Any] = {"resolve": names, "may_reach": lambda address: address.is_loopback, "ports": {port}, **options}
    async with open_fetcher(**settings) as fetcher:
        yield fetcher, names


async def refusal_of(fetcher: GuardedFetcher, url: str, max_bytes: int = MAX_BYTES) -> RequestError:
    with anyio.fail_after(5), pytest.raises(RequestError) as raised:
        await fetcher.fetch(url, PATH, max_bytes)
    error = raised.value
    assert (error.status, error.type, error.param) == (400, "invalid_request_error", PATH)
    assert error.__cause__ is None
    # neither the address nor any of the URL
    assert not [word for word in ("127.0.0.1", "a.example", "CANARY") if word in error.message]
    return error


# -- before the connection -----------------------------------------------------------------------------------------------------------------------

TARGETS = {
    "https://a.example": Target("https", "a.example", 443, "/"),
    "HTTP://A.Example:80/B?c=d#e": Target("http", "a.example", 80, "/B?c=d"),
    "http://a.example:443?x": Target("http", "a.example", 443, "/?x"),
    "https://a_b.example./ü/%2f..": Target("https", "a_b.example.", 443, "/ü/%2f.."),
    "https://8.8.8.8/b": Target("https", "8.8.8.8", 443, "/b"),
    "https://[2606:4700::1111]:443/b@c": Target("https", "2606:4700::1111", 443, "/b@c"),
    "https://a.example/b://c@d:1": Target("https", "a.example", 443, "/b://c@d:1"),
}


@pytest.mark.parametrize("url", TARGETS)
def test_a_url_has_one_reading(url):
    assert read_target(url, PATH) == TARGETS[url]


BAD_URLS = [
    *(
        "https://",
        "https:///b",
        "https:a.example",
        "ftp://a.example/b",
        "file:///etc/passwd",
        "gopher://a.example/_x",
        "data:image/png;base64,AAAA",
        "",
    ),
    *("https://CANARY@a.example/b", "https://CANARY:pass@a.example/b", "https://@a.example/b", "https://a.example@127.0.0.1/b"),
    *("http://a.example\\@127.0.0.1/", "http://a.example/\\b", "http://127.0.0.1\\.a.example/", "http://a.example#@127.0.0.1:80\n/"),
    *(
        "http://a.example /b",
        "http://a.example/b c",
        "http://a.example/b\r\nX-CANARY: 1",
        "http://a\t.example/",
        "\nhttp://a.example/",
        "http://a.example/\0",
    ),
    *("http://a%2eexample/", "http://%31%32%37.0.0.1/", "http://ä.example/", "http://①②⑦.0.0.1/", "http://ſ.example/", "http://a.example/\ud800"),
    *(
        "http://a.example:/b",
        "http://a.example:80:80/",
        "http://a.example:0x50/",
        "http://a.example:-1/",
        "http://a.example:٨٠/",
        "http://a.example:99999999/",
    ),
    *("http://[::1/", "http://::1/", "http://[127.0.0.1]/", "http://[fe80::1%25lo]/", "http://[::1]x/", "http://[:]/", "http://[1:2]/"),
    *("https://a.example:22/b", "http://a.example:8080/", "http://a.example:0/", "http://a.example:65616/"),
    # IPv4 in the spellings that resolvers read: decimal, hexadecimal, octal, short, of eight digits, and with a dot at the end
    *("http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://0177.1/", "http://017700000001/"),
    *("http://127.0.0.01/", "http://0x7f.0x0.0x0.0x1/", "http://127.0.0.1./", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://0/", "http://a.0x/"),
    "https://a.example/" + "x" * MAX_URL_CHARS,
]


@pytest.mark.parametrize("url", BAD_URLS)
async def test_urls_that_are_not_even_looked_up(url):
    names = Names(["127.0.0.1"])
    async with open_fetcher(resolve=names, may_reach=lambda _: True) as fetcher:
        assert (await refusal_of(fetcher, url)).code == "invalid_image_url"
    assert names.asked == []


INSIDE = {
    "loopback": ["127.0.0.1"],
    "another loopback": ["127.9.9.9"],
    "IPv6 loopback": ["::1"],
    "private": ["10.0.0.8"],
    "metadata": ["169.254.169.254"],
    "carrier": ["100.64.1.1"],
    "unspecified": ["0.0.0.0"],
    "unique local": ["fd00:ec2::254"],
    "link-local with a scope": ["fe80::1%lo"],
    "multicast": ["224.0.0.251"],
    "mapped": ["::ffff:127.0.0.1"],
    "NAT64": ["64:ff9b::7f00:1"],
    "local NAT64": ["64:ff9b:1::7f00:1"],
    "6to4": ["2002:7f00:1::"],
    "Teredo": ["2001:0:7f00:1::"],
    "one of two": ["8.8.8.8", "127.0.0.1"],
    "the last of many": [*(f"8.8.8.{number}" for number in range(20)), "10.0.0.1"],
    "nothing": [],
    "no address": ["localhost"],
}


@pytest.mark.parametrize("addresses", INSIDE.values(), ids=INSIDE)
async def test_a_name_that_leads_inside_is_as_good_as_none(addresses):
    """The server listens on the very port: zero connections are made to it."""
    async with raw_server([REQUEST, ANSWER]) as server, open_fetcher(resolve=Names(addresses), ports={server.port}) as fetcher:
        error = await refusal_of(fetcher, server.url(host="a.example"))
        assert error.message == f"{PATH} could not be fetched: its host has no public address."
        assert server.peers == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "0.0.0.0", "localhost", "localhost."])
async def test_the_systems_own_resolver_is_judged_in_the_same_way(host):
    async with raw_server([REQUEST, ANSWER]) as server, open_fetcher(ports={server.port}) as fetcher:
        await refusal_of(fetcher, server.url(host=host))
        assert server.peers == []


@pytest.mark.parametrize("fault", [socket.gaierror(-2, "CANARY"), OSError(5, "CANARY"), UnicodeError("CANARY")], ids=repr)
async def test_a_name_that_leads_nowhere_is_refused_in_the_words_of_one_that_leads_inside(fault):
    async def fail(host: str, port: int) -> Sequence[str]:
        raise fault

    async with open_fetcher(resolve=fail) as fetcher:
        assert (await refusal_of(fetcher, "https://a.example/")).message == f"{PATH} could not be fetched: its host has no public address."


@pytest.mark.parametrize("host", ["...", "a..b", "x" * 64])
async def test_names_that_the_system_cannot_even_ask_for(host):
    async with open_fetcher() as fetcher:
        await refusal_of(fetcher, f"https://{host}/")


async def test_the_resolver_reads_addresses_and_names():
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert {ip_address(address).is_loopback for address in await resolve("localhost", 80)} == {True}


# -- the connection ------------------------------------------------------------------------------------------------------------------------------


async def test_the_request_holds_nothing_of_ours_or_of_the_clients():
    async with raw_server([REQUEST, ANSWER]) as server, loopback_fetcher(server.port) as (fetcher, _):
        assert await fetcher.fetch(server.url("/a%2Fb/ü?c=d%20e&f#g", host="a.example"), PATH, MAX_BYTES) == PNG
        (request,) = server.requests
        line, *fields = request.decode().rstrip().split("\r\n")
        assert line == "GET /a%2Fb/%C3%BC?c=d%20e&f HTTP/1.1"
        names = {field.partition(":")[0].lower() for field in fields}
        assert names == {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert {f"Host: a.example:{server.port}", "Accept-Encoding: identity", "Connection: close"} <= set(fields)


async def test_the_checked_address_is_the_connected_one():
    """A name that answers differently the second time (DNS rebinding) is not asked a second time, in one fetch; the next one is judged anew."""
    async with raw_server([REQUEST, ANSWER]) as server:
        async with loopback_fetcher(server.port, ["127.0.0.1"], ["10.0.0.1"]) as (fetcher, names):
            url = server.url(host="rebinds.example")
            assert await fetcher.fetch(url, PATH, MAX_BYTES) == PNG
            assert names.asked == [("rebinds.example", server.port)]
            assert (await refusal_of(fetcher, url)).message.endswith("its host has no public address.")
        assert len(server.peers) == 1


async def test_the_next_address_is_tried_when_the_first_takes_no_connection():
    async with raw_server([REQUEST, ANSWER]) as server:
        async with loopback_fetcher(server.port, ["127.7.7.7", "::1", "127.0.0.1"]) as (fetcher, _):
            assert await fetcher.fetch(server.url(host="a.example"), PATH, MAX_BYTES) == PNG
        async with loopback_fetcher(server.port, ["127.7.7.7", "127.7.7.8", "127.7.7.9", "127.0.0.1"]) as (fetcher, _):
            assert (await refusal_of(fetcher, server.url(host="a.example"))).message.endswith("its host cannot be reached.")


async def test_no_connection_is_kept_and_no_cookie():
    cookie = ANSWER.replace(OK, OK + b"Set-Cookie: a=CANARY; Path=/\r\n")
    async with raw_server([REQUEST, cookie]) as server, loopback_fetcher(server.port) as (fetcher, _):
        for _ in range(2):
            assert await fetcher.fetch(server.url(host="a.example"), PATH, MAX_BYTES) == PNG
        assert len(server.peers) == 2
        assert b"ookie" not in b"".join(server.requests)


async def test_the_proxy_of_the_environment_is_not_asked(monkeypatch):
    """With an address that nobody has: for one of this machine no proxy would be asked in any case."""
    async with raw_server([REQUEST, ANSWER]) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url())
        async with open_fetcher(resolve=Names(["192.0.2.1"]), may_reach=lambda _: True) as fetcher:
            with anyio.move_on_after(0.2), suppress(RequestError):
                await fetcher.fetch("http://a.example/b.png", PATH, MAX_BYTES)
        assert proxy.peers == []


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
    return context


async def test_the_certificate_is_judged_by_the_name_and_not_by_the_address(authority, server_tls):
    named: list[str | None] = []
    server_tls.sni_callback = lambda _, name, __: named.append(name)
    async with raw_server([REQUEST, ANSWER], tls=server_tls) as server, loopback_fetcher(server.port, verify=authority) as (fetcher, _):
        assert await fetcher.fetch(server.url(scheme="https", host="localhost."), PATH, MAX_BYTES) == PNG
        assert named == ["localhost"]
        for host in ("a.example", "127.0.0.1"):
            error = await refusal_of(fetcher, server.url(scheme="https", host=host))
            assert error.message.endswith("the certificate of its host is not valid.")
    async with raw_server([REQUEST, ANSWER], tls=server_tls) as server, loopback_fetcher(server.port) as (fetcher, _):
        assert (await refusal_of(fetcher, server.url(scheme="https", host="localhost"))).code == "failed_to_download_image"
        assert server.requests == []


# -- the answer ----------------------------------------------------------------------------------------------------------------------------------

BODIES: dict[str, Script] = {
    "by length": [REQUEST, ANSWER],
    "by chunks": [REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG)],
    "by the end": [REQUEST, OK + b"\r\n" + PNG, Close()],
    "byte by byte": [REQUEST, *(ANSWER[at : at + 1] for at in range(len(ANSWER)))],
    "after an interim response": [REQUEST, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ANSWER],
    "under another type": [REQUEST, ANSWER.replace(b"image/png", b"text/html")],
    "said to be identical": [REQUEST, ANSWER.replace(OK, OK + b"Content-Encoding: identity\r\n")],
}


@pytest.mark.parametrize("script", BODIES.values(), ids=BODIES)
async def test_every_frame_of_a_body(script):
    async with raw_server(script) as server, loopback_fetcher(server.port) as (fetcher, _):
        assert await fetcher.fetch(server.url(host="a.example"), PATH, MAX_BYTES) == PNG


def redirect(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Look there\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_redirects_are_not_followed(status):
    async with raw_server([REQUEST, ANSWER]) as other, raw_server([REQUEST, redirect(status, other.url("/CANARY"))]) as server:
        async with loopback_fetcher(server.port, ports={server.port, other.port}) as (fetcher, names):
            error = await refusal_of(fetcher, server.url(host="a.example"))
        assert (error.code, "redirect" in error.message) == ("failed_to_download_image", True)
        assert (len(names.asked), len(server.peers), other.peers) == (1, 1, [])


BOMB = gzip.compress(bytes(10_000_000))
FAULTS: dict[str, tuple[Script, str]] = {
    "not found": ([REQUEST, b"HTTP/1.1 404 CANARY\r\nContent-Length: 6\r\n\r\nCANARY"], "failed_to_download_image"),
    "no content": ([REQUEST, b"HTTP/1.1 204 No\r\n\r\n"], "failed_to_download_image"),
    "a part": ([REQUEST, ANSWER.replace(b"200 OK", b"206 Part")], "failed_to_download_image"),
    "gzip bomb": (
        [REQUEST, OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB],
        "failed_to_download_image",
    ),
    "another coding": ([REQUEST, ANSWER.replace(OK, OK + b"Content-Encoding: br\r\n")], "failed_to_download_image"),
    "cut": ([REQUEST, ANSWER[:-1], Close()], "failed_to_download_image"),
    "reset": ([REQUEST, ANSWER[:-1], Reset()], "failed_to_download_image"),
    "no answer": ([REQUEST, Close()], "failed_to_download_image"),
    "no http": ([REQUEST, b"CANARY\n\n" + PNG, Close()], "failed_to_download_image"),
    "an endless head": ([REQUEST, OK, Flood(b"X-A: " + b"a" * 1_000 + b"\r\n")], "failed_to_download_image"),
    "endless interim responses": ([REQUEST, Flood(b"HTTP/1.1 100 Continue\r\n\r\n")], "failed_to_download_image"),
    "a length and chunks": ([REQUEST, ANSWER.replace(OK, OK + b"Transfer-Encoding: chunked\r\n")], "failed_to_download_image"),
    "a byte too large": ([REQUEST, OK + b"Content-Length: %d\r\n\r\n" % (MAX_BYTES + 1) + bytes(MAX_BYTES + 1)], "image_file_too_large"),
    "an untrue length": ([REQUEST, OK + b"Content-Length: 99999999999\r\n\r\n", Flood(PNG)], "image_file_too_large"),
    "an endless body": ([REQUEST, OK + b"\r\n", Flood(bytes(1_000))], "image_file_too_large"),
    "endless chunks": ([REQUEST, OK + b"Transfer-Encoding: chunked\r\n\r\n", Flood(b"1\r\nx\r\n")], "image_file_too_large"),
}


@pytest.mark.parametrize(("script", "code"), FAULTS.values(), ids=FAULTS)
async def test_answers_that_are_none(script, code):
    async with raw_server(script) as server, loopback_fetcher(server.port) as (fetcher, _):
        assert (await refusal_of(fetcher, server.url("/CANARY", host="a.example"))).code == code
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()
        assert len(server.peers) == 1


async def test_no_more_is_read_than_the_limit_and_what_is_on_the_way():
    async with raw_server([REQUEST, OK + b"\r\n", Flood(bytes(100_000))]) as server, loopback_fetcher(server.port) as (fetcher, _):
        await refusal_of(fetcher, server.url(host="a.example"))
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()
        # the kernel's buffers on both sides of the socket hold the rest
        assert server.peers[0].flooded_bytes < 8_000_000


STUCK: dict[str, Script] = {
    "before the request": [],
    "before the answer": [REQUEST],
    "in the head": [REQUEST, OK],
    "in the body": [REQUEST, ANSWER[:-1]],
}


@pytest.mark.parametrize("script", STUCK.values(), ids=STUCK)
async def test_a_fetch_that_is_cancelled_closes_its_socket(script):
    async with raw_server(script) as server, loopback_fetcher(server.port) as (fetcher, _):
        before = socket_count()
        with anyio.move_on_after(0.1) as scope:
            await fetcher.fetch(server.url(host="a.example"), PATH, MAX_BYTES)
        assert scope.cancelled_caught
        with anyio.fail_after(1):
            await server.peers[0].gone.wait()
        assert await settled(before) == before


# -- lookups -------------------------------------------------------------------------------------------------------------------------------------


async def test_slow_lookups_hold_up_no_other_work_in_threads(monkeypatch):
    release = threading.Event()

    def slow(host, port, *, type=0, flags=0):
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        release.wait(5)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr("pipeline.upstream.guarded_fetch.socket.getaddrinfo", slow)
    async with anyio.create_task_group() as tasks:

        async def ask(number: int) -> None:
            with suppress(OSError):
                await resolve(f"h{number}.slow.example", 80)

        for number in range(3 * LOOKUPS_AT_ONCE):
            tasks.start_soon(ask, number)
        await anyio.sleep(0.05)
        with anyio.fail_after(1):
            assert await anyio.to_thread.run_sync(lambda: "done") == "done"
        release.set()


async def test_an_address_needs_no_lookup():
    assert await resolve("8.8.8.8", 80) == ["8.8.8.8"]

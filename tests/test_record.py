"""`penstock record` from a scripted server: what is kept, what is scrubbed, what is refused."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from pipeline.cases import REQUEST, STREAM, load_case, shipped
from pipeline.clocks import Timeouts
from pipeline.errors import StreamCut, UpstreamTimeout
from pipeline.parse.chat import parse_chat
from pipeline.prompt.composer import assemble_prompt
from pipeline.recording import Recording, keep_reads, record
from pipeline.recording_kinds import WrongUse
from pipeline.upstream.http import open_client
from pipeline.wire.composer import ComposerDecoder, encode_end, encode_text
from server.cli import main
from tests.support.composer_scripts import SCRIPTS, tokens
from tests.support.composer_server import Cut, Pause, Reply, Reset, composer_server
from tests.support.make_fixtures import make

KEY = "crsr_0123456789abcdefABCDEF"
BODY = {"model": "cursor/composer-2-5", "messages": [{"role": "user", "content": "Hello"}]}
HELLO = (encode_text("Hel"), encode_text("lo"), encode_end())


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(BODY))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "composer" / "new"


async def command(*words: object) -> int:
    """The command line, in a thread: it brings its own event loop."""
    return await trio.to_thread.run_sync(partial(main, ["record", *map(str, words)]))


async def test_a_recording_is_a_case_that_replays(body, out, capsys):
    async with composer_server(HELLO) as server:
        assert await command("--url", server.url, "--request", body, "--out", out, "--title", "A greeting") == 0
    case = load_case(out)
    assert case.stream == b"".join(HELLO)
    assert case.request == body.read_bytes()
    assert (case.meta.upstream, case.meta.surface, case.meta.title, case.meta.scrubbed) == ("composer", "chat", "A greeting", ())
    assert sum(size for _, size in case.meta.reads) == len(case.stream)
    assert f"penstock replay {out}" in capsys.readouterr().err.replace("\n", "")
    assert server.url not in "".join(path.read_text(errors="replace") for path in out.iterdir())
    assert await trio.to_thread.run_sync(main, ["replay", str(out), "--update"]) == 0
    assert (out / "expected" / "events.txt").read_text() == 'TextDelta text="Hel"\nTextDelta text="lo"\nFinish reason="stop"\n'


async def test_what_is_sent_is_composers_request(body, out):
    async with composer_server(HELLO) as server:
        await record(Recording(url=server.url, request=body.read_bytes(), out=out, headers=(("X-Team", "harbour"),)))
    (received,) = server.requests
    assert received.message is not None
    assert (received.message.model, received.message.agent, received.message.client_name) == ("composer-2.5", False, "penstock")
    assert received.message.text == assemble_prompt(parse_chat(body.read_bytes()))
    sent = received.headers
    assert (sent["content-type"], sent["connect-protocol-version"], sent["x-team"]) == ("application/connect+proto", "1", "harbour")
    assert sent["user-agent"].startswith("penstock/")
    assert sent["accept-encoding"] == "identity"


async def spoken(*script: float | bytes) -> AsyncIterator[bytes]:
    """An answer's pieces, and the seconds of silence between them."""
    for step in script:
        if isinstance(step, bytes):
            yield step
        else:
            await trio.sleep(step)


async def test_reads_keep_their_time(autojump_clock):
    reads: list[tuple[float, bytes]] = []
    told: list[tuple[int, int, float]] = []
    pieces = spoken(1.0, b"ab", b"c", 0.5, b"", 2.0, b"def")
    fault = await keep_reads(pieces, reads, Timeouts(idle_seconds=10), trio.current_time() + 100, lambda *now: told.append(now))
    assert fault is None
    assert [(round(seconds, 6), data) for seconds, data in reads] == [(1.0, b"ab"), (0.0, b"c"), (2.5, b"def")]
    assert [(count, number, round(seconds, 6)) for count, number, seconds in told] == [(2, 1, 1.0), (3, 2, 1.0), (6, 3, 3.5)]


async def test_silence_is_counted_from_the_last_read(autojump_clock):
    reads: list[tuple[float, bytes]] = []
    pieces = spoken(9.0, b"a", 9.0, b"b", 6.0, b"", 5.0, b"c")
    fault = await keep_reads(pieces, reads, Timeouts(idle_seconds=10), trio.current_time() + 100, None)
    assert isinstance(fault, UpstreamTimeout)
    assert fault.code == "upstream_idle_timeout"
    assert [data for _, data in reads] == [b"a", b"b"]


async def test_an_answer_that_goes_on_and_on_is_broken_off(autojump_clock):
    reads: list[tuple[float, bytes]] = []
    fault = await keep_reads(spoken(*(4.0, b"a") * 10), reads, Timeouts(idle_seconds=10, total_seconds=15), trio.current_time() + 15, None)
    assert isinstance(fault, UpstreamTimeout)
    assert fault.code == "upstream_total_timeout"
    assert len(reads) == 3


async def test_secrets_are_in_no_file_and_lengths_hold(out, tmp_path, monkeypatch, capsys):
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
    words = f"Your key is {KEY}, the session xsess-4711-Zürich, the token {jwt}, and Ada Byron says hi."
    body = tmp_path / "body.json"
    body.write_text(json.dumps({**BODY, "messages": [{"role": "user", "content": f"{words} sk-proj-AAAA1111BBBB2222CCCC"}]}))
    frames = [encode_text(piece, compress=at % 3 == 0) for at, piece in enumerate(tokens(words))]
    monkeypatch.setenv("SESSION", "xsess-4711-Zurich")
    async with composer_server([*frames, encode_end()]) as server:
        words_given = ["--url", server.url, "--request", body, "--out", out, "--title", f"Ada Byron and {KEY}"]
        given = ["--header", f"Authorization: Bearer {KEY}", "--header-env", "X-Session=SESSION", "--scrub", "Ada Byron", "--scrub", "4711-Zürich"]
        assert await command(*words_given, *given) == 0
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].headers["x-session"] == "xsess-4711-Zurich"
    case = load_case(out)
    replayed = await trio.to_thread.run_sync(main, ["replay", str(out), "--update"])
    assert replayed == 0
    answer = json.loads((out / "expected" / "chat.json").read_bytes())["choices"][0]["message"]["content"]
    said = "".join(path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()) + answer + capsys.readouterr().err
    for secret in (KEY, jwt, "Ada Byron", "4711-Zürich", "sk-proj", "0123456789abcdef"):
        assert secret not in said
    assert len(answer.encode()) == len(words.encode())
    assert answer.startswith(f"Your key is {'x' * len(KEY)}, the session xsess-xxxx")
    assert answer.endswith("xxxxxxxxx says hi.")
    assert sum(size for _, size in case.meta.reads) == len(case.stream)
    notes = " ".join(case.meta.scrubbed)
    assert all(place in notes for place in (STREAM, REQUEST, "header Authorization", "JWT", "--scrub"))


async def test_the_urls_own_secrets_are_scrubbed(body, out):
    said = (encode_text("You came with token-of-tides."), encode_end())
    async with composer_server([], {"/q?key=token-of-tides": said}) as server:
        assert await command("--url", server.origin + "/q?key=token-of-tides", "--request", body, "--out", out) == 0
    assert b"You came with xxxxxxxxxxxxxx." in load_case(out).stream
    assert load_case(out).meta.scrubbed == ("stream.bin: a value of the URL's query (1 place)",)


async def test_an_existing_case_is_not_overwritten_without_force(body, out, capsys):
    async with composer_server(HELLO) as server:
        words = ["--url", server.url, "--request", body, "--out", out]
        assert await command(*words) == 0
        (out / STREAM).write_bytes(b"precious")
        assert await command(*words) == 2
        assert len(server.requests) == 1, "refused before anything was sent"
        assert "--force" in capsys.readouterr().err
        assert (out / STREAM).read_bytes() == b"precious"
        assert await command(*words, "--force") == 0
    assert (out / STREAM).read_bytes() == b"".join(HELLO)


@pytest.mark.parametrize("ending", [(Cut(),), (Reset(),), (encode_end()[:3], Cut())], ids=["close", "reset", "inside a frame"])
async def test_a_cut_stream_is_written_and_status_1(ending, body, out, capsys):
    async with composer_server([encode_text("Hel"), Pause(0.02), *ending]) as server:
        assert await command("--url", server.url, "--request", body, "--out", out) == 1
    assert load_case(out).stream.startswith(encode_text("Hel"))
    assert "not complete" in capsys.readouterr().err


async def test_a_body_that_ends_without_an_end_mark_is_a_cut(body, out):
    async with composer_server([encode_text("Hel")]) as server:
        outcome = await record(Recording(url=server.url, request=body.read_bytes(), out=out))
    assert isinstance(outcome.error, StreamCut)
    assert not outcome.complete


async def test_silence_ends_a_recording(body, out):
    async with composer_server([encode_text("Hel"), Pause(30)]) as server:
        timeouts = Timeouts(idle_seconds=0.5)
        outcome = await record(Recording(url=server.url, request=body.read_bytes(), out=out, timeouts=timeouts))
        assert isinstance(outcome.error, UpstreamTimeout)
        assert outcome.case.stream == encode_text("Hel")
        with trio.fail_after(2):
            await server.requests[0].gone.wait()


async def test_an_error_end_frame_is_a_complete_answer(body, out, capsys):
    async with composer_server([encode_end({"code": "unavailable", "message": "Error"})]) as server:
        assert await command("--url", server.url, "--request", body, "--out", out) == 0
    assert "is an error: The upstream is not available" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([Reply(401, b'{"error":{"message":"who are you"}}')], "who are you"),
        ([Reply(503, b"<html>busy</html>")], "not available"),
        ([Reply(302, b"", {"location": "http://127.0.0.1:9/"})], "HTTP 302"),
        ([Cut()], "closed the connection"),
    ],
)
async def test_without_an_answer_nothing_is_written(script, says, body, out, capsys):
    async with composer_server(script) as server:
        assert await command("--url", server.url, "--request", body, "--out", out, "--header", f"Authorization: Bearer {KEY}") == 1
    told = capsys.readouterr().err
    assert says in told
    assert KEY not in told
    assert not out.exists()


async def test_an_upstream_that_cannot_be_reached(body, out, capsys):
    async with composer_server(HELLO) as server:
        url = server.url
    assert await command("--url", url, "--request", body, "--out", out) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--url", "ftp://example.invalid/x"], "the URL"),
        (["--url", "http://"], "the URL"),
        (["--url", "http://[::1/x"], "the URL"),
        (["--url", "http://127.0.0.1:99999/"], "port"),
        (["--url", "http://127.0.0.1:0/"], "port"),
        (["--url", "http://127.0.0.1/\udcff"], "the URL"),
        (["--url", f"http://{KEY}@localhost:9/"], "without user and password"),
        (["--url", f"http://me:{KEY}@localhost:9/"], "without user and password"),
        (["--out", "/dev/null/case"], "no case can be written there"),
        (["--title", "a\udcffb"], "the title is not UTF-8"),
        (["--scrub", "abcd\udcff"], "a text to scrub is not UTF-8"),
        (["--request", "no-such-file.json"], "no-such-file.json"),
        (["--header", f"Authorization {KEY}"], "Name: value"),
        (["--header", "Content-Type: text/plain"], "Content-Type"),
        (["--header", f"X-Key: {KEY}\x01"], "X-Key"),
        (["--header-env", "X-Key"], "Name=VARIABLE"),
        (["--header-env", "X-Key=NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (["--scrub", "abc"], "at least 4"),
        (["--surface", "telex"], "telex"),
    ],
)
async def test_wrong_use_is_status_2_and_tells_no_secret(words, says, body, out, capsys):
    defaults = ["--url", "http://localhost:9/", "--request", body, "--out", out]
    assert await command(*defaults, *words) == 2
    told = capsys.readouterr().err
    assert says in told
    assert KEY not in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("request_body", "says"),
    [
        (b"{", "cannot be sent"),
        (
            json.dumps(
                {**BODY, "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]}
            ).encode(),
            "image",
        ),
    ],
)
async def test_a_body_that_cannot_be_sent_is_wrong_use(request_body, says, out):
    with pytest.raises(WrongUse, match=says):
        await record(Recording(url="http://localhost:9/", request=request_body, out=out))


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_scripts_are_the_shipped_captures(name, tmp_path):
    """A new recording says the same. Its bytes may differ where they are compressed, as zlib's versions do."""
    outcome = await make(name, tmp_path / "composer" / name)
    shipped_case = load_case(shipped() / "composer" / name)
    assert outcome.case.request == shipped_case.request
    said, shipped_said = (event_lines(case.stream) for case in (outcome.case, shipped_case))
    assert said == shipped_said


def event_lines(stream: bytes) -> list[str]:
    decoder = ComposerDecoder()
    return [repr(event) for event in decoder.feed(stream) + decoder.end()]


async def test_the_server_refuses_what_is_no_connect_request():
    connect = {"content-type": "application/connect+proto", "connect-protocol-version": "1"}
    others = {"/token": [Reply(200, b'{"accessToken":"t"}', {"content-type": "application/json"})]}
    async with composer_server(HELLO, others) as server, open_client() as client:
        assert (await client.get(server.url)).status_code == 405
        assert (await client.post(server.url, content=b"{}")).status_code == 415
        assert (await client.post(server.url, content=b"{}", headers=connect)).status_code == 400
        assert (await client.post(server.origin + "/elsewhere")).status_code == 404
        assert (await client.post(server.origin + "/token", json={})).json() == {"accessToken": "t"}
    assert [(received.method, received.message) for received in server.requests] == [("GET", None), *[("POST", None)] * 4]

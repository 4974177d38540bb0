"""record(): no wait is without a clock, and nothing is sent that could not be kept."""

import errno
import gzip
import json
from functools import partial
from pathlib import Path

import pytest
import trio

from pipeline import recording
from pipeline.cases import STREAM, load_case
from pipeline.clocks import Timeouts
from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamTimeout
from pipeline.recording import Recording, folder_for, record
from pipeline.recording_kinds import WrongUse
from pipeline.wire.composer import encode_end, encode_text
from server.cli import main
from tests.support.composer_server import Reply, composer_server
from tests.support.raw_server import REQUEST, Close, Flood, Pause, raw_server

BODY = json.dumps({"model": "composer-2.5", "messages": [{"role": "user", "content": "Hello"}]}).encode()
HELLO = encode_text("Hello") + encode_end()
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "composer" / "new"


async def test_an_error_body_that_does_not_end_is_not_waited_for(out, monkeypatch):
    monkeypatch.setattr(recording, "ERROR_SECONDS", 0.2)
    async with raw_server([REQUEST, b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\nabc"]) as server:
        with trio.fail_after(3), pytest.raises(PenstockError, match="not available"):
            await record(Recording(url=server.url(), request=BODY, out=out))
        with trio.fail_after(2):
            await server.peers[0].gone.wait()
    assert not out.parent.exists()


async def test_an_error_body_is_read_no_further_than_it_is_shown(out):
    async with raw_server([REQUEST, b"HTTP/1.1 503 Busy\r\n\r\n", Flood(b"a" * 10_000)]) as server:
        with trio.fail_after(3), pytest.raises(PenstockError, match="not available"):
            await record(Recording(url=server.url(), request=BODY, out=out))


async def test_the_total_clock_also_ends_an_error_body(out):
    async with raw_server([REQUEST, b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\nabc"]) as server:
        with trio.fail_after(3), pytest.raises(PenstockError, match="not available"):
            await record(Recording(url=server.url(), request=BODY, out=out, timeouts=Timeouts(total_seconds=0.3)))


async def test_an_answer_longer_than_the_total_is_kept_as_far_as_it_came(out):
    steps = [step for _ in range(100) for step in (encode_text("la "), Pause(0.05))]
    async with raw_server([REQUEST, HEAD, *steps]) as server:
        with trio.fail_after(3):
            outcome = await record(Recording(url=server.url(), request=BODY, out=out, timeouts=Timeouts(total_seconds=0.4)))
    assert isinstance(outcome.error, UpstreamTimeout)
    assert outcome.error.code == "upstream_total_timeout"
    assert load_case(out).stream.startswith(encode_text("la "))


@pytest.mark.parametrize(
    ("timeouts", "code"),
    [(Timeouts(first_event_seconds=0.2), "upstream_first_event_timeout"), (Timeouts(total_seconds=0.2), "upstream_total_timeout")],
)
async def test_a_head_that_does_not_come_is_not_waited_for(timeouts, code, out):
    async with raw_server([REQUEST]) as server:
        with trio.fail_after(3), pytest.raises(UpstreamTimeout) as raised:
            await record(Recording(url=server.url(), request=BODY, out=out, timeouts=timeouts))
    assert raised.value.code == code
    assert not out.parent.exists()


async def test_an_empty_answer_leaves_nothing_to_write(out):
    async with raw_server([REQUEST, HEAD, Close()]) as server:
        with pytest.raises(StreamCut, match="empty"):
            await record(Recording(url=server.url(), request=BODY, out=out))
    assert not out.parent.exists()


async def test_an_answer_that_would_have_to_be_inflated_is_refused(out):
    async with composer_server([Reply(200, gzip.compress(HELLO), {"content-encoding": "gzip"})]) as server:
        with pytest.raises(ProtocolViolation, match="compressed"):
            await record(Recording(url=server.url, request=BODY, out=out))
    assert not out.exists()


async def test_headers_of_one_name_are_all_sent(out):
    async with composer_server([HELLO]) as server:
        await record(Recording(url=server.url, request=BODY, out=out, headers=(("X-Team", "harbour"), ("x-team", "tides"))))
    assert server.requests[0].headers["x-team"] == "harbour, tides"


@pytest.mark.parametrize(
    "wrong",
    [
        {"out": Path("/dev/null/case")},
        {"title": "\ud800"},
        {"source": "\ud800"},
        {"secrets": {"abcd\udcff": "x"}},
        {"request": b"{"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_nothing_is_sent_that_could_not_be_kept(wrong, out):
    async with composer_server([HELLO]) as server:
        words = {"request": BODY, "out": out, **wrong}
        with pytest.raises(WrongUse):
            await record(Recording(url=server.url, **words))
    assert server.requests == []
    assert not out.parent.exists()


def test_a_folder_that_was_there_stays_and_one_that_was_made_goes(tmp_path):
    with pytest.raises(StreamCut), folder_for(tmp_path / "a" / "b", force=False):
        raise StreamCut("nothing came")
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_cannot_be_replaced_is_seen_before(tmp_path):
    (tmp_path / STREAM).mkdir()
    with pytest.raises(WrongUse, match="directory"), folder_for(tmp_path, force=True):
        raise AssertionError("the block is not entered")
    assert (tmp_path / STREAM).is_dir()


async def test_a_disk_that_is_full_in_the_end_is_a_message_and_a_status(out, tmp_path, monkeypatch, capsys):
    def full(case):
        raise OSError(errno.ENOSPC, "No space left on device", str(case.path))

    monkeypatch.setattr(recording, "write_case", full)
    (tmp_path / "body.json").write_bytes(BODY)
    async with composer_server([HELLO]) as server:
        words = ["record", "--url", server.url, "--request", str(tmp_path / "body.json"), "--out", str(out)]
        assert await trio.to_thread.run_sync(partial(main, words)) == 1
    told = capsys.readouterr().err
    assert "could not be written" in told
    assert "No space left" in told
    assert not out.exists()

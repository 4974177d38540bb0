"""The benchmarks' program: it measures what it says in process and end to end, and leaves no process behind."""

import doctest
import json
import os
import subprocess
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import trio

from benchmarks.chat_upstream import ANSWER_CHUNKS
from benchmarks.child import ChildFailed
from benchmarks.end_to_end import FIGURES, OF_A_PROCESS
from benchmarks.expected import expect
from benchmarks.gateway import running_gateway
from benchmarks.inputs import FRAMES_PER_READ, READS, prose, thinking, tool_call
from benchmarks.load import Load, Reply, ask, connect, post, run_load
from benchmarks.measure import WrongOutput, chunks_per_second, figure
from benchmarks.stages import HEADLINE, check_events, check_stream, flow_workload, workloads
from benchmarks.upstreams import CAPTURED, CAPTURED_SETTINGS, CONNECTIONS, OPENAI_CHAT, running_upstream
from pipeline.events import TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.machine.answer import AnswerMachine

ROOT = Path(__file__).parents[2]
HAS_PROC = Path(f"/proc/self/task/{os.getpid()}/children").exists()
LEAST_CHUNKS_PER_SECOND = 300_000 / 10  # ten times less than any machine that we have seen: this finds a mistake, not a slow computer


def bench(*words, **options):
    return subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.mark.parametrize("module", ["answers", "chat_upstream", "measure"])
def test_doctests(module):
    results = doctest.testmod(import_module(f"benchmarks.{module}"))
    assert results.attempted
    assert not results.failed


# -- in process ----------------------------------------------------------------------------------------------------------------------------


async def test_the_whole_pipeline_is_fast_enough(record_property):
    rate = await chunks_per_second(flow_workload(HEADLINE, "", prose()), 0.2)
    record_property("chunks_per_second", round(rate))
    print(f"whole pipeline (flow), prose: {rate:,.0f} chunks/s")
    assert rate > LEAST_CHUNKS_PER_SECOND


@pytest.mark.parametrize("workload", workloads(), ids=lambda workload: workload.name)
async def test_every_workload_gives_what_it_must(workload):
    workload.check(await workload.run())


@pytest.mark.parametrize("script", [prose(), thinking(), tool_call()], ids=lambda script: script.name)
def test_the_scripts_are_what_they_claim(script):
    assert script.chunks == FRAMES_PER_READ * READS == sum(len(events) for events in script.events) - 1
    lengths = [len(event.text) for events in script.events for event in events if isinstance(event, TextDelta | ThinkingDelta)]
    assert 8 < sum(lengths) / len(lengths) < 11
    assert len(script.reads) == len(script.events) == READS
    assert script.arguments or "<" not in script.text + script.thinking


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda stream: stream.replace(stream[stream.index(b"data: ", 500) :].partition(b"\n\n")[0] + b"\n\n", b"", 1), "chunks instead of"),
        (lambda stream: stream.replace(b'"The retry', b'"A retry', 1), "text is not what was sent"),
        (lambda stream: stream.removesuffix(b"data: [DONE]\n\n"), "does not end with"),
        (lambda stream: stream.replace(b'"finish_reason":"stop"', b'"finish_reason":null'), "0 finish reasons"),
        (lambda stream: stream.replace(b'"delta"', b"delta", 1), "is no chunk"),
    ],
    ids=["chunk lost", "text changed", "no end", "no reason", "no JSON"],
)
async def test_damage_is_noticed(damage, message):
    script = prose()
    stream = await flow_workload(HEADLINE, "", script).run()
    check_stream(stream, script)
    assert damage(stream) != stream
    with pytest.raises(WrongOutput, match=message):
        check_stream(damage(stream), script)


def test_merged_and_changed_events_are_noticed():
    script = tool_call()
    machine = AnswerMachine(new_id=lambda: "call_1", tools=script.request.tools)
    events = [event for batch in script.events for event in machine.feed(batch)]
    check_events(events, script)
    first, second, *rest = events
    assert isinstance(first, TextDelta)
    assert isinstance(second, TextDelta)
    with pytest.raises(WrongOutput, match="events instead of"):
        check_events([TextDelta(first.text + second.text), *rest], script)
    with pytest.raises(WrongOutput, match="text is not"):
        check_events([TextDelta("x"), *events[1:]], script)
    with pytest.raises(WrongOutput, match="arguments are not what"):
        check_events(
            [ToolCallDelta(0, event.arguments.replace("page", "PAGE")) if isinstance(event, ToolCallDelta) else event for event in events], script
        )


def test_a_figure_keeps_its_samples():
    made = figure("s", [4.0, 1.0, 2.0, 8.0])
    assert (made.median, made.min, made.max, made.samples) == (3.0, 1.0, 8.0, (4.0, 1.0, 2.0, 8.0))


# -- end to end ----------------------------------------------------------------------------------------------------------------------------


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def events(*texts, stream_id="one"):
    """An answer's events; an empty text stands for the end."""
    choices = [{"delta": {"content": text}, "finish_reason": None} if text else {"delta": {}, "finish_reason": "stop"} for text in texts]
    return [b"data: " + json.dumps({"id": stream_id, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n" for choice in choices]


DONE = b"data: [DONE]\n\n"
FIRST, SECOND, LAST = events("Hi", 'data: {"', "")
STREAM = (FIRST, SECOND + LAST, DONE)
PLAIN = Reply(0.0, 200, False, b'{"choices":[{"message":{"content":"Hidata: {\\""}}]}')


def streamed(*pieces):
    return Reply(0.0, 200, True, chunked(*pieces))


EXPECTED = expect(streamed(*STREAM), PLAIN)


async def answering(stream, answer, pieces=1):
    """A server that sends these bytes to each request, cut into this many pieces."""
    while await stream.receive_some():
        for start in range(0, len(answer), -(-len(answer) // pieces)):
            await stream.send_all(answer[start : start + -(-len(answer) // pieces)])


async def serve(nursery, answer, pieces=1):
    listeners = await nursery.start(partial(trio.serve_tcp, partial(answering, answer=answer, pieces=pieces), 0, host="127.0.0.1"))
    return listeners[0].socket.getsockname()[1]


@pytest.mark.parametrize("pieces", [1, 7, 200])
async def test_the_client_reads_both_kinds_of_answer(nursery, pieces):
    for head, body in [(b"Transfer-Encoding: chunked", chunked(*STREAM)), (b"Content-Length: %d" % len(b"".join(STREAM)), b"".join(STREAM))]:
        port = await serve(nursery, b"HTTP/1.1 200 \r\n" + head + b"\r\n\r\n" + body, pieces)
        async with await connect(port) as stream:
            for _ in range(2):
                reply = await ask(stream, post(b"{}"))
                assert (reply.status, reply.content()) == (200, b"".join(STREAM))
    nursery.cancel_scope.cancel()


async def test_a_load_counts_and_checks_every_answer(nursery):
    port = await serve(nursery, b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*STREAM))
    done = await run_load(port, post(b"{}"), Load(3, 5, 10), EXPECTED.check_stream)
    assert done.exchanges == 15
    assert 0 < max(done.first_byte_seconds) < done.seconds
    shorter = expect(streamed(FIRST, LAST, DONE), Reply(0.0, 200, False, b'{"choices":[{"message":{"content":"Hi"}}]}'))
    with pytest.raises(WrongOutput, match="3 chunks instead of 2"):
        await run_load(port, post(b"{}"), Load(3, 5, 10), shorter.check_stream)
    nursery.cancel_scope.cancel()


async def test_a_load_says_that_answers_were_cut_refused_or_not_taken(nursery):
    async def cut(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*STREAM)[:20])

    port = (await nursery.start(partial(trio.serve_tcp, cut, 0, host="127.0.0.1")))[0].socket.getsockname()[1]
    with pytest.raises(WrongOutput, match="closed the connection in the middle"):
        await run_load(port, post(b"{}"), Load(1, 1, 10), EXPECTED.check_stream)
    refusing = await serve(nursery, b"HTTP/1.1 503 \r\nContent-Length: 2\r\n\r\nno")
    with pytest.raises(WrongOutput, match="503: b'no'"):
        await run_load(refusing, post(b"{}"), Load(1, 1, 10), EXPECTED.check_stream)
    nursery.cancel_scope.cancel()
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        with pytest.raises(WrongOutput, match="takes no connection"):
            await connect(unused.getsockname()[1])


def test_streams_that_say_the_same_pass_whatever_their_ids_and_pieces():
    EXPECTED.check_stream(streamed(*events("Hi", 'data: {"', "", stream_id="another"), DONE))
    EXPECTED.check_stream(Reply(0.0, 200, False, b"".join(STREAM)))


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ((FIRST, LAST, DONE), "has 2 chunks instead of 3"),
        ((FIRST, FIRST, SECOND, LAST, DONE), "has 4 chunks instead of 3"),
        ((*events('Hidata: {"', ""), DONE), "has 2 chunks instead of 3"),
        ((FIRST, *events("data"), LAST, DONE), "something else"),
        ((SECOND, FIRST, LAST, DONE), "something else"),
        ((FIRST, *events('data: {"', stream_id="another"), LAST, DONE), "has 2 chunks instead of 3"),
        ((FIRST, SECOND, LAST), "something else"),
        ((FIRST, SECOND + LAST + DONE + DONE), "something else"),
        ((DONE,), "has 0 chunks instead of 3"),
        ((), "has 0 chunks instead of 3"),
    ],
    ids=["lost", "doubled", "merged", "changed", "swapped", "another id", "no end", "two ends", "only the end", "nothing"],
)
def test_a_stream_that_differs_from_the_first_is_noticed(pieces, message):
    with pytest.raises(WrongOutput, match=message):
        EXPECTED.check_stream(streamed(*pieces))


def test_the_first_answers_must_be_what_is_known():
    assert expect(streamed(*STREAM), PLAIN, text='Hidata: {"', chunks=3) == EXPECTED
    EXPECTED.check_plain(PLAIN)
    other = Reply(0.0, 200, False, PLAIN.body.replace(b"Hi", b"Ho"))
    for check, message in [
        (lambda: expect(streamed(*STREAM), PLAIN, text="Hi"), "text is not what the upstream sent"),
        (lambda: expect(streamed(*STREAM), PLAIN, chunks=4), "4 chunks became 3"),
        (lambda: expect(streamed(*STREAM), other), "differ"),
        (lambda: expect(streamed(FIRST, *events('data: {"', "", stream_id="another"), DONE), PLAIN), "only 1 begin alike"),
        (lambda: EXPECTED.check_plain(other), "something else"),
        (lambda: EXPECTED.check_plain(Reply(0.0, 502, False, b"no")), "502: b'no'"),
    ]:
        with pytest.raises(WrongOutput, match=message):
            check()


async def test_the_gateway_stops_when_the_measurement_fails(monkeypatch):
    # the caller's settings are not the measurement's
    monkeypatch.setenv("PENSTOCK_SERVER__PORT", "not a port")
    monkeypatch.setenv("CURSOR_BACKEND_BASE_URL", "not a url")
    monkeypatch.setenv("http_proxy", "not a proxy")
    gateways = []

    async def fail():
        async with running_gateway(CAPTURED_SETTINGS) as gateway:
            gateways.append((gateway.port, gateway.cpu_seconds(), gateway.resident_bytes()))
            (await connect(gateway.port)).socket.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    [(port, cpu, resident)] = gateways
    with pytest.raises(WrongOutput, match="takes no connection"):
        await connect(port)
    assert cpu is None if not HAS_PROC else cpu is not None and 0 < cpu < 60
    assert resident is None if not HAS_PROC else resident is not None and 10 << 20 < resident < 1 << 30


async def test_a_gateway_that_does_not_start_says_why():
    with pytest.raises(ChildFailed, match=r"(?s)^the gateway did not say.*server\.workers"):
        await running_gateway("[server]\nworkers = 0\n").__aenter__()


async def test_an_upstream_that_does_not_start_says_why():
    with pytest.raises(ChildFailed, match=r"(?s)^the upstream did not say.*--burst"):
        await running_upstream(OPENAI_CHAT, 0).__aenter__()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PROC, reason="finds the gateway's process in /proc")
def test_sigterm_stops_the_programs_that_were_started_too():
    program = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--only", "end-to-end", "--upstream", OPENAI_CHAT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with program:
        deadline = time.monotonic() + 20
        while len(started := started_by(program.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        program.terminate()
        said = program.communicate(timeout=20)
    assert (program.returncode, *said) == (143, b"", b"")
    assert len(started) == 2  # the upstream and the gateway
    assert not any(Path(f"/proc/{child}").exists() for child in started)


def started_by(pid):
    # a thread of the program starts them; git, which it asks for the commit, is not one of them
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [child for child in children if {b"serve", b"benchmarks.chat_upstream"} & set(words_of(child))]


def words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # it is over
        return []


# -- the program ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_quick_run_shows_and_writes_everything(tmp_path):
    done = bench("--quick", "--json", str(tmp_path / "results.json"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    counts = {workload.label: 1 for workload in workloads()} | {label: len(CONNECTIONS) for label, _ in FIGURES.values()}
    counts[FIGURES[OF_A_PROCESS][0]] = 1
    assert {label: sum(line.startswith(label + "  ") for line in lines) for label in counts} == counts

    written = json.loads((tmp_path / "results.json").read_text())
    assert (written["format"], written["plan"]["repeats"], written["plan"]["quick"]) == (2, 3, True)
    assert written["provenance"].keys() >= {"date", "commit", "python", "processor", "cores", "libraries", "penstock"}
    assert [stage["name"] for stage in written["stages"]] == [workload.name for workload in workloads()]
    for stage in written["stages"]:
        rate, cost = stage["chunks_per_second"], stage["microseconds_per_chunk"]
        assert len(rate["samples"]) == len(cost["samples"]) == 3
        assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert cost["median"] == pytest.approx(1e6 / rate["median"])
    assert [(one["scenario"]["upstream"], one["scenario"]["load"]["connections"]) for one in written["end_to_end"]] == list(CONNECTIONS.items())
    for one in written["end_to_end"]:
        names = [name for name in FIGURES if name != OF_A_PROCESS or one["scenario"]["upstream"] != CAPTURED]
        assert [row["name"] for row in one["rows"]] == names
        figures = {row["name"]: row["figure"]["median"] for row in one["rows"] if row["figure"] is not None}
        assert min(value for name, value in figures.items() if name != OF_A_PROCESS) > 0
        assert figures["chunks"] == pytest.approx(figures["streams"] * one["chunks_per_stream"])
        assert figures["first_byte_p50"] <= figures["first_byte_p99"]
    assert written["end_to_end"][1]["chunks_per_stream"] == ANSWER_CHUNKS


@pytest.mark.parametrize(
    "words",
    [
        ["--repeats", "2"],
        ["--connections", "0"],
        ["--only", "nothing"],
        ["--upstream", "nothing"],
        ["--burst", "65"],
        ["--json", os.path.join("no", "folder.json")],
    ],
)
def test_wrong_use_is_status_2(words):
    done = bench(*words)
    assert done.returncode == 2
    assert "penstock bench: " in done.stderr

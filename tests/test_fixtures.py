"""Every shipped case: what the pipeline makes of it is what lies beside it, and no cut of its bytes changes that.

The snapshots are the files of the case's own `expected/` folder, so that the replay tool and these tests compare with the same bytes. A file there
that no test uses is an unused snapshot; a plain test says so too, since syrupy looks for unused ones only when no single test file is asked for.
"""

import itertools
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from syrupy.data import Snapshot, SnapshotCollection
from syrupy.extensions.single_file import SingleFileSnapshotExtension

from pipeline.cases import EXPECTED, Case, find_cases, load_case, shipped
from pipeline.emit.base import AnswerHead
from pipeline.emit.chat import ChatStream
from pipeline.events import Failed, Finish, UpstreamEvent
from pipeline.expectations import FORMS, Replay, files_of, http_error
from pipeline.identity import Identity
from pipeline.machine.custom_calls import CustomCalls
from pipeline.models import MODELS, resolve_composer_model
from pipeline.prompt.custom_tools import in_function_form
from pipeline.upstream.replayed import KINDS
from pipeline.usage.meter import UsageMeter
from pipeline.wire.connect import HEADER_BYTES
from tests.support.replayed_machines import machine_of
from tests.support.splits import EVERY_SPLIT_LIMIT, splits

ROOT = shipped()
CASES = [load_case(path) for path in find_cases(ROOT)]
LONG_CASE_EDGES = 4
ENDINGS = (
    *(b'"finish_reason":"', b'"type":"response.completed"', b'{"result":{"agentId"'),
    *(b'"type":"finish"', b'"type":"error"', b'"type":"abort"', b'"type":"message_delta"'),
)  # how an event begins that says how the answer ended
FOLDERS = {
    "composer": "composer",
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic": "anthropic",
    "website": "website",
    "sdk-bridge": "sdk_bridge",
}  # the kind of upstream -> where its cases are


class CaseFiles(SingleFileSnapshotExtension):
    """Raw files in the cases' folders; a snapshot's name is its path below the fixtures."""

    file_extension = ""

    @classmethod
    def get_snapshot_name(cls, *, test_location, index=0):
        return f"test_expected[{index}]"

    @classmethod
    def get_location(cls, *, test_location, index):
        return str(ROOT / str(index))

    @classmethod
    def dirname(cls, *, test_location):
        return str(ROOT / "*" / "*" / EXPECTED)

    @classmethod
    def discovery_dirname(cls, *, test_location):
        return str(ROOT)

    @classmethod
    def matches_test_location(cls, *, test_location, snapshot_location):
        return test_location.methodname == "test_expected" and Path(snapshot_location).parent.name == EXPECTED

    def is_snapshot_location(self, *, location):
        return Path(location).parent.name == EXPECTED

    def owns_snapshot_collection(self, *, filepath, test_location):
        return self.is_snapshot_location(location=filepath)

    def read_snapshot_collection(self, *, snapshot_location):
        collection = SnapshotCollection(location=snapshot_location)
        collection.add(Snapshot(name=f"test_expected[{Path(snapshot_location).relative_to(ROOT)}]"))
        return collection


@pytest.fixture
def expected(snapshot):
    return snapshot.use_extension(CaseFiles)


@pytest.mark.parametrize(("case", "file"), [pytest.param(case, file, id=f"{case.name}-{file}") for case in CASES for file in files_of(case)])
async def test_expected(case: Case, file: str, expected):
    assert await FORMS[file](Replay(case)) == expected(name=str((case.path / EXPECTED / file).relative_to(ROOT)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expectations_are_complete_and_nothing_else(case: Case):
    assert sorted(path.name for path in (case.path / EXPECTED).iterdir()) == sorted(files_of(case))


def test_there_are_cases_and_they_are_small():
    for kind, folder in FOLDERS.items():
        assert sum(case.meta.upstream == kind for case in CASES) >= 16
        assert sum(path.stat().st_size for path in (ROOT / folder).rglob("*") if path.is_file()) < 500_000
    assert set(FOLDERS) == set(KINDS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recorded_reads_are_the_stream(case: Case):
    assert sum(size for _, size in case.meta.reads) == len(case.stream)
    assert b"".join(data for _, data in case.recorded_reads()) == case.stream


class Feeder:
    """Bytes through codec, machine and emitter without the flow's generators; a fresh run for every cut."""

    def __init__(self, case: Case) -> None:
        self.case = case
        asked = Replay(case).request()
        self.kind = KINDS[case.meta.upstream]
        self.request = asked if self.kind.custom_tools else in_function_form(asked)
        self.wrapped = frozenset() if self.kind.custom_tools else frozenset(tool.name for tool in asked.tools if tool.custom)
        self.prompt = self.kind.prompt(self.request)
        resolved = resolve_composer_model(self.request.model)
        self.model = MODELS[resolved] if resolved else None

    def run(self, pieces: Sequence[bytes]) -> bytes:
        identity = Identity.frozen()
        decoder = self.kind.decoder(self.prompt, self.model)
        meter = UsageMeter(self.prompt)
        head = AnswerHead(identity.new("chatcmpl-"), identity.created(), self.request.model, include_usage=self.request.include_usage)
        emitter = ChatStream(head, meter.report)
        machine = machine_of(self.kind, self.request, lambda: identity.new("call_"))
        custom = CustomCalls(self.wrapped)
        sent: list[bytes] = []
        batches: list[list[UpstreamEvent]] = [decoder.feed(piece) for piece in pieces]
        for batch in [*batches, decoder.end()]:
            events = meter.feed(custom.feed(machine.feed(batch)))
            if events and not sent and isinstance(events[0], Failed):
                return http_error(events[0].error)
            if events:
                sent.append(emitter.feed(events))
            if events and isinstance(events[-1], Finish | Failed):
                break
        return b"".join(sent)


def frame_edges(case: Case) -> list[int]:
    """The offsets at which envelopes or events begin."""
    stream = case.stream
    if case.meta.upstream not in ("composer", "sdk-bridge"):
        return [0, *(found.end() for found in re.finditer(rb"\n\n", stream) if found.end() < len(stream))]
    edges, at = [], 0
    while at + HEADER_BYTES <= len(stream):
        edges.append(at)
        at += HEADER_BYTES + int.from_bytes(stream[at + 1 : at + HEADER_BYTES], "big")
    return edges


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_cut_changes_the_answer(case: Case):
    feeder = Feeder(case)
    answer = (case.path / EXPECTED / "chat.sse").read_bytes()
    near = frame_edges(case)
    if len(case.stream) > EVERY_SPLIT_LIMIT:
        # all edges would be as many cuts as bytes: the first, the last, and some between
        near = [*near[:1], *random.Random(0).sample(near[1:-1], LONG_CASE_EDGES), *near[-1:]]
    for pieces in splits(case.stream, near=near):
        assert feeder.run(pieces) == answer, [len(piece) for piece in itertools.islice(pieces, 10)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_changed_byte_of_the_answer_would_be_seen(case: Case):
    """The comparison above cannot pass for want of an answer: a stream that lost its last envelope, or the event that ends it, gives another one."""
    edges, ending = frame_edges(case), max(case.stream.rfind(mark) for mark in ENDINGS)
    last = edges[-1] if ending < 0 else max(edge for edge in edges if edge < ending)
    assert Feeder(case).run([case.stream[:last]]) != (case.path / EXPECTED / "chat.sse").read_bytes()

"""The workloads in process: each stage alone, and the whole pipeline, from Composer's bytes to the chat stream's.

Every pass is one answer with fresh machines, as in service, and every output is compared with what the script says that it must be. The whole
pipeline is measured twice: `chain` calls the synchronous machines one after the other; `flow` is `pipeline.flow` under trio, with its clocks and
generators and an upstream that decodes reads from memory and gives other tasks their turn before each, as a socket does. `flow-prose` is the figure
to watch.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import anyio.lowlevel
import msgspec

from benchmarks.answers import read_stream
from benchmarks.inputs import ENDS, Script, prose, thinking, tool_call
from benchmarks.measure import Workload, WrongOutput
from pipeline.emit.base import AnswerHead
from pipeline.emit.chat import ChatStream
from pipeline.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallStart, UpstreamEvent, UsageReport
from pipeline.flow import Exchange, Terms, open_stream
from pipeline.identity import Identity
from pipeline.machine.answer import AnswerMachine
from pipeline.models import MODELS, Model
from pipeline.request import Request
from pipeline.upstream.base import Outgoing
from pipeline.usage.estimate import tokens_in
from pipeline.usage.meter import UsageMeter
from pipeline.wire.composer import ComposerDecoder

Output = TypeVar("Output")

HEADLINE = "flow-prose"
"""The workload whose figure stands for the pipeline."""


class InMemoryUpstream:
    """A Composer whose reads lie in memory."""

    def __init__(self, reads: Sequence[bytes]) -> None:
        self.name = "memory"
        self.writes_markers = True
        self.keeps_promises = False
        self._reads = reads

    def models(self) -> Sequence[Model]:
        """Those that Composer lists."""
        return tuple(MODELS.values())

    def find_model(self, model_id: str) -> Model | None:
        """What is known of the model."""
        return MODELS.get(model_id)

    async def prepared(self, request: Request) -> Request:
        """The request as it is."""
        return request

    def write(self, request: Request) -> Outgoing:
        """Only the words of the request: nothing is sent."""
        return Outgoing(request, b"", "".join(message.text for message in request.messages))

    async def stream(self, outgoing: Outgoing, key: str | None) -> AsyncGenerator[list[UpstreamEvent], None]:
        """One list for each read."""
        decoder = ComposerDecoder()
        for read in self._reads:
            await anyio.lowlevel.checkpoint()
            yield decoder.feed(read)


def workloads() -> list[Workload[Any]]:
    """All of them, in the order of the table."""
    text, thought, call = prose(), thinking(), tool_call()
    return [
        _decode("decode", "Connect and Composer decoding, prose", text),
        _machine("machine-prose", "marker machine, prose", text),
        _machine("machine-thinking", "marker machine, thinking", thought),
        _machine("machine-argument", "marker machine, streamed argument", call),
        _meter("meter", "usage meter, prose", text),
        _emitter("emitter", "chat emitter, prose", text),
        _chain("chain-prose", "whole pipeline (chain), prose", text),
        _chain("chain-tool-call", "whole pipeline (chain), tool call", call),
        flow_workload(HEADLINE, "whole pipeline (flow), prose", text),
        flow_workload("flow-tool-call", "whole pipeline (flow), tool call", call),
    ]


def flow_workload(name: str, label: str, script: Script) -> Workload[bytes]:
    """The whole pipeline as the server runs it."""
    upstream = InMemoryUpstream(script.reads)

    async def run() -> bytes:
        answer = await open_stream(Exchange(script.request, upstream, Terms(show_thinking=True)))
        async with aclosing(answer):
            return b"".join([piece async for piece in answer.pieces])

    return Workload(name, label, script.chunks, run, lambda stream: check_stream(stream, script))


def _decode(name: str, label: str, script: Script) -> Workload[list[list[UpstreamEvent]]]:
    def work() -> list[list[UpstreamEvent]]:
        decoder = ComposerDecoder()
        return [decoder.feed(read) for read in script.reads]

    def check(output: list[list[UpstreamEvent]]) -> None:
        if output != list(script.events):
            raise WrongOutput(f"decoding {script.name} gave other events than were encoded")

    return Workload(name, label, script.chunks, _awaitable(work), check)


def _machine(name: str, label: str, script: Script) -> Workload[list[Event]]:
    def work() -> list[Event]:
        machine = _answer_machine(script)
        return [event for batch in script.events for event in machine.feed(batch)]

    return Workload(name, label, script.chunks, _awaitable(work), lambda events: check_events(events, script))


def _meter(name: str, label: str, script: Script) -> Workload[UsageReport]:
    batches = _after_machine(script)
    expected = tokens_in(script.text)

    def work() -> UsageReport:
        meter = UsageMeter()
        for batch in batches:
            meter.feed(batch)
        return meter.report()

    def check(usage: UsageReport) -> None:
        if usage.completion_tokens != expected:
            raise WrongOutput(f"the meter counted {usage.completion_tokens} tokens instead of {expected}")

    return Workload(name, label, script.chunks, _awaitable(work), check)


def _emitter(name: str, label: str, script: Script) -> Workload[bytes]:
    batches, usage = _after_machine(script), UsageMeter()

    def work() -> bytes:
        emitter = ChatStream(_head(script), usage.report)
        return b"".join([emitter.feed(batch) for batch in batches])

    return Workload(name, label, script.chunks, _awaitable(work), lambda stream: check_stream(stream, script))


def _chain(name: str, label: str, script: Script) -> Workload[bytes]:
    def work() -> bytes:
        decoder, machine, meter = ComposerDecoder(), _answer_machine(script), UsageMeter()
        emitter = ChatStream(_head(script), meter.report)
        return b"".join([emitter.feed(meter.feed(machine.feed(decoder.feed(read)))) for read in script.reads])

    return Workload(name, label, script.chunks, _awaitable(work), lambda stream: check_stream(stream, script))


def check_stream(stream: bytes, script: Script) -> None:
    """Raise WrongOutput unless the stream has every chunk and says what the script says."""
    said = read_stream(stream)
    if said.chunks != script.chunks_out:
        raise WrongOutput(f"{script.name}: {script.chunks} deltas became {said.chunks} chunks instead of {script.chunks_out}")
    _check_words(said.text, said.thinking, said.arguments, script)


def check_events(events: Sequence[Event], script: Script) -> None:
    """Raise WrongOutput unless the machine's events are as many as are to be shown and say what the script says."""
    shown = sum(isinstance(event, TextDelta | ThinkingDelta | ToolCallStart | ToolCallDelta) for event in events)
    if shown + ENDS != script.chunks_out:
        raise WrongOutput(f"{script.name}: {script.chunks} deltas became {shown} events instead of {script.chunks_out - ENDS}")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    _check_words(text, thinking, "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)), script)


def _check_words(text: str, thinking: str, arguments: str, script: Script) -> None:
    if text != script.text or thinking != script.thinking:
        raise WrongOutput(f"{script.name}: the text is not what was sent")
    if arguments or script.arguments is not None:
        try:
            value = msgspec.json.decode(arguments, type=dict[str, str])
        except msgspec.DecodeError as error:
            raise WrongOutput(f"{script.name}: the arguments are no JSON: {error}") from None
        if value != script.arguments:
            raise WrongOutput(f"{script.name}: the arguments are not what was sent")


def _answer_machine(script: Script) -> AnswerMachine:
    return AnswerMachine(new_id=lambda: "call_1", tools=script.request.tools)


def _head(script: Script) -> AnswerHead:
    identity = Identity.frozen()
    return AnswerHead(identity.new("chatcmpl-"), identity.created(), script.request.model, show_thinking=True)


def _after_machine(script: Script) -> list[list[Event]]:
    machine = _answer_machine(script)
    return [machine.feed(batch) for batch in script.events]


def _awaitable(work: Callable[[], Output]) -> Callable[[], Awaitable[Output]]:
    """Synchronous work in the form that `measure` runs; the extra call is one a pass, not one a chunk."""

    async def run() -> Output:
        return work()

    return run

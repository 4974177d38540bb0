"""A run of the SDK's agent as it lies in a recording: the stream of `Send`, with the callbacks of its tools in their places.

Theory of operation: a run's answer comes by two ways, the stream and the bridge's callbacks, and a recording is one row of bytes. So a callback
stands in it as an envelope of our own, `{"callCustomTool": …}`, with the callback's body; no bridge sends that. It becomes a `NativeToolCall`. A body
that ends behind such calls, between two envelopes and without the run's result, is a run that waits for their results: `Finish(tool_calls)`.
`{"goOn": {}}` in front says that the stream is the rest of a run that waited. Everything else is `RunDecoder`'s.

Invariants: those of `RunDecoder`.
"""

from pipeline.errors import ProtocolViolation
from pipeline.events import Finish, FinishReason, NativeToolCall, UpstreamEvent
from pipeline.wire.connect import FLAG_END_STREAM, EnvelopeDecoder, encode_envelope
from pipeline.wire.sdk_callbacks import read_callback
from pipeline.wire.sdk_run import RunDecoder

GOES_ON = encode_envelope(b'{"goOn":{}}')
"""What the recording of a run's second part begins with."""

_CALL_HEAD, _CALL_TAIL = b'{"callCustomTool":', b"}"


def recorded_call(body: bytes) -> bytes:
    """The body of a callback as it stands in a recording."""
    return encode_envelope(_CALL_HEAD + body + _CALL_TAIL)


class RecordedRunDecoder:
    """Feed the bytes of a recording, get events; splits may fall anywhere.

    >>> decoder = RecordedRunDecoder()
    >>> decoder.feed(recorded_call(b'{"toolName":"Glob","args":{"pattern":"*.py"},"agentId":"a"}')), decoder.end()
    ([NativeToolCall(id='', name='Glob', arguments='{"pattern":"*.py"}')], [Finish(reason=<FinishReason.TOOL_CALLS: 'tool_calls'>, raw=None)])
    """

    def __init__(self) -> None:
        self._framing = EnvelopeDecoder()
        self._run = RunDecoder()
        self._waits = False

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read and return the events that it completes."""
        events: list[UpstreamEvent] = []
        for envelope in self._framing.feed(data):
            whole = encode_envelope(envelope.payload, flags=FLAG_END_STREAM if envelope.is_end else 0)
            if whole == GOES_ON:
                self._run.go_on()
            elif not envelope.is_end and envelope.payload.startswith(_CALL_HEAD):
                events += self._call(envelope.payload)
            else:
                events += self._run.feed(whole)
        if self._framing.fault is not None:
            events += self._run.end(self._framing.fault)
        return events

    def end(self) -> list[UpstreamEvent]:
        """End of the body."""
        if self._waits and self._framing.at_boundary and not self._run.finished:
            return [Finish(FinishReason.TOOL_CALLS)]
        return self._run.end(self._framing.end())

    def _call(self, payload: bytes) -> list[UpstreamEvent]:
        if self._run.finished:
            return []
        try:
            callback = read_callback(payload.removeprefix(_CALL_HEAD).removesuffix(_CALL_TAIL))
        except ProtocolViolation as fault:
            return self._run.end(fault)
        self._waits = True
        return [NativeToolCall("", callback.tool_name, callback.arguments)]

"""A run of the SDK's agent: the Connect stream of `Send` to events.

Theory of operation: reads of any length come in; the events that they complete go out, in order. Each envelope holds one JSON message with one of
`interactionUpdate` (a piece of text or thinking, a step, a tool), `sdkMessage` (the same once more, and the run's own matters), `result` (how the run
ended), `done`, or nothing, which is a keep-alive. `RunMessages` reads the first two. Calls of the client's tools do not come here: the bridge asks
for them by callbacks (`pipeline.wire.sdk_callbacks`).

`Finish` comes with the stream's end message, and only behind a `result` that says that the run has finished. Any other result, an error in the end
message, an end without a result, and a stream that is cut are `Failed`. After either, `finished` is true and nothing more comes.

A run that waits for the results of tools outlives the request that started it: `go_on` says that what follows is the answer of the next one. The
run's usage is that of all its requests, so that the last one is told it by a Notice `run_usage` and not as its own.

Invariants: bytes never raise; deltas are never empty, and a text that is told twice is said once; the same bytes give the same events however they
are cut. Nothing is held back but an unfinished message. What is of an unknown type is counted, and of no other effect.
"""

from collections.abc import Collection, Mapping

from pipeline.errors import PenstockError, ProtocolViolation, StreamCut, UpstreamTimeout
from pipeline.events import Failed, Finish, FinishReason, Notice, UpstreamEvent
from pipeline.request import Json
from pipeline.wire.connect import MAX_MESSAGE_BYTES, Envelope, EnvelopeDecoder
from pipeline.wire.json_values import as_object, decode_json
from pipeline.wire.openai_chunks import mended
from pipeline.wire.sdk_errors import error_from_end, error_from_result
from pipeline.wire.sdk_messages import Fields, RunMessages
from pipeline.wire.sdk_usage import Counts, as_report, read_counts

FINISHED, FAILED = "RUN_LIFECYCLE_STATUS_FINISHED", "RUN_LIFECYCLE_STATUS_ERROR"
CANCELLED, EXPIRED = "RUN_LIFECYCLE_STATUS_CANCELLED", "RUN_LIFECYCLE_STATUS_EXPIRED"

# What of updates and messages comes only where the model is at work. Steps, statuses, counts and keep-alives come without, and so may what is new.
_WORK = frozenset(
    (
        *("text-delta", "thinking-delta", "thinking-completed", "token-delta"),
        *("tool-call-started", "partial-tool-call", "tool-call-completed"),
        *("assistant", "thinking", "tool_call"),
    )
)


class RunDecoder:
    r"""Feed the bytes of a run's stream, get events; splits may fall anywhere.

    Attributes:
        finished: `Finish` or `Failed` has been given: nothing more comes.
        activity: how many messages have come that show that the model is at work.
        data_messages: how many have come that are no keep-alives.

    >>> from pipeline.wire.connect import encode_envelope
    >>> decoder = RunDecoder()
    >>> decoder.feed(encode_envelope(b'{"interactionUpdate":{"type":"text-delta","update":{"type":"text-delta","text":"Hi"}}}'))
    [TextDelta(text='Hi')]
    >>> decoder.end()
    [Failed(error=StreamCut("The upstream's answer ended without its end mark."))]
    """

    def __init__(
        self,
        *,
        callers_key: bool = True,
        secrets: Collection[str] = (),
        custom_tools: Collection[str] = (),
        parked_before: bool = False,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Nothing has been read yet.

        Args:
            callers_key: whether the key that the bridge was told is the caller's own.
            secrets: texts that may not stand in an error.
            custom_tools: the names of the client's tools.
            parked_before: the stream goes on behind results of tools, and another decoder has read its beginning.
            max_message_bytes: of one message, as sent and as inflated.
        """
        self.finished = False
        self.activity = 0
        self.data_messages = 0
        self._callers_key = callers_key
        self._secrets = secrets
        self._parked_before = parked_before
        self._framing = EnvelopeDecoder(max_message_bytes)
        self._messages = RunMessages(custom_tools, secrets)
        self._has_spoken = False  # in the answer of this request
        self._usage: Counts = {}
        self._finish: Finish | None = None

    @property
    def run_id(self) -> str | None:
        """The run's id, from the first message that names it."""
        return self._messages.run_id

    @property
    def call_order(self) -> Mapping[str, int]:
        """The ids of the calls that the model has begun, the agent's own, each with its place among them."""
        return self._messages.call_order

    @property
    def _events(self) -> list[UpstreamEvent]:
        """Those of the feed that is running."""
        return self._messages.events

    def go_on(self) -> None:
        """What follows belongs to the answer of another request, which brought the results of the run's tools."""
        self._parked_before = True
        self._has_spoken = self._messages.has_said_text = False

    def feed(self, data: bytes) -> list[UpstreamEvent]:
        """Consume the next read and return the events that it completes."""
        events = self._messages.events = []
        if self.finished:
            return events
        for envelope in self._framing.feed(data):
            self._read_envelope(envelope)
            if self.finished:
                return events
        if self._framing.fault is not None:
            self._fail(self._framing.fault)
        self._has_spoken = self._has_spoken or _says(events)
        return events

    def end(self, fault: PenstockError | None = None) -> list[UpstreamEvent]:
        """End of the body, by a `fault` of the connection where there was one: nothing when the answer has finished, else why it has not."""
        events = self._messages.events = []
        missing = None if self.finished else fault or self._framing.end()
        if missing is not None:
            self._fail(missing)
        return events

    def _read_envelope(self, envelope: Envelope) -> None:
        if envelope.is_end:
            self._close(envelope.payload)
            return
        if not envelope.payload:
            return
        message = decode_json(envelope.payload)
        if message is None:
            message = decode_json(mended(envelope.payload))
            if message is not None:
                self._events.append(Notice("mended_text", "bytes or escapes that are no characters were replaced by U+FFFD"))
        if not isinstance(message, dict):
            self._fail(ProtocolViolation("The bridge sent a message that is not a JSON object."))
        elif message:
            self._read_message(as_object(message))

    def _read_message(self, message: Fields) -> None:
        self.data_messages += 1
        update, told = as_object(message.get("interactionUpdate")), as_object(message.get("sdkMessage"))
        fields = as_object(update.get("update")) if update else as_object(told.get("message"))
        kind = fields.get("type") or (update or told).get("type")
        if "result" in message or (isinstance(kind, str) and kind in _WORK):
            self.activity += 1
        if update:
            self._messages.read_update(kind, fields)
        elif told:
            self._messages.read_message(kind, fields)
        elif result := as_object(message.get("result")):
            self._read_result(result)
        else:
            self._messages.learn_run_id(as_object(message.get("done")).get("runId"))

    def _read_result(self, fields: Fields) -> None:
        if self._finish is not None:
            return
        told = as_object(fields.get("result"))
        self._messages.learn_run_id(fields.get("runId") or told.get("runId"))
        self._usage = read_counts(told.get("usage"))
        status = fields.get("status") or told.get("status")
        if status == FINISHED:
            self._messages.read_text_of_result(told.get("result"), is_part=self._parked_before)
            self._finish = Finish(FinishReason.STOP, FINISHED)
        else:
            self._fail(self._why_not_finished(status, fields, told))

    def _why_not_finished(self, status: Json, fields: Fields, told: Fields) -> PenstockError:
        if status == EXPIRED:
            return UpstreamTimeout("The SDK gave the run up, since it took too long.")
        if status not in (FAILED, CANCELLED):
            return ProtocolViolation("The run ended and its result does not say how.")
        codes = ("cancelled",) if status == CANCELLED else (fields.get("errorCode"), told.get("errorCode"))
        code = next((code for code in codes if isinstance(code, str) and code), "")
        message = told.get("errorMessage")
        text = message if isinstance(message, str) and message else self._messages.trouble
        return error_from_result(code, text, callers_key=self._callers_key, secrets=self._secrets)

    def _close(self, payload: bytes) -> None:
        error = error_from_end(payload, callers_key=self._callers_key, secrets=self._secrets)
        if error is not None or self._finish is None:
            self._fail(error or StreamCut("The run's stream ended without its result."))
            return
        self._report_usage()
        self.finished = True
        self._events.append(self._finish)

    def _fail(self, error: PenstockError) -> None:
        if self._has_spoken or _says(self._events):  # a fault that comes first must be the first event
            self._report_usage()
        self.finished = True
        self._events.append(Failed(error))

    def _report_usage(self) -> None:
        report = as_report(self._usage) or as_report(self._messages.usage)
        if report is None:
            return
        if self._parked_before:
            counts = f"{report.prompt_tokens} tokens of prompts, {report.cached_tokens} of them cached, and {report.completion_tokens} of answers"
            self._events.append(Notice("run_usage", f"all requests of this run together: {counts}"))
        else:
            self._events.append(report)


def _says(events: list[UpstreamEvent]) -> bool:
    return any(not isinstance(event, Notice) for event in events)

"""What the bridge of the SDK says went wrong, as the error that a client is told.

Theory of operation: an error comes as a Connect error (of an HTTP answer, or in the end message of a stream), or as the code and the message of a run
that failed. All three are read into a `Report`: the SDK's own code, Connect's, and the text for people. The most exact word has the last say: first
`TEXTS`, for what has no code of its own, then the SDK's code, Connect's, and the HTTP status. The words are compared in one spelling, since the same
code is `SDK_ERROR_CODE_AGENT_BUSY` in an error's details and `agent_busy` in a run's result.

The bridge's own token is ours: an answer that it is not accepted comes from a bridge that was started again, and says nothing of the caller's key.

Invariants: nothing here raises, whatever the bytes are. A message is one line of at most `MAX_MESSAGE_CHARS`, without HTML, the `secrets` and what
looks like a key; an id of the request and an address of help stand at its end, where they were told and there is room. Left alone: retries.
"""

import re
import time
from collections.abc import Collection, Mapping

from pipeline.errors import PenstockError, ProtocolViolation, UpstreamUnavailable
from pipeline.wire.error_text import MAX_MESSAGE_CHARS, clean_message
from pipeline.wire.json_values import as_object, decode_json
from pipeline.wire.outcomes import REFUSED_CREDENTIALS, Outcome, told_retry_after
from pipeline.wire.sdk_error_report import Report, read_report, spelled
from pipeline.wire.sdk_error_table import BAD_KEY, FAILED, INCOMPATIBLE, RETRYABLE, STATUSES, TEXTS, WORDS

RESTARTED = Outcome(UpstreamUnavailable, "The bridge was started again; send the request once more.", "upstream_bridge_restarted")
_OWN_TOKEN_REFUSED = "Unauthorized"
_ELLIPSIS = "…"
_ACTIVE_RUN = re.compile(r"\bactive run (run-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) is not terminal\b")
_HELP = re.compile(r"https://[^\s\"'<>@\\]{1,200}", re.ASCII)
_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def error_from_unary(status: int, headers: Mapping[str, str], body: bytes, *, callers_key: bool, secrets: Collection[str] = ()) -> PenstockError:
    """What an HTTP answer other than 200 says.

    Args:
        status: of the answer.
        headers: of the answer, spelled in any case.
        body: as received, of any type.
        callers_key: whether the key that the bridge was told is the caller's own.
        secrets: texts that may not stand in the error.
    """
    report = read_report(decode_json(body), secrets, time.time())
    if status == 401 and not report.word and report.text in ("", _OWN_TOKEN_REFUSED):
        return _error(RESTARTED, Report(), callers_key=callers_key)
    # a method that the bridge does not have is answered without a word
    outcome = INCOMPATIBLE if status == 404 and not body.strip() else _outcome(report) or STATUSES.get(status, FAILED)
    return _error(outcome, report, callers_key=callers_key, secrets=secrets, retry_after=told_retry_after(headers), status=status)


def error_from_end(payload: bytes, *, callers_key: bool, secrets: Collection[str] = ()) -> PenstockError | None:
    """What the end message of a stream says: None for a proper end, else the error.

    >>> error_from_end(b"{}", callers_key=True) is None
    True
    >>> error_from_end(b'{"error": {"code": "unavailable", "message": "Busy"}}', callers_key=True)
    UpstreamUnavailable('The SDK is not available at the moment. It says: Busy')
    """
    if not payload:
        return None
    frame = decode_json(payload)
    if not isinstance(frame, dict):
        return ProtocolViolation("The upstream's end message is not a JSON object.")
    error = as_object(frame).get("error")
    if error is None:
        return None
    report = read_report(error, secrets, time.time())
    return _error(_outcome(report) or FAILED, report, callers_key=callers_key, secrets=secrets)


def error_from_result(error_code: str, message: str, *, callers_key: bool, secrets: Collection[str] = ()) -> PenstockError:
    """What the result of a run that failed says; both may be empty.

    >>> error_from_result("invalid_model", "No such model: x", callers_key=True)
    ModelNotFound('The SDK does not know this model. It says: No such model: x')
    """
    report = Report(word=spelled(error_code), text=clean_message(message, secrets))
    return _error(_outcome(report) or FAILED, report, callers_key=callers_key, secrets=secrets)


def active_run(error: PenstockError) -> str | None:
    """The run that keeps an agent from being deleted, where that is what the bridge says.

    >>> said = b'{"message": "Cannot delete agent a: active run run-0d9f6c1e-5b7a-4f7e-9a57-1f0f6a0c2b11 is not terminal."}'
    >>> active_run(error_from_unary(500, {}, said, callers_key=True))
    'run-0d9f6c1e-5b7a-4f7e-9a57-1f0f6a0c2b11'
    """
    found = _ACTIVE_RUN.search(error.message)
    return None if found is None else found[1]


def _outcome(report: Report) -> Outcome | None:
    exact = report.word or report.code
    by_text = next((outcome for pattern, codes, outcome in TEXTS if exact in codes and pattern.search(report.text)), None)
    return by_text or WORDS.get(report.word) or WORDS.get(report.code)


def _error(
    outcome: Outcome,
    report: Report,
    *,
    callers_key: bool,
    secrets: Collection[str] = (),
    retry_after: float | None = None,
    status: int | None = None,
) -> PenstockError:
    text = report.text
    if outcome is BAD_KEY and not callers_key:
        outcome, text = REFUSED_CREDENTIALS, ""
    message = outcome.message
    if outcome is FAILED and not text:
        reason = report.word or report.code or (f"HTTP {status}" if status is not None else "")
        message = f"The SDK failed ({clean_message(reason)})." if reason else message
    told_after = report.retry_after_seconds if report.retry_after_seconds is not None else retry_after
    return outcome.error(
        _with_text(message, text, _notes(report, secrets)),
        code=outcome.code,
        retry_after_seconds=told_after if outcome in RETRYABLE else None,
    )


def _with_text(message: str, text: str, notes: str) -> str:
    """Our sentence, what the bridge says as far as there is room for it, and the notes whole."""
    if text:
        room = MAX_MESSAGE_CHARS - len(message) - len(" It says: ") - len(notes)
        message += " It says: " + (text if len(text) <= room else text[: room - 1].rstrip() + _ELLIPSIS)
    return message + notes


def _notes(report: Report, secrets: Collection[str]) -> str:
    """Where to read on, and the id under which the vendor finds the request; what may hold a secret is left out."""
    help_url = report.help_url if _HELP.fullmatch(report.help_url) and clean_message(report.help_url, secrets) == report.help_url else ""
    request_id = (
        report.request_id if _REQUEST_ID.fullmatch(report.request_id) and clean_message(report.request_id, secrets) == report.request_id else ""
    )
    return (f" See {help_url}" if help_url else "") + (f" (request id {request_id})" if request_id else "")

"""What a website's chat endpoint says went wrong, as the error that a client is told.

Theory of operation: an HTTP answer, or the text of an error in a stream, is first held against the signs of a refusal: a page of HTML where an answer
should be, a firewall's own header (`CHALLENGES`), or the status 403. Such an endpoint wants a browser, a person, or another network. That is a
permanent fault, for the operator to mend: 424 `upstream_refused`, which another target of the route need not share. A page may also come with a
status that says enough by itself (`SPEAKING`): a limit, a fault of the server, a key that is not accepted. All else is told as servers with one of
OpenAI's APIs tell it, so `OpenAIErrors` reads it.

Invariants: nothing raises, whatever the bytes are. No part of a page is in a message; of an error in JSON the text for people is, as one bounded line
without HTML, the `secrets` and what looks like a key. Left alone: retries. No bot check is answered here or elsewhere.
"""

import re
from collections.abc import Mapping

from pipeline.errors import PenstockError, PermissionDenied, UpstreamError, UpstreamUnusable
from pipeline.request import Json
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_object, decode_json
from pipeline.wire.openai_errors import RATE_LIMIT, OpenAIErrors
from pipeline.wire.outcomes import Outcome

REFUSED = Outcome(
    UpstreamUnusable,
    "The endpoint that the gateway's operator configured refuses the gateway. Penstock answers no bot checks and does not pass for a browser.",
    "upstream_refused",
)

ABORTED = Outcome(UpstreamError, "The upstream broke the answer off.")

CHALLENGES = ("cf-mitigated", "x-vercel-mitigated", "x-amzn-waf-action")
"""Headers of an answer that a firewall gave in the website's place (Cloudflare, Vercel, AWS), in lower case."""

SPEAKING = frozenset({401, 402, 404, 405, 407, 408, 410, 429, *range(500, 600)})
"""The statuses that mean the same with a page for a body."""

_LIMITED = re.compile(r"\brate.?limit|too many requests", re.IGNORECASE)
_BLANK = b"\xef\xbb\xbf \t\r\n"


def is_page(headers: Mapping[str, str], body: bytes = b"") -> bool:
    """Whether an answer is a page for a browser: by its type, or by how its body begins.

    >>> is_page({"Content-Type": "text/html; charset=utf-8"}), is_page({}, b" <!DOCTYPE html>"), is_page({"content-type": "text/event-stream"})
    (True, True, False)
    """
    told = _header(headers, "content-type").partition(";")[0].strip().lower()
    return told in ("text/html", "application/xhtml+xml") or body.lstrip(_BLANK).startswith(b"<")


class WebsiteErrors(OpenAIErrors):
    """Reads the errors of one website.

    >>> WebsiteErrors().from_part("Too many requests, slow down")
    RateLimited('The upstream limits the rate of requests. It says: Too many requests, slow down')
    """

    def refused(self, says: Json = None) -> PenstockError:
        """The endpoint will not answer the gateway; `says` is its own text for people, if any."""
        return self._saying(REFUSED, says)

    def from_http(self, status: int, headers: Mapping[str, str], body: bytes) -> PenstockError:
        """What an HTTP answer says that is no stream; one of 200 only where it is a page."""
        if any(_header(headers, name) for name in CHALLENGES):
            return self.refused()
        if is_page(headers, body):
            return super().from_http(status, headers, b"") if status in SPEAKING else self.refused()
        error = super().from_http(status, headers, body)
        return self.refused(_text_for_people(decode_json(body))) if isinstance(error, PermissionDenied) else error

    def from_part(self, value: Json) -> PenstockError:
        """What an error in a stream says: a text, in which some servers put JSON, or an object."""
        text = value if isinstance(value, str) else ""
        decoded = decode_json(text.encode(errors="replace"))
        error = self.from_stream(decoded if as_object(decoded) else value)
        if type(error) is UpstreamError and _LIMITED.search(text):
            return self._saying(RATE_LIMIT, text)
        return error

    def broken_off(self, reason: Json = None) -> PenstockError:
        """The website stopped the answer; `reason` is its own text, if any."""
        return self._saying(ABORTED, reason)

    def _saying(self, outcome: Outcome, text: Json) -> PenstockError:
        says = clean_message(text, self._secrets) if isinstance(text, str) else ""
        message = f"{outcome.message} It says: {says}" if says else outcome.message
        return outcome.error(clean_message(message), code=outcome.code, may_pass_elsewhere=True)


def _text_for_people(value: Json) -> Json:
    outer = as_object(value)
    inner = as_object(outer.get("error"))
    return next((text for text in (inner.get("message"), outer.get("error"), outer.get("message"), outer.get("detail")) if isinstance(text, str)), "")


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")

"""One line for each request: method, path, status, the key's name, model, targets, times, chunks and notices; never content, never keys.

A response that has no proper end says whose doing that was: `client=gone`, or `end=broken_off` where the gateway broke it off so that its client does
not take it for whole.
"""

import logging
import time
from typing import TypeVar

from pipeline.events import Notice
from pipeline.failover import Trail
from server.streaming import Streamable

A = TypeVar("A", bound=Streamable)

RECORD = "penstock.record"
"""The key of the ASGI scope under which a request's record lies."""

MAX_WORD_CHARS = 120

log = logging.getLogger("penstock.access")


class Record:
    """What becomes one line. Times are in seconds of the monotonic clock."""

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.status: int | None = None
        self.request_id = ""
        self.model = ""
        self.upstream = ""
        self.key = ""
        self.error = ""
        self.notices: list[Notice] = []
        self.answer: Streamable | None = None
        self.trail = Trail()
        self.complete = False
        self.sent_bytes = 0
        self._started = time.monotonic()
        self._first: float | None = None

    def streaming(self, answer: A) -> A:
        """The answer is on its way; what it came to is asked of its emitter at the end."""
        self.answer = answer
        return answer

    def wrote(self, size: int) -> None:
        """Bytes of the body are on their way to the client."""
        if self._first is None:
            self._first = time.monotonic()
        self.sent_bytes += size

    def write(self) -> None:
        """Write the line."""
        if log.isEnabledFor(logging.INFO):
            log.info("%s", self.line())

    def line(self) -> str:
        """The line's text.

        >>> record = Record("GET", "/health")
        >>> record.status, record.complete = 200, True
        >>> record.line().startswith("GET /health 200 total=0")
        True
        """
        now = time.monotonic()
        words = [word(self.method), word(self.path), str(self.status or "-")]
        if self.key:
            words.append(f"key={word(self.key)}")
        if self.model:
            words.append(f"model={word(self.model)}")
        attempts = self.trail.attempts
        if attempts:
            words.append(f"target={word(attempts[-1].target)}")
        elif self.upstream:
            words.append(f"upstream={word(self.upstream)}")
        if len(attempts) > 1:
            words.append(f"attempts={','.join(f'{word(attempt.target)}:{attempt.outcome}' for attempt in attempts)}")
        stream = None if self.answer is None else self.answer.emitter
        if stream is not None and self._first is not None:
            words.append(f"first={self._first - self._started:.3f}s")
        words.append(f"total={now - self._started:.3f}s")
        notices, error = self.notices, self.error
        if stream is not None:
            notices = stream.notices
            words.append(f"chunks={stream.chunks}")
            if stream.error is not None:
                error = stream.error.code
        if error:
            words.append(f"error={error}")
        if notices:
            words.append(f"notices={','.join(dict.fromkeys(notice.code for notice in notices))}")
        if not self.complete:
            words.append("end=broken_off" if stream is not None and stream.is_broken else "client=gone")
        if self.request_id:
            words.append(f"id={self.request_id}")
        return " ".join(words)


def word(text: str) -> str:
    """A client's text as one printable word of bounded length."""
    shown = "".join(character if character.isprintable() and not character.isspace() else "?" for character in text[:MAX_WORD_CHARS])
    return shown + ("…" if len(text) > MAX_WORD_CHARS else "")

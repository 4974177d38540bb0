"""One line for each request: method, path, status, the key's name, model, upstream, times, chunks and notices; never content, never keys."""

import logging
import time

from pipeline.emit.base import Emitter
from pipeline.events import Notice

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
        self.stream: Emitter | None = None
        self.complete = False
        self.sent_bytes = 0
        self._started = time.monotonic()
        self._first: float | None = None

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
        if self.upstream:
            words.append(f"upstream={word(self.upstream)}")
        if self.stream is not None and self._first is not None:
            words.append(f"first={self._first - self._started:.3f}s")
        words.append(f"total={now - self._started:.3f}s")
        notices, error = self.notices, self.error
        if self.stream is not None:
            notices = self.stream.notices
            words.append(f"chunks={self.stream.chunks}")
            if self.stream.error is not None:
                error = self.stream.error.code
        if error:
            words.append(f"error={error}")
        if notices:
            words.append(f"notices={','.join(dict.fromkeys(notice.code for notice in notices))}")
        if not self.complete:
            words.append("client=gone")
        if self.request_id:
            words.append(f"id={self.request_id}")
        return " ".join(words)


def word(text: str) -> str:
    """A client's text as one printable word of bounded length."""
    shown = "".join(character if character.isprintable() and not character.isspace() else "?" for character in text[:MAX_WORD_CHARS])
    return shown + ("…" if len(text) > MAX_WORD_CHARS else "")

"""A response that streams an answer."""

from quart_trio.wrappers import TrioResponse

from pipeline.emit.chat import CONTENT_TYPE
from pipeline.flow import Answer

HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


class StreamedResponse(TrioResponse):
    """Server-sent events, one write for each list of events; the connection closes the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # quart types its headers as a bare dict
            answer.pieces, headers=HEADERS, content_type=CONTENT_TYPE
        )
        self.answer = answer

"""What every answer to the load client's question must be: as many chunks, and the same text, as the first one, which was read in full.

Theory of operation: all chunks of a stream begin alike, with an id and a time that are the stream's own. With that beginning taken out of each, the
streams that say the same are the same bytes. So one pass in C compares a stream, however many chunks it has, and notices a chunk that is lost,
doubled, merged or changed, and a missing end.
"""

import msgspec

from benchmarks.answers import read_stream, read_whole
from benchmarks.load import Reply
from benchmarks.measure import WrongOutput

BEFORE_CHOICES = b',"choices":['
OK = 200


class Expected(msgspec.Struct, frozen=True):
    """What every answer must be; `without_heads` is a stream without the beginnings of its chunks."""

    text: str
    chunks: int
    without_heads: bytes

    def check_stream(self, reply: Reply) -> None:
        """Raise WrongOutput unless the stream has every chunk, the text and a proper end."""
        count, without_heads = _without_heads(_content(reply))
        if without_heads != self.without_heads:
            if count != self.chunks:
                raise WrongOutput(f"a stream has {count} chunks instead of {self.chunks} and ends with {reply.body[-60:]!r}")
            raise WrongOutput(f"a stream of {count} chunks says something else than the first, and ends with {reply.body[-60:]!r}")

    def check_plain(self, reply: Reply) -> None:
        """Raise WrongOutput unless the plain answer says the text."""
        if read_whole(_content(reply)) != self.text:
            raise WrongOutput("a plain answer says something else than the one before")


def expect(streamed: Reply, plain: Reply, *, text: str | None = None, chunks: int | None = None) -> Expected:
    """Read the first stream and the first plain answer to the same question; raises WrongOutput.

    Args:
        streamed: a stream, read strictly here.
        plain: its plain answer, which must say the same.
        text: what both must say, where it is known.
        chunks: how many chunks the stream must have, `[DONE]` not counted, where that is known.
    """
    content = _content(streamed)
    said = read_stream(content)
    if said.text != read_whole(_content(plain)):
        raise WrongOutput("the stream and the plain answer to the same question differ")
    if text is not None and said.text != text:
        raise WrongOutput("the text is not what the upstream sent")
    if chunks is not None and said.chunks != chunks:
        raise WrongOutput(f"the upstream's {chunks} chunks became {said.chunks}")
    count, without_heads = _without_heads(content)
    if count != said.chunks:
        raise WrongOutput(f"of {said.chunks} chunks only {count} begin alike")
    return Expected(said.text, said.chunks, without_heads)


def _without_heads(content: bytes) -> tuple[int, bytes]:
    head = content[: content.find(BEFORE_CHOICES) + 1]
    if not head:
        return 0, content
    parts = content.split(head)
    return len(parts) - 1, b"\n".join(parts)


def _content(reply: Reply) -> bytes:
    if reply.status != OK:
        raise WrongOutput(f"the server answered {reply.status}: {reply.body[:200]!r}")
    return reply.content()

"""What stands behind the gateway in a measurement end to end, under the name by which the results call it.

`captured` is the demo embedded in the gateway, at full speed: it makes and decodes Composer's bytes and has no network. `openai-chat` is a process of
its own (`benchmarks.chat_upstream`), so that the gateway pays for the connection, the HTTP and the events too, as in service.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from benchmarks.chat_upstream import ANSWER_CHUNKS, TEXT
from benchmarks.child import Child, running_child

CAPTURED = "captured"
OPENAI_CHAT = "openai-chat"
CONNECTIONS = {CAPTURED: 8, OPENAI_CHAT: 32}
"""Every upstream, in the order of the results -> the load client's connections, where the user does not say."""

CAPTURED_SETTINGS = """\
[auth]
mode = "open"

[upstreams.captured]
kind = "captured"
pace_seconds = 0
"""
OPENAI_CHAT_SETTINGS = """\
[auth]
mode = "open"

[upstreams.openai-chat]
kind = "openai-chat"
base_url = "http://127.0.0.1:{port}/v1"
"""


class Behind(msgspec.Struct, frozen=True):
    """An upstream that is ready.

    `settings` is the gateway's `penstock.toml`; `child` the upstream's process, if any. `text` and `chunks` (as the client counts them) are what
    each answer must be, where that is known before the first.
    """

    settings: str
    child: Child | None = None
    text: str | None = None
    chunks: int | None = None


@asynccontextmanager
async def running_upstream(name: str, burst: int) -> AsyncGenerator[Behind, None]:
    """Make the upstream of this name ready, and stop it at the end; `burst` is for `openai-chat`. Raises ChildFailed."""
    if name == CAPTURED:
        yield Behind(CAPTURED_SETTINGS)
        return
    with TemporaryDirectory(prefix="penstock-bench-") as folder:
        words = ("-m", "benchmarks.chat_upstream", "--burst", str(burst))
        async with running_child("upstream", words, Path(folder)) as child:
            # the gateway's own chunk with the role stands for the upstream's, so there are as many chunks out as in
            yield Behind(OPENAI_CHAT_SETTINGS.format(port=child.port), child, TEXT, ANSWER_CHUNKS)

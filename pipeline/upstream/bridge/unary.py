"""One unary call to one start of the bridge.

Theory of operation: `Endpoint` is where a start of the bridge is asked, and with which token; `ask` posts a body to one method there and gives the
body of a 200. Everything else is raised, in the words of `pipeline.wire.sdk_errors`.

Invariants: the token goes to that address only, and into no error, log or repr. The answer is bounded in bytes, and the whole call in time. A call is
made once: whether it may be made again is known to who asks for it.
"""

from collections.abc import Collection

import anyio
import msgspec

from pipeline.credential import Secret
from pipeline.errors import ProtocolViolation, UpstreamTimeout
from pipeline.upstream.http import Client, content_coding, opened, read_bounded
from pipeline.upstream.redaction import redacted
from pipeline.wire.sdk_errors import error_from_unary
from pipeline.wire.sdk_requests import UNARY_HEADERS

MAX_ANSWER_BYTES = 4 * 1024 * 1024


class Endpoint(msgspec.Struct, frozen=True):
    """One start of the bridge, as one that asks it has to know it.

    `url` has no slash at its end: a method's path follows. `version` is the bridge's own word. Each start has another `generation`, counted from 1,
    and another `workspace`, an empty folder that agents may be made in; it goes with the start.
    """

    url: str
    token: Secret
    version: str
    generation: int
    workspace: str

    @property
    def headers(self) -> dict[str, str]:
        """What lets a request in."""
        return {"Authorization": f"Bearer {self.token.reveal()}"}


async def ask(
    client: Client, endpoint: Endpoint, path: str, body: bytes, *, within_seconds: float, callers_key: bool = True, secrets: Collection[str] = ()
) -> bytes:
    """The answer of the method at `path`.

    Args:
        client: asks without a proxy, as ours does for whatever listens on this machine.
        endpoint: whom.
        path: one of the paths in `pipeline.wire.sdk_requests`.
        body: what that method takes.
        within_seconds: the most that it may take, from the connection to the last byte.
        callers_key: whether the key in the body is the caller's own, which is then who is told that it was refused.
        secrets: what stands in the body and in no error.

    Raises:
        UpstreamUnavailable: nothing listens there any more, or it does not know the token (code `upstream_bridge_restarted`).
        UpstreamTimeout: it took too long.
        PenstockError: what the bridge says.
    """
    hidden = (endpoint.token.reveal(), *secrets)
    headers = {**UNARY_HEADERS, "Accept-Encoding": "identity", **endpoint.headers}
    with anyio.move_on_after(within_seconds):
        async with opened(client, "POST", endpoint.url + path, headers, body) as response:
            if content_coding(response) is not None:
                raise ProtocolViolation("The bridge compressed its answer although it was asked not to.")
            answer = await read_bounded(response, MAX_ANSWER_BYTES + 1)
            if response.status_code != 200:
                raise redacted(error_from_unary(response.status_code, response.headers, answer, callers_key=callers_key, secrets=hidden), hidden)
            if len(answer) > MAX_ANSWER_BYTES:
                raise ProtocolViolation(f"The bridge's answer is larger than {MAX_ANSWER_BYTES} bytes.")
            return answer
    raise UpstreamTimeout(f"The bridge did not answer within {within_seconds:g} seconds.")

"""A request as Composer is sent it: the message, and the headers around it.

Theory of operation: `write_message` makes one Connect envelope of a canonical `Request`, the prompt that was assembled from it and the images that
the prompt counts (`[image 1]` and so on), in the same order. Where no images are given the message has none, whatever the request holds.
`connect_headers` are the headers without which it would be another protocol. All who write such a request write it here: the upstream, the embedded
demonstration and the recorder. Ids and the time come from the `Identity`, so that a frozen one gives the same bytes again.
"""

import hashlib
import platform
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.identity import Identity
from pipeline.models import resolve_composer_model, with_effort
from pipeline.request import Request
from pipeline.upstream.images import ImageFile
from pipeline.wire.composer_request import ComposerImage, ComposerRequest, encode_request

CONTENT_TYPE = "application/connect+proto"

FIXED_HEADERS = frozenset(
    [
        *("content-type", "connect-protocol-version", "accept-encoding", "x-request-id"),
        *("host", "content-length", "content-encoding", "transfer-encoding"),
        *("connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"),
    ]
)
"""Headers, in lower case, that nobody can replace: another value would make it another protocol. Whoever reads the settings refuses them."""


def write_message(
    request: Request, prompt: str, identity: Identity, *, conversation_id: str | None = None, images: Sequence[ImageFile] = ()
) -> bytes:
    """The body that is sent; without a conversation id it has a fresh one."""
    message = ComposerRequest(
        text=prompt,
        model=with_effort(resolve_composer_model(request.model) or request.model, request.options.reasoning_effort),
        agent=request.agent,
        message_id=fresh_uuid(identity),
        conversation_id=conversation_id or fresh_uuid(identity),
        os=platform.system().lower(),
        arch=platform.machine(),
        time_iso=datetime.fromtimestamp(identity.created(), UTC).isoformat(),
        images=tuple(ComposerImage(image.data, image.header.width, image.header.height, fresh_uuid(identity)) for image in images),
    )
    return encode_request(message)


def connect_headers(identity: Identity) -> dict[str, str]:
    """The headers of one call, with a request id of its own. Connect compresses inside the stream, so that nothing is to compress it again."""
    return {
        "Content-Type": CONTENT_TYPE,
        "Connect-Protocol-Version": "1",
        "Accept-Encoding": "identity",
        "x-request-id": fresh_uuid(identity),
    }


def fresh_uuid(identity: Identity) -> str:
    """A new UUID, as random as the identity's ids are."""
    return derived_uuid(identity.new(""))


def derived_uuid(*names: str) -> str:
    """The UUID of some names, the same for the same ones; its bits are those of their SHA-256, and its form is that of a random UUID.

    >>> derived_uuid("account", "session")
    '1b722ff8-d0de-40fc-9e4b-75025ba55fbc'
    """
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))

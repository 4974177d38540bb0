"""The headers of a request that posts JSON and is answered with a stream of events, and which of them no setting replaces.

It stands alone so that settings can be checked without a client of the network.
"""

from pipeline.wire.openai_chat import REQUEST_HEADERS

_FRAMING = "host content-length content-encoding transfer-encoding connection keep-alive proxy-authorization proxy-connection te trailer upgrade"
FIXED_HEADERS = frozenset(_FRAMING.split()) | {name.lower() for name in REQUEST_HEADERS}
"""Headers, in lower case, that no setting replaces: another value would make it another exchange."""

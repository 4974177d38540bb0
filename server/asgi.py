"""What the server adds to quart-trio's connection.

quart-trio cancels its own task inside the final `send`: hypercorn then never finishes the exchange, `Connection: close` is ignored, bodies of
HTTP/1.0 never end, and an idle connection holds the shutdown. So the last body message is shielded. Quart's response timeout is not used. A streamed
answer is closed here whatever happened to it, also when the client went before its first byte; and the request's line in the access log is written
here, where the end of a stream is known.
"""

from typing import Any, cast

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart.wrappers import Request
from quart_trio.asgi import TrioASGIHTTPConnection

from pipeline.emit.base import BrokenOff
from server.access_log import RECORD, Record
from server.gateway import lifecycle_of
from server.lifecycle import WORK
from server.streaming import NURSERY, StreamedResponse


class HttpConnection(TrioASGIHTTPConnection):
    """One request and its response."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the request; write its line when it is over."""
        record = Record(self.scope["method"], self.scope["path"])
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]  # ASGI leaves room for the server's own keys
        scope[RECORD] = record

        async def observed(message: Any) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            elif message["type"] == "http.response.body":
                if message.get("body"):
                    record.wrote(len(message["body"]))
                if not message.get("more_body", False):
                    with trio.CancelScope(shield=True):
                        await send(message)
                    record.complete = True
                    return
            await send(message)

        try:
            with lifecycle_of(self.app).working() as scope[WORK]:
                await super().__call__(receive, observed)
        finally:
            record.write()

    async def handle_request(self, nursery: trio.Nursery, request: Request, send: ASGISendCallable) -> None:  # type: ignore[override]  # quart-trio adds the nursery too
        """Answer without Quart's own timeout, and close what was opened; a stream that is broken off ends without its frame's end."""
        cast("dict[str, object]", self.scope)[NURSERY] = nursery
        response = await self.app.handle_request(request)
        try:
            await self._send_response(send, response)
        except BrokenOff:
            pass  # hypercorn closes the connection of an answer that its app left unfinished
        finally:
            if isinstance(response, StreamedResponse):
                await response.answer.aclose()
        nursery.cancel_scope.cancel()

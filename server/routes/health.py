"""`/health` says that the process lives, `/ready` whether it wants traffic."""

import time

import msgspec
from quart import Blueprint, Response

from server.gateway import Gateway


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    async def health() -> Response:
        return _status("ok", 200)

    @routes.get("/ready")
    async def ready() -> Response:
        if gateway.lifecycle.stopping.is_set():
            return _status("draining", 503)
        return _status("ready", 200)

    return routes


def _status(word: str, status: int) -> Response:
    body = msgspec.json.encode({"status": word, "timestamp": int(time.time())})
    return Response(body, status=status, content_type="application/json", headers={"cache-control": "no-store"})

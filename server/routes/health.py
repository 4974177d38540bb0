"""`/health` says that the process lives, `/ready` whether it wants traffic: not while it shuts down, nor when no upstream could answer.

Whether an upstream answers is not tried: a probe must be quick, and a fault of somebody else's server would take ours out of use. What is looked at
is whether one that a route leads to is configured at all. No upstream is named, since probes show no key.
"""

import time

import msgspec
from quart import Blueprint, Response

from server.gateway import Gateway
from server.problems import listed
from server.resolver import usable_upstreams


def blueprint(gateway: Gateway) -> Blueprint:
    """The routes."""
    routes = Blueprint("health", __name__)
    usable = usable_upstreams(gateway.settings)

    @routes.get("/health")
    async def health() -> Response:
        return _status("ok", 200)

    @routes.get("/ready")
    async def ready() -> Response:
        if gateway.lifecycle.stopping.is_set():
            return _status("draining", 503)
        if not usable:
            missing = dict.fromkeys(name for table in gateway.settings.upstreams.values() for name in table.missing)
            return _status("not configured", 503, reason=f"no upstream can be used: {listed(missing, 'and')} not set")
        return _status("ready", 200)

    return routes


def _status(word: str, status: int, **more: str) -> Response:
    body = msgspec.json.encode({"status": word, "timestamp": int(time.time()), **more})
    return Response(body, status=status, content_type="application/json", headers={"cache-control": "no-store"})

"""`/`: a page for the person who opened the address in a browser.

It is rendered on the server and loads nothing. Its one style and one script stand in it, and the Content-Security-Policy names them by their hashes,
so that nothing else runs, whatever an upstream calls its models. A rendered page is kept for a while, for each address under which it was asked for,
unless it was rendered before the upstream had told its models. The upstream is asked only where no key is asked for: a stranger causes no call with
anybody's key.
"""

import base64
import hashlib
import time
from collections import OrderedDict
from pathlib import Path
from typing import cast

from quart import Blueprint, Response, current_app, render_template

from server.gateway import Gateway
from server.live_models import Asked, Glance, Spawn
from server.web.page import facts

KEPT_SECONDS = 30.0
KEPT_COUNT = 8
LIST_SECONDS = 1.0
"""How long the page may wait for an upstream's list; a later view has it."""

WEB = Path(__file__).parents[1] / "web"
STYLE = (WEB / "page.css").read_text(encoding="utf-8")
SCRIPT = (WEB / "page.js").read_text(encoding="utf-8")


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hashed(STYLE)}",
        f"script-src {_hashed(SCRIPT)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def blueprint(gateway: Gateway) -> Blueprint:
    """The route."""
    routes = Blueprint("pages", __name__)
    rendered: OrderedDict[str, tuple[float, str]] = OrderedDict()

    @routes.get("/")
    async def index() -> Response:
        base_url = gateway.base_url()
        until, page = rendered.get(base_url, (0.0, ""))
        if time.monotonic() >= until:
            glance = await _glance(gateway)
            page = await _render(gateway, base_url, glance)
            if glance.asked is not Asked.PENDING:
                rendered[base_url] = time.monotonic() + KEPT_SECONDS, page
            while len(rendered) > KEPT_COUNT:
                rendered.popitem(last=False)
        return Response(page, content_type="text/html; charset=utf-8", headers=HEADERS)

    return routes


async def _glance(gateway: Gateway) -> Glance:
    if gateway.door.mode != "open":
        return Glance()
    spawn = current_app.add_background_task  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # quart says no more than a Callable
    return await gateway.live.glance(cast("Spawn", spawn), within_seconds=LIST_SECONDS)


async def _render(gateway: Gateway, base_url: str, glance: Glance) -> str:
    shown = facts(gateway.settings, base_url, list(gateway.routing.models(glance.live)), glance.asked)
    return await render_template("index.html", **shown, style=STYLE, script=SCRIPT)

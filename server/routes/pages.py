"""`/`: a page for the person who opened the address in a browser.

It is rendered on the server and loads nothing. Its one style and one script stand in it, and the Content-Security-Policy names them by their hashes,
so that nothing else runs, whatever an upstream calls its models. A rendered page is kept for a while, for each address under which it was asked for.
The upstream is asked for its list only where no key is asked for: a stranger causes no call with anybody's key.
"""

import base64
import hashlib
import time
from collections import OrderedDict
from pathlib import Path

from quart import Blueprint, Response, render_template

from server.gateway import Gateway
from server.routing import NOTHING_LIVE
from server.web.page import facts

KEPT_SECONDS = 30.0
KEPT_COUNT = 8
LIST_SECONDS = 1.0
"""How long the page may wait for an upstream's list."""

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
            page = await _render(gateway, base_url)
            rendered[base_url] = time.monotonic() + KEPT_SECONDS, page
            while len(rendered) > KEPT_COUNT:
                rendered.popitem(last=False)
        return Response(page, content_type="text/html; charset=utf-8", headers=HEADERS)

    return routes


async def _render(gateway: Gateway, base_url: str) -> str:
    live = await gateway.routing.live(None, within_seconds=LIST_SECONDS) if gateway.door.mode == "open" else NOTHING_LIVE
    shown = facts(gateway.settings, base_url, list(gateway.routing.models(live)))
    return await render_template("index.html", **shown, style=STYLE, script=SCRIPT)

"""`/`: a page for the person who opened the address in a browser."""

from quart import Blueprint, Response, render_template

import pipeline
from server.first_request import example_body
from server.gateway import Gateway

# no script, no external asset, no frame: the page is text
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def blueprint(gateway: Gateway) -> Blueprint:
    """The route."""
    routes = Blueprint("pages", __name__)

    @routes.get("/")
    async def index() -> Response:
        page = await render_template(
            "index.html",
            version=pipeline.__version__,
            base_url=gateway.base_url(),
            mode=gateway.door.mode,
            is_demo=all(upstream.is_demo for upstream in gateway.settings.upstreams.values()),
            example_body=example_body(gateway.settings),
            models=list(gateway.routing.models()),
        )
        return Response(page, content_type="text/html; charset=utf-8", headers={"content-security-policy": CONTENT_SECURITY_POLICY})

    return routes

"""What a person sees when the server starts."""

import pipeline
from server.config_addresses import split_url
from server.config_routes import warnings
from server.first_request import example_body
from server.settings import Settings
from server.upstream_settings import Captured, SdkBridge, Upstream, Website

COLUMN = 30


def banner(settings: Settings, url: str) -> str:
    """A few lines: where it listens, what answers, and the one command that shows it."""
    upstreams = [f"{name}: {_described(upstream)}" for name, upstream in settings.upstreams.items()]
    lines = [
        f"Penstock {pipeline.__version__} on {url}",
        _row("base URL for OpenAI clients", f"{url}/v1"),
        _row("for Anthropic's clients", url),
        _row("keys" if settings.auth.mode == "keys" else "key", _keys(settings)),
        *(_row(title, each) for title, each in zip(_titles(len(upstreams)), upstreams, strict=True)),
    ]
    if settings.server.workers > 1:
        lines.append(_row("workers", str(settings.server.workers)))
    lines += (_row("note", str(warning)) for warning in warnings(settings))
    key = "" if settings.auth.mode == "open" else " -H 'Authorization: Bearer YOUR_KEY'"
    lines += [
        "  try",
        f"""    curl -N {url}/v1/chat/completions{key} -H 'Content-Type: application/json' \\""",
        f"""      -d {example_body(settings)}""",
    ]
    return "\n".join(lines)


def _row(title: str, text: str) -> str:
    return f"  {title:<{COLUMN}}{text}"


def _titles(count: int) -> list[str]:
    return ["upstream" if count == 1 else "upstreams", *[""] * (count - 1)]


def _keys(settings: Settings) -> str:
    if settings.auth.mode == "open":
        return "none needed: any key is accepted, on this machine only"
    if settings.auth.mode == "keys":
        return ", ".join(key.name for key in settings.auth.keys)
    return "the caller's own upstream key, passed on and never stored"


def _described(upstream: Upstream) -> str:
    """The upstream's kind and where it is; of its address only what cannot be a credential."""
    if isinstance(upstream, Captured):
        return "the embedded demo: recorded and made-up answers, no model behind them"
    kind = upstream.__struct_config__.tag
    if isinstance(upstream, SdkBridge):
        return f"{kind}: {upstream.command[0] if upstream.command else 'cursor-sdk-bridge'}, started with this server"
    parts = split_url(upstream.url if isinstance(upstream, Website) else upstream.base_url)
    if parts is None or not parts.hostname:
        return f"{kind}, without an address yet"
    return f"{kind} at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

"""What a person sees when the server starts."""

import pipeline
from server.settings import Settings


def banner(settings: Settings, url: str) -> str:
    """A few lines: where it listens, what answers, and the one command that shows it."""
    demo = all(upstream.is_demo for upstream in settings.upstreams.values())
    lines = [f"Penstock {pipeline.__version__} on {url}", f"  base URL for OpenAI clients   {url}/v1"]
    if settings.auth.mode == "open":
        lines.append("  key                           none needed: any key is accepted, on this machine only")
    elif settings.auth.mode == "keys":
        lines.append(f"  keys                          {', '.join(key.name for key in settings.auth.keys)}")
    else:
        lines.append("  key                           the caller's own upstream key, passed on and never stored")
    if demo:
        lines.append("  upstream                      the embedded demo: recorded and made-up answers, no model behind them")
    else:
        lines.append(f"  upstreams                     {', '.join(settings.upstreams)}")
    if settings.server.workers > 1:
        lines.append(f"  workers                       {settings.server.workers}")
    key = "" if settings.auth.mode == "open" else " -H 'Authorization: Bearer YOUR_KEY'"
    lines += [
        "  try",
        f"""    curl -N {url}/v1/chat/completions{key} -H 'Content-Type: application/json' \\""",
        """      -d '{"model":"composer-2.5","stream":true,"messages":[{"role":"user","content":"Hello"}]}'""",
    ]
    return "\n".join(lines)

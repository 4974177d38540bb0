"""Penstock's streaming library: one request in, one stream of events, one dialect out.

No HTTP server, no database and no global state live here; `server` is built around it. Start reading at `pipeline.flow`.
"""

__version__ = "0.1.0"

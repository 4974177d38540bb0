"""The upstreams of the settings as running objects; each kind is one row."""

from collections.abc import Mapping

from pipeline.upstream.captured import CapturedUpstream

from pipeline.upstream.base import Upstream
from server.settings import Settings


def make_upstreams(settings: Settings) -> Mapping[str, Upstream]:
    """One object for each table `[upstreams.<name>]`."""
    return {name: CapturedUpstream(name=name, pace_seconds=table.pace_seconds) for name, table in settings.upstreams.items()}

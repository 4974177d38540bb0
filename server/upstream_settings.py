"""The tables of the upstreams, one struct a kind, told apart by its `kind`; a new kind is one struct in `server.upstream_kinds`, added to `Upstream`.

Each is written in the words of the settings file and gives the pipeline's own values for them. What holds for all settings is said in
`server.settings`.
"""

from typing import TypeAlias

from server.upstream_kinds.anthropic import Anthropic, MessagesProfile
from server.upstream_kinds.api import ApiServer
from server.upstream_kinds.cursor import Composer, SdkBridge, Website
from server.upstream_kinds.embedded import Captured
from server.upstream_kinds.keyed import HttpUpstream, KeyedUpstream
from server.upstream_kinds.openai import OpenAIChat, OpenAICompatible, OpenAIResponses, Profile, ResponsesProfile
from server.upstream_kinds.reading import Reading, ToolPolicy

__all__ = [
    "Anthropic",
    "ApiServer",
    "Captured",
    "Composer",
    "HttpUpstream",
    "KeyedUpstream",
    "MessagesProfile",
    "OpenAIChat",
    "OpenAICompatible",
    "OpenAIResponses",
    "Profile",
    "Reading",
    "ResponsesProfile",
    "SdkBridge",
    "ToolPolicy",
    "Upstream",
    "Website",
]

Upstream: TypeAlias = Captured | Composer | SdkBridge | Website | OpenAIChat | OpenAIResponses | Anthropic
"""One upstream of any kind: a union of the structs above, told apart by `kind`."""

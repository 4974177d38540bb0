"""What a Response says again of the request that it answers.

Theory of operation: a Response object holds its request's parameters beside the answer, every one of them, also those that the client left out. The
parser of a Responses body makes an `Echo` of what the client said, in the form in which the answer has to say it; whoever writes the answer copies it
and adds what only the answer knows (`id`, `object`, `created_at`, `completed_at`, `status`, `error`, `incomplete_details`, `model`, `output`,
`usage`). The two share no more than this value. An echo is the client's own word: whether an upstream took notice of it is told elsewhere
(`pipeline.parameters.ignored_by`). What the client left out has the value that the API's schema gives it.

`namespaces` is no field of a Response. Tools may be grouped in namespaces, and most models know only flat names: it says which call of the model's
is to be written as which tool of which namespace.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from pipeline.request import Json

NO_NAMESPACES: Mapping[str, tuple[str, str]] = MappingProxyType({})


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    """The request's part of a Response, each field under its own name there; `namespaces` maps a tool's flat name to its namespace and name.

    `tools` are as the schema of a Response wants them: a function says `description`, `parameters` and `strict`, whatever the client left out. Tools
    that are not offered to the model are there too. `user` is the one field that a Response has only where the client sent it.

    >>> Echo().reasoning
    {'effort': None, 'summary': None}
    """

    background: bool = False
    frequency_penalty: float = 0.0
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, Json] = {}
    parallel_tool_calls: bool = True
    presence_penalty: float = 0.0
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    reasoning: dict[str, Json] = msgspec.field(default_factory=lambda: {"effort": None, "summary": None})
    safety_identifier: str | None = None
    service_tier: str | None = "default"
    store: bool = False
    temperature: float | None = 1.0
    text: dict[str, Json] = msgspec.field(default_factory=lambda: {"format": {"type": "text"}})
    tool_choice: Json = "auto"
    tools: tuple[Json, ...] = ()
    top_logprobs: int = 0
    top_p: float | None = 1.0
    truncation: str = "disabled"
    user: str | None = None
    namespaces: Mapping[str, tuple[str, str]] = NO_NAMESPACES

"""The table of a server with Anthropic's Messages API, and the profile that says what it takes."""

from typing import Annotated, Literal

from msgspec import Meta

from server.setting_types import Name, Tokens
from server.upstream_kinds.api import ApiProfile, ApiServer, KeyHeader


class MessagesProfile(ApiProfile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server that speaks Messages takes."""

    system_messages: Annotated[
        bool,
        Meta(
            description="whether it takes system messages between the others, as Anthropic's newer models do; if not, they become text of the user's"
        ),
    ] = False
    thinking: Annotated[
        Literal["adaptive", "budget", "off"],
        Meta(
            description="how a wish for reasoning is written: `adaptive`: the model decides how much it thinks (Anthropic's models since 4.6); "
            "`budget`: with a number of tokens (older ones, and most other vendors); `off`: not at all"
        ),
    ] = "adaptive"
    unsigned_thinking: Annotated[
        bool,
        Meta(
            description="whether it takes back reasoning that nobody has signed, as some other vendors' servers do; if not, it is left out of the "
            "history"
        ),
    ] = False
    structured_outputs: Annotated[
        bool, Meta(description="whether it takes a JSON Schema for its answer; if not, the model is told the schema, and nobody checks")
    ] = True
    max_tokens: Annotated[Tokens, Meta(description="the limit of an answer's length where the client gives none: the API demands one")] = 32_000
    prompt_cache: Annotated[
        bool,
        Meta(
            description="whether a conversation is marked to be cached where the client has marked nothing in it; a cache is billed by its own price"
        ),
    ] = False


class Anthropic(ApiServer, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="anthropic"):
    """Any server that speaks Anthropic's Messages API. With no key set it gets none, as a local server wants it."""

    base_url: Annotated[
        Name,
        Meta(
            description="https URL, or http URL of a server that gets no key or is on this machine, such as `https://api.anthropic.com`; `/v1` is "
            "added where it does not end with it"
        ),
    ]
    api_key_header: Annotated[
        KeyHeader, Meta(description="the header that brings the key: `x-api-key` or `api-key` as it is, `authorization` as a bearer token")
    ] = "x-api-key"
    profile: Annotated[MessagesProfile, Meta(description="what it takes and sends")] = MessagesProfile()

"""The tables of the servers with one of OpenAI's APIs, and the profiles that say what such a server takes."""

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from server.setting_types import Name, OverflowRule, Tokens
from server.upstream_kinds.keyed import HttpUpstream

CustomTools: TypeAlias = Annotated[
    bool, Meta(description="whether it takes custom tools, which are called with raw text; if not, they are offered to it as functions")
]
Verbosity: TypeAlias = Annotated[bool, Meta(description="whether it is sent the `text.verbosity` of a Responses body, as its own field for it")]
PromptCacheKey: TypeAlias = Annotated[
    bool, Meta(description="whether it is sent a conversation's id as `prompt_cache_key`, if the client sends none")
]


class OpenAIProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server with one of OpenAI's APIs takes, whichever it is."""

    images: Annotated[bool, Meta(description="whether it takes images")] = True
    custom_tools: CustomTools = False
    reasoning_effort: Annotated[bool, Meta(description="whether it takes a reasoning effort")] = True
    verbosity: Verbosity = False
    prompt_cache_key: PromptCacheKey = False
    pass_fields: Annotated[
        Literal["all"] | tuple[Name, ...],
        Meta(
            description="fields of the client's body that are passed on although nothing here reads them; `all`: every one; those inside of messages "
            "and tools by dotted names, such as `messages.cache_control`"
        ),
    ] = "all"


class Profile(OpenAIProfile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server that speaks Chat Completions takes and sends."""

    reasoning_field: Annotated[
        Literal["reasoning_content", "reasoning", ""],
        Meta(description="the field of its messages that holds the model's reasoning, in its answers and in the history; empty: none"),
    ] = "reasoning_content"
    token_limit_field: Annotated[
        Literal["max_tokens", "max_completion_tokens"], Meta(description="the field of its requests that limits the answer's length")
    ] = "max_tokens"
    tool_images: Annotated[
        bool, Meta(description="whether it takes images in the results of tools; if not, they go into a user's message behind them")
    ] = False
    single_system: Annotated[
        bool,
        Meta(description="whether all system messages are made one, in front: some models' templates fail at a second one, or forget it"),
    ] = False


class ResponsesProfile(OpenAIProfile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server that speaks Responses takes. The API itself says where reasoning and limits stand, and takes no reasoning in text back."""

    reasoning_field: ClassVar[str] = ""

    custom_tools: CustomTools = True
    verbosity: Verbosity = True
    prompt_cache_key: PromptCacheKey = True


class OpenAICompatible(HttpUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What servers with one of OpenAI's APIs have in common."""

    lists_its_models: ClassVar[bool] = True

    base_url: Annotated[
        Name,
        Meta(
            description="https URL, or http URL of a server that gets no key or is on this machine; with its `/v1` if it has one, and with a query "
            "if it wants one: `?api-version=…`"
        ),
    ]
    api_key_header: Annotated[
        Literal["authorization", "api-key", "x-api-key"],
        Meta(description="the header that brings the key: `authorization` as a bearer token, the others as it is (Azure: `api-key`)"),
    ] = "authorization"
    context_window: Annotated[
        Tokens | None,
        Meta(
            description="tokens that its models can read, every one of them, as `/v1/models` reports them; when not set, what the server says of each"
        ),
    ] = None
    context_overflow: Annotated[
        OverflowRule | None,
        Meta(
            description="a conversation that does not fit `context_window`, or the route's: `error`, `trim` and `signal` as for Composer; when not "
            "set, it is sent, and the server says what becomes of it"
        ),
    ] = None
    profile: Annotated[Profile | ResponsesProfile, Meta(description="what it takes and sends")] = Profile()


class OpenAIChat(OpenAICompatible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai-chat"):
    """Any server that speaks Chat Completions. With no key set it gets none, as a local server wants it."""

    profile: Annotated[Profile, Meta(description="what it takes and sends")] = Profile()


class OpenAIResponses(OpenAICompatible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai-responses"):
    """Any server that speaks the Responses API. With no key set it gets none, as a local server wants it."""

    profile: Annotated[ResponsesProfile, Meta(description="what it takes and sends")] = ResponsesProfile()

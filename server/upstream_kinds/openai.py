"""The tables of the servers with one of OpenAI's APIs, and the profiles that say what such a server takes."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from server.upstream_kinds.api import ApiProfile, ApiServer

CustomTools: TypeAlias = Annotated[
    bool, Meta(description="whether it takes custom tools, which are called with raw text; if not, they are offered to it as functions")
]
Verbosity: TypeAlias = Annotated[bool, Meta(description="whether it is sent the `text.verbosity` of a Responses body, as its own field for it")]
PromptCacheKey: TypeAlias = Annotated[
    bool, Meta(description="whether it is sent a conversation's id as `prompt_cache_key`, if the client sends none")
]


class OpenAIProfile(ApiProfile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server with one of OpenAI's APIs takes, whichever it is."""

    custom_tools: CustomTools = False
    verbosity: Verbosity = False
    prompt_cache_key: PromptCacheKey = False


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

    custom_tools: CustomTools = True
    verbosity: Verbosity = True
    prompt_cache_key: PromptCacheKey = True


class OpenAICompatible(ApiServer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What servers with one of OpenAI's APIs have in common."""

    profile: Annotated[Profile | ResponsesProfile, Meta(description="what it takes and sends")] = Profile()


class OpenAIChat(OpenAICompatible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai-chat"):
    """Any server that speaks Chat Completions. With no key set it gets none, as a local server wants it."""

    profile: Annotated[Profile, Meta(description="what it takes and sends")] = Profile()

    @property
    def reasoning_field(self) -> str:
        """As the profile says."""
        return self.profile.reasoning_field


class OpenAIResponses(OpenAICompatible, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai-responses"):
    """Any server that speaks the Responses API. With no key set it gets none, as a local server wants it."""

    profile: Annotated[ResponsesProfile, Meta(description="what it takes and sends")] = ResponsesProfile()

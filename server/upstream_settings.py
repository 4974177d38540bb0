"""The tables of the upstreams, one struct a kind, told apart by its `kind`; a new kind is one struct, added to `Upstream`.

Each is written in the words of the settings file and gives the pipeline's own values for them. What holds for all settings is said in
`server.settings`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pipeline.credential import Credential, Kind, Secret
from pipeline.machine.answer import Markup
from pipeline.machine.tools import inventory as machine
from server.setting_types import Name, OptionalSeconds, OverflowRule, Private, Size, Tokens


class ToolPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done with tool calls that are not as they should be. Every time a policy acts, the answer carries a notice."""

    unknown: Annotated[Literal["text", "pass", "error"], Meta(description="a call of a tool that the client did not offer")] = "text"
    without_tools: Annotated[Literal["text", "pass", "error"], Meta(description="a call although the client offered no tools")] = "text"
    malformed: Annotated[Literal["recover", "text", "error"], Meta(description="a call whose markers or arguments are broken")] = "recover"
    max_argument_bytes: Annotated[
        Size,
        Meta(
            description="most characters that are kept of one call: of a key, of a value that is no string, of a body that is read whole; above it "
            "the answer fails"
        ),
    ] = 16_777_216
    strict: Annotated[
        bool,
        Meta(description="an answer without the call that `tool_choice` required is a fault; one that is not streamed is asked for twice"),
    ] = False
    dialects: Annotated[
        tuple[Literal["bracket", "kimi", "fenced", "invoke"], ...],
        Meta(description="further ways of writing tool calls that are read beside Composer's own; docs/tool-calls.md shows each"),
    ] = ()

    def policy(self) -> machine.ToolPolicy:
        """The same choices in the pipeline's words."""
        return machine.ToolPolicy(
            unknown=machine.Unknown(self.unknown),
            without_tools=machine.Unknown(self.without_tools),
            malformed=machine.Malformed(self.malformed),
            max_argument_bytes=self.max_argument_bytes,
        )


class Captured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="captured"):
    """Recorded answers, embedded in the program: no network and no key."""

    is_demo: ClassVar[bool] = True
    has_own_key: ClassVar[bool] = False
    takes_callers_key: ClassVar[bool] = False
    missing: ClassVar[tuple[str, ...]] = ()
    cooldown_seconds: ClassVar[float] = 0.0

    pace_seconds: Annotated[
        float, Meta(ge=0, le=60, description="how long the demonstration waits between pieces when it streams; 0: full speed")
    ] = 0.02
    tools: Annotated[ToolPolicy, Meta(description="tool calls that are not as they should be")] = ToolPolicy()

    def markup(self) -> Markup:
        """How the answers are to be read, in the pipeline's words."""
        return Markup(dialects=self.tools.dialects)

    def credential(self) -> Credential:
        """None is needed."""
        return Credential()


class KeyedUpstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server in a network: which key it gets, the caller's, its own, or none, and what is sent beside it.

    `api_key` is what loading found at `api_key_env` or `api_key_file`.
    """

    is_demo: ClassVar[bool] = False

    credential_word: Annotated[
        Literal["", "caller"],
        Meta(description="`caller`: the upstream gets the caller's own key, in mode `forward`"),
    ] = msgspec.field(default="", name="credential")
    api_key_env: Annotated[Private, Meta(description="name of the environment variable that holds this upstream's own key")] = ""
    api_key_file: Annotated[
        Private, Meta(description="file that holds this upstream's own key and that other users cannot read; a newline at its end does not count")
    ] = ""
    api_key: Secret | None = None
    headers: Annotated[Mapping[str, Private], Meta(description='further headers of the requests to it, as they are: `name = "value"`')] = {}
    cooldown_seconds: Annotated[
        OptionalSeconds,
        Meta(description="how long a target that failed comes last among a route's targets, at the least; a longer Retry-After counts"),
    ] = 20.0

    @property
    def has_own_key(self) -> bool:
        """Whether the operator's key is sent."""
        return bool(self.api_key_env or self.api_key_file or self.api_key is not None)

    @property
    def takes_callers_key(self) -> bool:
        """Whether the caller's key is sent."""
        return self.credential_word == "caller" and not self.has_own_key

    @property
    def missing(self) -> tuple[str, ...]:
        """What has to be set before this upstream can be asked, and is not."""
        return ()

    def credential(self) -> Credential:
        """Which key this upstream gets; raises ValueError when its own was named and never loaded."""
        if self.has_own_key:
            if self.api_key is None:
                raise ValueError("this upstream's key was not loaded: read settings with load_settings")
            return Credential(Kind.OWN, self.api_key)
        return Credential(Kind.CALLER if self.takes_callers_key else Kind.NONE)

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__} | {"headers": dict.fromkeys(self.headers, Secret(""))}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Composer(KeyedUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="composer"):
    """Cursor's Composer. The callers' own keys are sent, unless an own key is set, which is for one person on this machine alone."""

    base_url: Annotated[str, Meta(description="https URL of the backend; `CURSOR_BACKEND_BASE_URL`. Without it requests are answered with 424")] = ""
    endpoint: Annotated[
        str, Meta(description="path or https URL of the chat endpoint; `CURSOR_CHAT_ENDPOINT`. Without it requests are answered with 424")
    ] = ""
    api_base: Annotated[Name, Meta(description="https URL of the public API; `CURSOR_API_BASE`")] = "https://api.cursor.com"
    client_version: Annotated[str, Meta(description="sent as `x-cursor-client-version` if set; `CURSOR_CLIENT_VERSION`")] = ""
    context_window: Annotated[
        Tokens | None,
        Meta(
            description="tokens that its models can read, every one of them; when not set, a model's window is the published one, if there is one, "
            "and of the others conversations of any length are sent"
        ),
    ] = None
    context_overflow: Annotated[
        OverflowRule,
        Meta(
            description="a conversation that does not fit the model's window: with `error` it gets 400 `context_length_exceeded`, with `trim` "
            "its oldest turns are left out and a notice says so, with `signal` Cursor gets an empty answer whose usage is larger than the window, "
            "so that it shortens the conversation, and any other client the error"
        ),
    ] = "error"
    tools: Annotated[ToolPolicy, Meta(description="tool calls that are not as they should be")] = ToolPolicy()
    hidden_prefix_hold_chars: Annotated[
        int,
        Meta(
            ge=0,
            le=65_536,
            description="leading characters of the visible text that are held, and dropped with a notice when a `final` token follows "
            "(some models think aloud there); 0: none",
        ),
    ] = 0

    def markup(self) -> Markup:
        """How the answers are to be read, in the pipeline's words."""
        return Markup(dialects=self.tools.dialects, hidden_prefix_hold_chars=self.hidden_prefix_hold_chars)

    @property
    def takes_callers_key(self) -> bool:
        """Whether the caller's key is sent: so it is unless there is an own one."""
        return not self.has_own_key

    @property
    def missing(self) -> tuple[str, ...]:
        """Both are needed, and neither has a default."""
        return tuple(name for name in ("base_url", "endpoint") if not getattr(self, name))


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


class OpenAICompatible(KeyedUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What servers with one of OpenAI's APIs have in common."""

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


Upstream: TypeAlias = Captured | Composer | OpenAIChat | OpenAIResponses
"""One upstream of any kind: a union of the structs above, told apart by `kind`."""

"""The settings as frozen values: every key that the program honours, its type, its bounds, its default and one line that says what it does.

These classes are the only list of keys. The reader (`server.config`) checks a file and the environment against them, and the reference in
`docs/settings.md` is printed from them, so a key added here exists everywhere at once. Each top-level field of `Settings` is one table of the file.
A top-level field that is a struct is a *fixed section*, whose keys have environment variables too; the others are tables that the user names.

An upstream is one struct a kind, told apart by its `kind`; a new kind is one struct, added to `Upstream`. Bounds on durations keep out `nan` and
`inf`. What depends on two values at once is in `server.config_rules`. `Settings()` is the gateway that runs with no file and no variables.

No key is a value of the file: the file says in which variable or file a key is. A field that holds a `Secret` is therefore no setting; loading fills
it.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pipeline.credential import Credential, Kind, Secret
from pipeline.machine.answer import Markup
from pipeline.machine.tools import inventory as machine

DAY_SECONDS = 86_400

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=DAY_SECONDS)]
OptionalSeconds: TypeAlias = Annotated[float, Meta(ge=0, le=DAY_SECONDS)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
Size: TypeAlias = Annotated[int, Meta(ge=1024, le=1 << 40)]
Name: TypeAlias = Annotated[str, Meta(min_length=1)]
Private: TypeAlias = Annotated[str, Meta(extra={"private": True})]
"""Text that may be a key, or that a key is put into by mistake: no message shows it."""


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listening side. Sizes are bytes, durations seconds; paths are relative to the working directory."""

    host: Annotated[Name, Meta(description="IP address or host name to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0 takes any free one; `PORT` is honoured too")] = 8787
    workers: Annotated[int, Meta(ge=1, le=256, description="processes that share the port")] = 1
    max_body_bytes: Annotated[Size, Meta(description="largest request body; above it 413")] = 33_554_432
    max_concurrency: Annotated[Count, Meta(description="requests in work at a time, in each worker; above it 503 with Retry-After")] = 1000
    drain_seconds: Annotated[OptionalSeconds, Meta(description="how long running streams may go on after a stop signal")] = 20.0
    prestop_seconds: Annotated[OptionalSeconds, Meta(description="`/ready` answers 503 for so long before the listener closes")] = 0.0
    public_url: Annotated[str, Meta(description="what clients see as the base URL, without `/v1`; set it behind a tunnel or proxy")] = ""
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(description="host names that a request's `Host` may have, without a port; empty: loopback names and `public_url`'s host"),
    ] = ()
    tls_cert: Annotated[str, Meta(description="PEM file with the certificate chain; empty: plain HTTP")] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's private key, not encrypted")] = ""
    body_seconds: Annotated[Seconds, Meta(description="how long a request's body may take to arrive; after it 408")] = 30.0
    max_header_bytes: Annotated[Size, Meta(description="largest request head; above it 431")] = 16_384
    access_log: Annotated[bool, Meta(description="write one line for each request")] = True


class GatewayKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of mode `keys`, of which only the hash is kept."""

    name: Annotated[Name, Meta(description="who holds the key: a name of its own, which the access log shows")]
    hash: Annotated[Private, Meta(description="`sha256:` and the SHA-256 of the key, as `penstock keys new NAME` prints it")]
    models: Annotated[
        Annotated[tuple[Name, ...], Meta(min_length=1)] | None,
        Meta(description="the only model ids that the key may use; when not set, every model"),
    ] = None


class Auth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The front door."""

    mode: Annotated[
        Literal["open", "forward", "keys"],
        Meta(
            description="`open`: no key is asked for, on a loopback address only; `forward`: the caller's key is its own upstream key, used for this "
            "request and never stored; `keys`: the caller's key is one of `keys`, and no upstream gets it. The default is `keys` where there are "
            "`keys`, else `open` where every upstream is the embedded demo"
        ),
    ] = "forward"
    keys: Annotated[tuple[GatewayKey, ...], Meta(description="who may come in, in mode `keys`")] = ()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clocks of one request, each started anew for each attempt at an upstream except the total."""

    connect_seconds: Annotated[Seconds, Meta(description="to reach the upstream")] = 5.0
    first_event_seconds: Annotated[Seconds, Meta(description="from the request to the upstream's first event")] = 60.0
    idle_seconds: Annotated[Seconds, Meta(description="between two reads that brought something from the upstream")] = 120.0
    total_seconds: Annotated[Seconds, Meta(description="for the whole answer")] = 900.0
    write_stall_seconds: Annotated[Seconds, Meta(description="that a client may leave what we send unread")] = 60.0


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to the model's reasoning."""

    output: Annotated[
        Literal["never", "on-request", "always"], Meta(description="whether the model's reasoning is sent to the client; `on-request`: if it asked")
    ] = "on-request"


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tokens are counted when the upstream does not say."""

    method: Annotated[
        Literal["calibrated", "chars4"],
        Meta(
            description="how tokens are estimated; `calibrated`: by what the text is made of (docs/usage.md); `chars4`: four characters are one token"
        ),
    ] = "calibrated"


class Images(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Images in requests, for upstreams that are sent their bytes."""

    fetch: Annotated[
        bool,
        Meta(description="whether images are fetched from the web: from public addresses only, no redirects; false: a request with one gets a 400"),
    ] = True
    max_bytes: Annotated[int, Meta(ge=1024, le=33_554_432, description="largest image")] = 1_048_576


class ToolPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done with tool calls that are not as they should be. Every time a policy acts, the answer carries a notice."""

    unknown: Annotated[Literal["text", "pass", "error"], Meta(description="a call of a tool that the client did not offer")] = "text"
    without_tools: Annotated[Literal["text", "pass", "error"], Meta(description="a call although the client offered no tools")] = "text"
    malformed: Annotated[Literal["recover", "text", "error"], Meta(description="a call whose markers or arguments are broken")] = "recover"
    max_argument_bytes: Annotated[Size, Meta(description="largest arguments of one call; above it the answer fails")] = 16_777_216
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
    """Which key an upstream gets: the caller's, its own, or none. `api_key` is what loading found at `api_key_env` or `api_key_file`."""

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

    @property
    def has_own_key(self) -> bool:
        """Whether the operator's key is sent."""
        return bool(self.api_key_env or self.api_key_file or self.api_key is not None)

    @property
    def takes_callers_key(self) -> bool:
        """Whether the caller's key is sent."""
        return self.credential_word == "caller" and not self.has_own_key

    def credential(self) -> Credential:
        """Which key this upstream gets; raises ValueError when its own was named and never loaded."""
        if self.has_own_key:
            if self.api_key is None:
                raise ValueError("this upstream's key was not loaded: read settings with load_settings")
            return Credential(Kind.OWN, self.api_key)
        return Credential(Kind.CALLER if self.takes_callers_key else Kind.NONE)


class Composer(KeyedUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="composer"):
    """Cursor's Composer. The callers' own keys are sent, unless an own key is set, which is for one person on this machine alone."""

    base_url: Annotated[str, Meta(description="https URL of the backend; `CURSOR_BACKEND_BASE_URL`. Without it requests are answered with 424")] = ""
    endpoint: Annotated[
        str, Meta(description="path or https URL of the chat endpoint; `CURSOR_CHAT_ENDPOINT`. Without it requests are answered with 424")
    ] = ""
    api_base: Annotated[Name, Meta(description="https URL of the public API; `CURSOR_API_BASE`")] = "https://api.cursor.com"
    client_version: Annotated[str, Meta(description="sent as `x-cursor-client-version` if set; `CURSOR_CLIENT_VERSION`")] = ""
    headers: Annotated[Mapping[str, Private], Meta(description='further headers, sent to the endpoint as they are: `name = "value"`')] = {}
    context_window: Annotated[int, Meta(ge=1, le=100_000_000, description="tokens that the model can read, as `/v1/models` reports them")] = 200_000
    context_overflow: Annotated[
        Literal["error", "trim"],
        Meta(
            description="a conversation that does not fit the model's window: with `error` it gets 400 `context_length_exceeded`, with `trim` "
            "its oldest turns are left out and a notice says so"
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

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__} | {"headers": dict.fromkeys(self.headers, Secret(""))}
        return f"Composer({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server that speaks Chat Completions takes and sends."""

    images: Annotated[bool, Meta(description="whether it takes images")] = True
    reasoning_field: Annotated[
        Literal["reasoning_content", "reasoning", ""], Meta(description="the field of its answers that holds the model's reasoning; empty: none")
    ] = "reasoning_content"
    token_limit_field: Annotated[
        Literal["max_tokens", "max_completion_tokens"], Meta(description="the field of its requests that limits the answer's length")
    ] = "max_tokens"
    reasoning_effort: Annotated[bool, Meta(description="whether it takes `reasoning_effort`")] = True
    pass_fields: Annotated[
        Literal["all"] | tuple[Name, ...],
        Meta(description="fields of the client's body that are passed on although nothing here reads them; `all`: every one"),
    ] = "all"


class OpenAIChat(KeyedUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai-chat"):
    """Any server that speaks Chat Completions. With no key set it gets no Authorization, as a local server wants it."""

    base_url: Annotated[
        Name, Meta(description="https URL, or http URL of a server that gets no key or is on this machine; with its `/v1` if it has one")
    ]
    context_window: Annotated[
        Annotated[int, Meta(ge=1, le=100_000_000)] | None,
        Meta(description="tokens that its models can read, as `/v1/models` reports them; when not set, nothing is reported"),
    ] = None
    profile: Annotated[Profile, Meta(description="what it takes and sends")] = Profile()


Upstream: TypeAlias = Captured | Composer | OpenAIChat
"""One upstream of any kind: a union of the structs above, told apart by `kind`."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a route leads."""

    upstream: Annotated[Name, Meta(description="the name of one of the upstreams")]
    model: Annotated[Name, Meta(description="the model id that the upstream is asked for; `*`: the id that the client wrote")]


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model id is served."""

    targets: Annotated[tuple[Target, ...], Meta(min_length=1, max_length=1, description="where the model's requests go")]


def embedded_upstreams() -> dict[str, Upstream]:
    """The upstreams of a gateway whose file names none."""
    return {"captured": Captured()}


def route_to(upstream: str) -> Route:
    """A route that sends a model id, unchanged, to one upstream."""
    return Route(targets=(Target(upstream=upstream, model="*"),))


def route_everything_to(upstream: str) -> dict[str, Route]:
    """Routes that send every model id, unchanged, to one upstream."""
    return {"*": route_to(upstream)}


def embedded_routes() -> dict[str, Route]:
    """The routes of a gateway whose file names no upstream."""
    return route_everything_to("captured")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set.

    >>> Settings().server.port, Settings().auth.mode, list(Settings().upstreams)
    (8787, 'open', ['captured'])
    """

    server: Annotated[Server, Meta(description="The listening side.")] = Server()
    auth: Annotated[Auth, Meta(description="The front door.")] = Auth(mode="open")
    timeouts: Annotated[Timeouts, Meta(description="The clocks of one request.")] = Timeouts()
    reasoning: Annotated[Reasoning, Meta(description="What happens to the model's reasoning.")] = Reasoning()
    usage: Annotated[Usage, Meta(description="How tokens are counted when the upstream does not say.")] = Usage()
    images: Annotated[Images, Meta(description="Images in requests, for upstreams that are sent their bytes.")] = Images()
    upstreams: Annotated[
        Mapping[str, Upstream],
        Meta(description="Where answers come from, under names of your choice. Without this table there is one upstream, `captured`."),
    ] = msgspec.field(default_factory=embedded_upstreams)
    routes: Annotated[
        Mapping[str, Route],
        Meta(
            description="Which upstream serves which model id; `*` stands for every id that has no route of its own. Without this table a single "
            "upstream serves every id."
        ),
    ] = msgspec.field(default_factory=embedded_routes)
    aliases: Annotated[Mapping[str, str], Meta(description='Other names for model ids: `alias = "model id"`.')] = {}

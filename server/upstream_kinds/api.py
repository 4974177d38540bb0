"""What the tables of servers with a published API have in common, whichever API that is."""

from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from server.setting_types import Name, OverflowRule, Tokens
from server.upstream_kinds.keyed import HttpUpstream

KeyHeader: TypeAlias = Literal["authorization", "api-key", "x-api-key"]

PassFields: TypeAlias = Annotated[
    Literal["all"] | tuple[Name, ...],
    Meta(
        description="fields of the client's body that are passed on although nothing here reads them; `all`: every one; those inside of messages "
        "and tools by dotted names, such as `messages.cache_control`"
    ),
]


class ApiProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server takes."""

    images: Annotated[bool, Meta(description="whether it takes images")] = True
    reasoning_effort: Annotated[bool, Meta(description="whether it takes a reasoning effort")] = True
    pass_fields: PassFields = "all"


class ApiServer(HttpUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server with a published API, at any address."""

    lists_its_models: ClassVar[bool] = True

    base_url: Annotated[
        Name,
        Meta(
            description="https URL, or http URL of a server that gets no key or is on this machine; with its `/v1` if it has one, and with a query "
            "if it wants one: `?api-version=…`"
        ),
    ]
    api_key_header: Annotated[
        KeyHeader,
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
    profile: Annotated[ApiProfile, Meta(description="what it takes and sends")] = ApiProfile()

    @property
    def reasoning_field(self) -> str:
        """The field of its messages that holds reasoning as text, empty where there is none."""
        return ""

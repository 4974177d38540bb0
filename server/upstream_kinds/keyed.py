"""What the tables of all upstreams have in common that are no part of the program: whose key they get, and how long one rests that failed."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from pipeline.credential import Credential, Kind, Secret
from server.setting_types import OptionalSeconds, Private
from server.upstream_kinds.reading import Reading


class KeyedUpstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server in a network: which key it gets, the caller's, its own, or none, and what is sent beside it.

    `api_key` is what loading found at `api_key_env` or `api_key_file`.
    """

    is_demo: ClassVar[bool] = False
    is_one_persons: ClassVar[bool] = False
    """Whether its key is for a person's own subscription, so that an operator's serves the operator alone."""

    is_sent_images: ClassVar[bool] = False
    """Whether it is sent the bytes of images, so that those of the web are fetched before."""

    knows_its_models: ClassVar[bool] = False
    """Whether it takes the ids of a list that is known; another may take any."""

    has_cursors_models: ClassVar[bool] = False
    """Whether Cursor's models are served, under Cursor's ids, so that a suffix behind one of them may be part of another's id."""

    lists_its_models: ClassVar[bool] = False
    """Whether it alone knows which models it serves, and says so when it is asked."""

    needs_key: ClassVar[bool] = False
    """Whether it answers nothing without a key."""

    credential_word: Annotated[
        Literal["", "caller", "none"],
        Meta(
            description="`caller`: the upstream gets the caller's own key, in mode `forward`, which is what those of kinds `composer`, `sdk-bridge` "
            "and `website` get unless something is set; `none`: it gets none"
        ),
    ] = msgspec.field(default="", name="credential")
    api_key_env: Annotated[Private, Meta(description="name of the environment variable that holds this upstream's own key")] = ""
    api_key_file: Annotated[
        Private, Meta(description="file that holds this upstream's own key and that other users cannot read; a newline at its end does not count")
    ] = ""
    api_key: Secret | None = None
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
        """Whether the caller's key is sent; for one person's subscription it is, unless something else is said."""
        return not self.has_own_key and self.credential_word in (("", "caller") if self.is_one_persons else ("caller",))

    def reading(self) -> Reading:
        """How the answers are to be read."""
        return Reading()

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


class HttpUpstream(KeyedUpstream, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that is spoken to over a network: what else it is sent."""

    headers: Annotated[Mapping[str, Private], Meta(description='further headers of the requests to it, as they are: `name = "value"`')] = {}

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__} | {"headers": dict.fromkeys(self.headers, Secret(""))}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

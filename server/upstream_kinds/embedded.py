"""The table of the embedded demo."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from pipeline.credential import Credential
from pipeline.machine.answer import Markup
from server.upstream_kinds.reading import Reading, ToolPolicy


class Captured(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="captured"):
    """Recorded answers, embedded in the program: no network and no key."""

    is_demo: ClassVar[bool] = True
    has_own_key: ClassVar[bool] = False
    takes_callers_key: ClassVar[bool] = False
    missing: ClassVar[tuple[str, ...]] = ()
    cooldown_seconds: ClassVar[float] = 0.0
    is_one_persons: ClassVar[bool] = False
    is_sent_images: ClassVar[bool] = False
    knows_its_models: ClassVar[bool] = True
    has_cursors_models: ClassVar[bool] = True
    lists_its_models: ClassVar[bool] = False

    pace_seconds: Annotated[
        float, Meta(ge=0, le=60, description="how long the demonstration waits between pieces when it streams; 0: full speed")
    ] = 0.02
    tools: Annotated[ToolPolicy, Meta(description="tool calls that are not as they should be")] = ToolPolicy()

    def reading(self) -> Reading:
        """How the answers are to be read."""
        return Reading(self.tools.policy(), Markup(dialects=self.tools.dialects), self.tools.strict)

    def credential(self) -> Credential:
        """None is needed."""
        return Credential()

"""How an upstream's answers are read: the table `tools` of those that are sent a prompt, and what it means to the pipeline."""

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from pipeline.machine.answer import Markup
from pipeline.machine.tools import inventory as machine
from server.setting_types import Size


class Reading(NamedTuple):
    """The policies under which an answer is read, in the pipeline's words; these are for one in whose calls nothing can be amiss."""

    policy: machine.ToolPolicy = machine.ToolPolicy()
    markup: Markup = Markup()
    strict_tool_choice: bool = False


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

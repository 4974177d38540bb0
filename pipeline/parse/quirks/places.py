"""Where the things of a normalised body stood in the client's: errors name the client's own fields.

Theory of operation: the readers of a chat body name a place in the normalised one, as `messages[3].content[1].type`. Each of its messages and parts
knows where it came from; the part of a path that means it is replaced, and the rest stays, as far as the client's body has it.
"""

import re
from collections.abc import Sequence

import msgspec

from pipeline.errors import RequestError
from pipeline.parse.body import is_list, is_object
from pipeline.parse.quirks.turns import Turn
from pipeline.request import ImagePart, Json, Message, OpaquePart, Part, TextPart

_PLACE = re.compile(r"messages\[(\d+)\](?:\.(content|tool_calls)\[(\d+)\])?")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class Places:
    """`turns` are those that the normalised messages were written from; `body` is what the client sent."""

    def __init__(self, turns: Sequence[Turn], body: dict[str, Json]) -> None:
        self._turns = turns
        self._body = body
        # what another field stands for in a body that has none of this name
        self._renamed = {name: other for name, other in (("messages", "input"), ("stop", "stop_sequences")) if not body.get(name) and body.get(other)}

    def origin(self, path: str) -> str:
        """Where in the client's body the thing at a path in the normalised body stood, or what held it."""
        found = _PLACE.match(path)
        if found is None:
            name = re.split(r"[.\[]", path, maxsplit=1)[0]
            return self._renamed.get(name, name) + path[len(name) :]
        return self._existing(self._origin(found), path[found.end() :])

    def relocated(self, error: RequestError) -> RequestError:
        """The same error, with the client's places for ours."""
        if error.param is None:
            return error
        param = self.origin(error.param)
        message = error.message.replace(error.param, param)
        found = _PLACE.match(error.param)
        if found is not None and found[0] in message:
            message = message.replace(found[0], self._origin(found))
        if param not in message:
            message = f"{param}: {message}"
        return type(error)(message, code=error.code, param=param)

    def placed(self, message: Message, index: int) -> Message:
        """The message that stands at `index`, with parts that know where they stood, if they are neither text nor in the same place."""
        if all(isinstance(part, TextPart) for part in message.parts):
            return message
        parts = (self._part(part, f"messages[{index}].content[{place}]") for place, part in enumerate(message.parts))
        return msgspec.structs.replace(message, parts=tuple(parts))

    def _part(self, part: Part, path: str) -> Part:
        if isinstance(part, OpaquePart):
            return msgspec.structs.replace(part, path=self.origin(part.path))
        if isinstance(part, ImagePart) and (origin := self.origin(path)) != path:
            return msgspec.structs.replace(part, path=origin)
        return part

    def _origin(self, found: re.Match[str]) -> str:
        index, kind, place = int(found[1]), found[2], int(found[3] or 0)
        if index >= len(self._turns):
            return found[0]
        turn = self._turns[index]
        inner = turn.parts if kind == "content" else turn.calls if kind == "tool_calls" else ()
        return inner[place].path if place < len(inner) else turn.path

    def _existing(self, path: str, rest: str) -> str:
        """As much of `path` and `rest` as the client's body has, and at most one field more, which is the one that is missing."""
        here: Json = self._body
        end = 0
        whole = path + rest
        for step in _STEP.finditer(whole):
            name, index = step[1], step[2]
            if name is not None and is_object(here):
                if name not in here:
                    return whole[: step.end()]
                here = here[name]
            elif index is not None and is_list(here) and int(index) < len(here):
                here = here[int(index)]
            else:
                return whole[:end]
            end = step.end()
        return whole

r"""A conversation in the form that servers of Chat Completions take, where other APIs allow more.

Theory of operation: a request comes in, one that says the same goes out; the very same object where there is nothing to change.

- A tool's result may hold images in the Responses API, and in Chat Completions only a user's message may. So they go into a user's message behind
  the results of that turn, in their order, and the result says where they are. A server that takes images in results is spared this
  (`ChatProfile.tool_images`).
- Some models' templates know one system message, the first, and fail or forget the others. For such a server (`ChatProfile.single_system`) the texts
  of all of them stand in the first, in their order.

Each of these is named by a Notice. Nothing is lost.

>>> from pipeline.request import Message, Role, TextPart
>>> system = Request("m", (Message(Role.SYSTEM, (TextPart("One."),)), Message(Role.SYSTEM, (TextPart("Two."),))))
>>> [message.text for message in single_system(system).messages]
['One.\n\nTwo.']
"""

import msgspec

from pipeline.events import Notice
from pipeline.request import ImagePart, Message, OpaquePart, Part, Request, Role, TextPart

BETWEEN_SYSTEMS = "\n\n"


def images_behind_results(request: Request) -> Request:
    """The request without images in the results of tools."""
    if not any(message.role is Role.TOOL and _images(message) for message in request.messages):
        return request
    messages: list[Message] = []
    waiting: list[Part] = []
    moved = 0
    for message in request.messages:
        if message.role is not Role.TOOL and waiting:
            messages.append(_shown(waiting))
            waiting = []
        if message.role is Role.TOOL and (images := _images(message)):
            moved += len(images)
            waiting += images
            message = msgspec.structs.replace(message, parts=_without_images(message, first=moved - len(images) + 1))
        messages.append(message)
    if waiting:
        messages.append(_shown(waiting))
    notice = Notice("tool_images_moved", f"{moved} in the results of tools; they stand in a user's message behind them")
    return msgspec.structs.replace(request, messages=tuple(messages), notices=(*request.notices, notice))


def single_system(request: Request) -> Request:
    """The request with one system message at the most, in front."""
    systems = [message for message in request.messages if message.role is Role.SYSTEM]
    if len(systems) <= 1 and request.messages[: len(systems)] == tuple(systems):
        return request
    parts: list[Part] = []
    for message in systems:
        parts += [TextPart(BETWEEN_SYSTEMS), *message.parts] if parts and message.parts else message.parts
    others = tuple(message for message in request.messages if message.role is not Role.SYSTEM)
    first = msgspec.structs.replace(systems[0], parts=joined(parts))
    notice = Notice("system_messages_joined", f"{len(systems)} of them are one, in front, since this model takes no other")
    return msgspec.structs.replace(request, messages=(first, *others), notices=(*request.notices, notice))


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Parts that are all plain text as one part, any others as they are."""
    if not all(isinstance(part, TextPart) and not part.extra for part in parts):
        return tuple(parts)
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    return (TextPart(text),) if text else ()


def _images(message: Message) -> list[Part]:
    return [part for part in message.parts if isinstance(part, ImagePart)]


def _without_images(message: Message, first: int) -> tuple[Part, ...]:
    """The result's other parts, with a line in each image's place; images are counted through the request from `first`."""
    number = first
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ImagePart):
            parts.append(TextPart(f"[image {number}, shown below]"))
            number += 1
        else:
            parts.append(part)
    return tuple(parts) if any(isinstance(part, OpaquePart) for part in parts) else joined(parts)


def _shown(images: list[Part]) -> Message:
    return Message(Role.USER, (TextPart("The images in the results above, in their order:"), *images))

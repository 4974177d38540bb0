"""Results of tools that their client marked as errors, for APIs that have no field for it.

Theory of operation: a request comes in; one goes out in which each such result begins with a line that says so, and is marked no more. The very same
object comes back where there is nothing to mark.
"""

import msgspec

from pipeline.request import Message, Request, TextPart

ERROR_MARK = "[error]"


def with_error_marks(request: Request) -> Request:
    r"""The request with the marks in its results' texts.

    >>> from pipeline.request import Role
    >>> failed = Message(Role.TOOL, (TextPart("no such file"),), tool_call_id="call_1", is_error=True)
    >>> with_error_marks(Request("m", (failed,))).messages[0].text
    '[error]\nno such file'
    """
    if not any(message.is_error for message in request.messages):
        return request
    return msgspec.structs.replace(request, messages=tuple(map(marked, request.messages)))


def marked(message: Message) -> Message:
    """The same for one message."""
    if not message.is_error:
        return message
    parts = message.parts
    if parts and isinstance(parts[0], TextPart):
        first = msgspec.structs.replace(parts[0], text=f"{ERROR_MARK}\n{parts[0].text}")
        return msgspec.structs.replace(message, parts=(first, *parts[1:]), is_error=False)
    return msgspec.structs.replace(message, parts=(TextPart(ERROR_MARK), *parts), is_error=False)

"""Conversations that a client names by its session.

A client may send several requests of one session at the same time: OpenCode and Claude Code ask for a title beside the first turn, and Claude Code's
subagents run beside their parent. So a conversation is its session and its first user message, text and images: the requests do not collide, and
every later turn of a conversation has the same name. The name is a hash, from which neither can be had.
"""

import hashlib

import msgspec

from pipeline.request import ImagePart, Message, Request, Role


def in_session(parsed: Request, session: str | None) -> Request:
    """The request with the conversation that its session and its first user message name; as it is without a session.

    >>> in_session(Request("m", ()), "a").conversation == in_session(Request("m", ()), "b").conversation
    False
    """
    if not session:
        return parsed
    first = next((message for message in parsed.messages if message.role is Role.USER), Message(Role.USER))
    images = [part.url for part in first.parts if isinstance(part, ImagePart)]
    # the text as a whole: a client may send the same message as a string now and in parts later
    words = "\0".join([session, first.text, *images])
    return msgspec.structs.replace(parsed, conversation=hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest())

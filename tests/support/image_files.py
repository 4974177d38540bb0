"""Small image files: one of each kind that Pillow 12 wrote, 19 by 7 pixels, and headers made to measure."""

from base64 import b64decode, b64encode

SAMPLES = {
    "png": (
        "image/png",
        "iVBORw0KGgoAAAANSUhEUgAAABMAAAAHCAIAAABldeEWAAAAFklEQVR4nGM8IafBQBZgIk/bqE4iAAC3dwEcAi0rVAAAAABJRU5ErkJggg==",
    ),
    "gif": ("image/gif", "R0lGODdhEwAHAIEAAMgeKAAAAAAAAAAAACwAAAAAEwAHAAAIFQABCBxIsKDBgwgTKlzIsKHDhw0DAgA7"),
    "jpeg": (
        "image/jpeg",
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/2wBDAQkJCQwLDBgN"
        "DRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjL/wgARCAAHABMDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAX/xAAW"
        "AQEBAQAAAAAAAAAAAAAAAAAABAb/2gAMAwEAAhADEAAAAZAk0oH/xAAUEAEAAAAAAAAAAAAAAAAAAAAQ/9oACAEBAAEFAn//xAAUEQEAAAAAAAAAAAAAAAAAAAAQ/9oACAEDAQE/"
        "AT//xAAUEQEAAAAAAAAAAAAAAAAAAAAQ/9oACAECAQE/AT//xAAUEAEAAAAAAAAAAAAAAAAAAAAQ/9oACAEBAAY/An//xAAUEAEAAAAAAAAAAAAAAAAAAAAQ/9oACAEBAAE/IX//"
        "2gAMAwEAAgADAAAAEAw//8QAFBEBAAAAAAAAAAAAAAAAAAAAEP/aAAgBAwEBPxA//8QAFBEBAAAAAAAAAAAAAAAAAAAAEP/aAAgBAgEBPxA//8QAFBABAAAAAAAAAAAAAAAAAAAA"
        "EP/aAAgBAQABPxB//9k=",
    ),
    "webp": ("image/webp", "UklGRkQAAABXRUJQVlA4IDgAAADQAgCdASoTAAcAPm0skUWkIqGYBABABsSgB2AAEWMAAP7wG9//oUbKJin//9pZ/9Sz/6ln+KgAAA=="),
    "webp lossless": ("image/webp", "UklGRh4AAABXRUJQVlA4TBEAAAAvEoABAAdQjyIXpf+BiOh/AAA="),
    "webp extended": (
        "image/webp",
        "UklGRmgAAABXRUJQVlA4WAoAAAAQAAAAEgAABgAAQUxQSAoAAAABB1CyiAhERP8DVlA4IDgAAADQAgCdASoTAAcAPm0skUWkIqGYBABABsSgB2AAEWMAAP7wG9//oUbKJin//9pZ"
        "/9Sz/6ln+KgAAA==",
    ),
}
SIZE = (19, 7)
FILES = {name: b64decode(text) for name, (_, text) in SAMPLES.items()}
PNG = FILES["png"]


def png(width: int, height: int) -> bytes:
    """The head of one."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"


def jpeg(width: int, height: int, *segments: bytes, code: int = 0xC0) -> bytes:
    """The head of one, with these bodies of application segments before the frame header."""
    before = b"".join(b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment for segment in segments)
    return b"\xff\xd8" + before + bytes([0xFF, code]) + b"\x00\x11\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03" + bytes(9)


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"

"""The images of a request as files, for upstreams that are sent bytes and not addresses.

Theory of operation: an image stands in a request as a URL. `fetch_images` gives the same request with the file beside every web address, as bytes and
once only; it is the only part that waits. `read_images` then gives all images as files, in the order in which the prompt counts them. What a file is
comes from its content, its size in pixels from its header; nothing is decoded. An upstream that takes addresses needs neither.

Limits: `max_bytes` for each file, `MAX_PIXELS` as its header claims, `MAX_TOTAL_BYTES` for all images of a request, an image that is there twice
counted twice, and `MAX_FETCH_COUNT` different web addresses, `FETCHES_AT_ONCE` of them at a time, all within `seconds`. What breaks one is a
`RequestError` whose `param` is the place of the image in the conversation.
"""

from collections.abc import Iterator
from typing import Protocol

import anyio
import msgspec

from pipeline.errors import RequestError
from pipeline.request import ImagePart, Message, Part, Request
from pipeline.wire.data_url import decode_data_url, is_data_url
from pipeline.wire.image_header import FORMATS, ImageHeader, media_type_of, read_image_header

MAX_BYTES = 1_048_576
MAX_PIXELS = 67_108_864
"""8,192 by 8,192: what a model's image reader has to unpack is a few hundred megabytes at most."""

MAX_TOTAL_BYTES = 33_554_432
MAX_FETCH_COUNT = 32
FETCHES_AT_ONCE = 4
FETCH_SECONDS = 10.0


class ImageFile(msgspec.Struct, frozen=True):
    """The bytes of an image, and what their header says."""

    data: bytes
    header: ImageHeader


class Fetcher(Protocol):
    """Who can get a file from the web; `pipeline.upstream.guarded_fetch` has the one that is safe to give a stranger's address."""

    async def fetch(self, url: str, path: str, max_bytes: int) -> bytes:
        """The file at the URL, which stands at `path`. Raises RequestError."""
        ...


def read_images(request: Request, *, max_bytes: int = MAX_BYTES, leave_web: bool = False) -> list[ImageFile]:
    """All images, in the order of the conversation; `leave_web` leaves out those that are still a web address.

    Raises:
        RequestError: one is still a web address, is no base64, is not an image of a known format, or is too large.
    """
    files: dict[str, ImageFile] = {}
    images: list[ImageFile] = []
    total = 0
    for path, part in _images_of(request):
        url = part.url
        if part.data is None and not is_data_url(url):
            if leave_web:
                continue
            raise RequestError(
                f"{path} is a web address, and this gateway does not fetch images (images.fetch): send the image as a data: URL.",
                code="invalid_image_url",
                param=path,
            )
        if url not in files:
            files[url] = _read_file(decode_data_url(url, path, max_bytes) if part.data is None else part.data, path)
        total = _counted(total, files[url], path)
        images.append(files[url])
    return images


def images_left(images: list[ImageFile], whole: Request, left: Request) -> list[ImageFile]:
    """Of the images of a whole request those of what was left of it when it was shortened."""
    by_url = {part.url: image for (_, part), image in zip(_images_of(whole), images, strict=True)}
    return [by_url[part.url] for _, part in _images_of(left)]


def most_fetched_bytes(request: Request, max_bytes: int = MAX_BYTES) -> int:
    """What the files of a request's web addresses have together at the most."""
    count = len({part.url for _, part in _images_of(request) if not is_data_url(part.url)})
    return min(count * max_bytes, MAX_TOTAL_BYTES)


def fetched_bytes(request: Request) -> int:
    """What the files have that were fetched for a request."""
    return sum({part.url: len(part.data) for _, part in _images_of(request) if part.data is not None}.values())


async def fetch_images(request: Request, fetcher: Fetcher, *, max_bytes: int = MAX_BYTES, seconds: float = FETCH_SECONDS) -> Request:
    """The request with all images in it; the same one if none is a web address. What is a `data:` URL is not looked at.

    Raises:
        RequestError: an image cannot be fetched, is none, or breaks a limit; the other fetches are given up.
    """
    wanted: dict[str, str] = {}
    for path, part in _images_of(request):
        if not is_data_url(part.url):
            wanted.setdefault(part.url, path)
    if not wanted:
        return request
    if len(wanted) > MAX_FETCH_COUNT:
        path = list(wanted.values())[MAX_FETCH_COUNT]
        raise RequestError(f"{path} is one web address too many: {MAX_FETCH_COUNT} are fetched for a request at most.", param=path)
    found = await _fetch_all(wanted, fetcher, max_bytes, seconds)
    return msgspec.structs.replace(request, messages=tuple(_with_files(message, found) for message in request.messages))


async def _fetch_all(wanted: dict[str, str], fetcher: Fetcher, max_bytes: int, seconds: float) -> dict[str, bytes]:
    """Web address -> file; `wanted` has the path for each address."""
    found: dict[str, bytes] = {}
    faults: list[RequestError] = []
    waiting = iter(wanted.items())
    total = 0

    async def fetch() -> None:
        nonlocal total
        try:
            for url, path in waiting:
                file = _read_file(await fetcher.fetch(url, path, max_bytes), path)
                total = _counted(total, file, path)
                found[url] = file.data
        except RequestError as fault:
            faults.append(fault)
            tasks.cancel_scope.cancel()

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for _ in range(min(FETCHES_AT_ONCE, len(wanted))):
                tasks.start_soon(fetch)
    if faults:
        raise faults[0]
    for url, path in wanted.items():
        if url not in found:
            raise RequestError(
                f"{path} could not be fetched: the images of a request may take {seconds:g} seconds together.",
                code="failed_to_download_image",
                param=path,
            )
    return found


def _images_of(request: Request) -> Iterator[tuple[str, ImagePart]]:
    """Each image and its place in the conversation, by the name that the client's own API has for it."""
    field = "source" if request.dialect == "anthropic" else "image_url"
    for number, message in enumerate(request.messages):
        for index, part in enumerate(message.parts):
            if isinstance(part, ImagePart):
                yield f"{part.path or f'messages[{number}].content[{index}]'}.{field}", part


def _with_files(message: Message, found: dict[str, bytes]) -> Message:
    def with_file(part: Part) -> Part:
        return msgspec.structs.replace(part, data=found[part.url]) if isinstance(part, ImagePart) and part.url in found else part

    return msgspec.structs.replace(message, parts=tuple(map(with_file, message.parts)))


def _read_file(data: bytes, path: str) -> ImageFile:
    header = read_image_header(data)
    if header is None and media_type_of(data) is None:
        raise RequestError(f"{path} is not an image in {FORMATS}.", code="unsupported_image_media_type", param=path)
    if header is None:
        raise RequestError(f"{path} is an image whose header cannot be read.", code="image_parse_error", param=path)
    if header.width * header.height > MAX_PIXELS:
        raise RequestError(
            f"{path} is an image of {header.width} by {header.height} pixels; {MAX_PIXELS} pixels are allowed.", code="image_too_large", param=path
        )
    return ImageFile(data, header)


def _counted(total: int, file: ImageFile, path: str) -> int:
    total += len(file.data)
    if total > MAX_TOTAL_BYTES:
        raise RequestError(
            f"{path} is one image too many: those of a request may have {MAX_TOTAL_BYTES} bytes together.", code="image_file_too_large", param=path
        )
    return total

"""The header reader: real files of each kind, what is cut or broken, and any bytes at all."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.wire.image_header import MAX_SEGMENT_COUNT, ImageHeader, media_type_of, read_image_header
from tests.support.image_files import FILES, PNG, SAMPLES, SIZE, jpeg, png


@pytest.mark.parametrize("name", SAMPLES)
def test_files_as_a_library_writes_them(name):
    assert read_image_header(FILES[name]) == ImageHeader(SAMPLES[name][0], *SIZE)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_cut_gives_the_whole_header_or_none(name):
    data = FILES[name]
    whole = read_image_header(data)
    found = [read_image_header(data[:end]) for end in range(len(data) + 1)]
    assert set(found) == {None, whole}
    assert found == sorted(found, key=lambda header: header is not None)


@pytest.mark.parametrize("code", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC7, 0xC9, 0xCB, 0xCD, 0xCF])
def test_every_kind_of_jpeg_frame(code):
    assert read_image_header(jpeg(640, 480, code=code)) == ImageHeader("image/jpeg", 640, 480)


def test_a_jpeg_with_all_that_a_camera_puts_before_the_frame():
    thumbnail = jpeg(160, 120)
    data = jpeg(4032, 3024, b"Exif\0\0" + thumbnail, *[b"ICC_PROFILE\0" + bytes(65_000)] * 255)
    assert read_image_header(data) == ImageHeader("image/jpeg", 4032, 3024)


def test_a_marker_that_has_no_segment():
    data = jpeg(640, 480, b"Exif").replace(b"\xff\xc0", b"\xff\x01\xff\xd0\xff\xc0")
    assert read_image_header(data) == ImageHeader("image/jpeg", 640, 480)


def test_fill_bytes_before_a_marker():
    data = jpeg(640, 480, b"Exif").replace(b"\xff\xc0", b"\xff\xff\xff\xff\xc0")
    assert read_image_header(data) == ImageHeader("image/jpeg", 640, 480)


BROKEN = {
    "png of no width": png(0, 7),
    "png of no height": png(7, 0),
    "png that does not begin with its header": PNG[:12] + b"IDAT" + PNG[16:],
    "png with a header of another length": PNG[:11] + b"\x0c" + PNG[12:],
    "gif of no size": b"GIF89a\0\0\0\0",
    "jpeg whose height comes later": jpeg(640, 0),
    "jpeg whose picture comes first": b"\xff\xd8\xff\xda\x00\x04ab" + jpeg(1, 1)[2:],
    "jpeg that ends first": b"\xff\xd8\xff\xd9" + jpeg(1, 1)[2:],
    "jpeg with a segment of no length": b"\xff\xd8\xff\xe0\x00\x01" + jpeg(1, 1)[2:],
    "jpeg with no segment after its first": b"\xff\xd8\xff\xe0\x00\x02xy" + jpeg(1, 1)[2:],
    "jpeg with too many segments": jpeg(1, 1, *[b""] * MAX_SEGMENT_COUNT),
    "webp of another kind": FILES["webp"].replace(b"VP8 ", b"VP9 "),
    "webp that is no key frame": FILES["webp"][:20] + b"\xd1" + FILES["webp"][21:],
    "webp without a start code": FILES["webp"].replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b"),
    "webp lossless without its signature": FILES["webp lossless"][:20] + b"\x2e" + FILES["webp lossless"][21:],
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_header_is_none_of_a_known_type(data):
    assert media_type_of(data) is not None
    assert read_image_header(data) is None


OTHERS = {
    "nothing": b"",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
    "html": b"<!doctype html><img src='a.png'>",
    "pdf": b"%PDF-1.7",
    "bmp": b"BM" + bytes(60),
    "tiff": b"II*\0" + bytes(60),
    "avif": b"\0\0\0\x1cftypavif" + bytes(60),
    "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
    "png behind a space": b" " + PNG,
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_is_none_of_the_four(data):
    assert (media_type_of(data), read_image_header(data)) == (None, None)


STARTS = [
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8X",
]
PIECES = st.binary(max_size=20) | st.sampled_from([b"\xff", b"\xff\xc0", b"\xff\xe1\x00\x02", b"\xff\xe1", b"\xff\x01", b"\x00", b"\x9d\x01\x2a"])


@given(st.sampled_from([b"", *STARTS]), st.lists(PIECES, max_size=30).map(b"".join))
def test_any_bytes_give_a_size_or_nothing(start, rest):
    header = read_image_header(start + rest)
    assert header is None or (header.width > 0 and header.height > 0 and header.media_type == media_type_of(start + rest))


@pytest.mark.parametrize("piece", [b"\xff", b"\xff\xe1\x00\x02", b"\xff\x01", b"\x00", b"\xff\xe1\x00\x03\xff"])
def test_the_work_is_linear_and_small(piece):
    def seconds(size: int) -> float:
        data = b"\xff\xd8\xff\xe1\x00\x02" + piece * (size // len(piece))
        best = float("inf")
        for _ in range(3):
            began = perf_counter()
            assert read_image_header(data) is None
            best = min(best, perf_counter() - began)
        return best

    # a search that began anew at each of the bytes would take minutes
    assert seconds(4_000_000) < 0.2

"""The callbacks of custom tools."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation
from pipeline.wire.sdk_callbacks import ToolCallback, callback_error, read_callback, tool_result


def body(args: str, id: str = '"t1"') -> bytes:
    return f'{{"toolName":"read.x","args":{args},"toolCallId":{id},"agentId":"agent-1"}}'.encode()


@pytest.mark.parametrize(
    "args", ['{"a":1}', '{ "a" : 2.0 , "b":1e21,"c":9007199254740993 }', '{"text":"\\u00f8 ø \\" }"}', "{}", '{"deep":' + "[" * 100 + "]" * 100 + "}"]
)
def test_the_arguments_are_the_text_that_came(args):
    assert read_callback(body(args)) == ToolCallback("read.x", args, "t1", "agent-1")


@pytest.mark.parametrize("sent", [body("null"), b'{"toolName":"read.x","agentId":"agent-1","toolCallId":"t1","extra":1}'])
def test_no_arguments_are_an_empty_object(sent):
    assert read_callback(sent).arguments == "{}"


@pytest.mark.parametrize(("id", "read"), [('"a\\nb"', "a\nb"), ('""', None), ("null", None), ('"' + "x" * 5000 + '"', "x" * 5000)])
def test_the_ids_of_calls_are_the_models(id, read):
    assert read_callback(body("{}", id)).tool_call_id == read


@pytest.mark.parametrize(
    ("args", "mended"),
    [('{"a":"\\ud83d"}', '{"a":"\ufffd"}'), ('{"a":"\\ud83d\\ude00"}', '{"a":"\\ud83d\\ude00"}'), ('{"\\udc00":1}', '{"\ufffd":1}')],
)
def test_what_is_no_character_is_replaced(args, mended):
    read = read_callback(body(args)).arguments
    assert json.loads(read) == json.loads(mended)


def test_bytes_that_are_no_utf_8_are_replaced():
    assert read_callback(body('{"a":"?"}').replace(b"?", b"\xff")).arguments == '{"a":"\ufffd"}'


@pytest.mark.parametrize(
    "sent",
    [
        *(
            b"",
            b"4",
            b"{",
            b"[]",
            b"null",
            b'{"toolName":4,"agentId":"a"}',
            b'{"toolName":"","agentId":"a"}',
            b'{"toolName":"x","args":{}}',
            b"[" * 9999,
        ),
        *(body(args) for args in ("[]", "4", '"x"', "{", '{"a":}', '{"a":NaN}', "{}}")),
    ],
)
def test_what_is_no_call(sent):
    with pytest.raises(ProtocolViolation):
        read_callback(sent)


def test_a_result_of_texts_and_images():
    told = json.loads(tool_result(["a", ""], [(b"\x89PNG", "image/png")], is_error=True))
    assert told == {
        "result": {
            "content": [
                {"type": "text", "text": "a"},
                {"type": "text", "text": ""},
                {"type": "image", "data": base64.b64encode(b"\x89PNG").decode(), "mimeType": "image/png"},
            ],
            "isError": True,
        }
    }


def test_an_error():
    assert json.loads(callback_error("not_found", "No such agent.")) == {"code": "not_found", "message": "No such agent."}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.text(min_size=1), st.booleans())
def test_any_call_is_read(args, name, ascii_only):
    sent = json.dumps({"toolName": name, "args": args, "agentId": "a"}, ensure_ascii=ascii_only).encode(errors="replace")
    read = read_callback(sent)
    assert json.loads(read.arguments) == json.loads(json.dumps(args).encode())
    assert read.tool_name == name


@given(st.binary(max_size=100))
def test_any_bytes_are_a_call_or_none(sent):
    try:
        read_callback(sent)
    except ProtocolViolation as fault:
        assert fault.message  # noqa: PT017 - either way is good, and nothing else may come

"""The conversation in every dialect (N0-N6, N9): what each entry becomes, in `messages` and in `input` alike."""

import pytest

from pipeline.parse.quirks.ids import Given, rewriting
from tests.support.cursor_bodies import FLAT_PATCH, HELLO, NESTED_READ, PATCH, call, calls, messages_of, normalised, patch, result


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def text(words, kind="text", **more):
    return {"type": kind, "text": words, **more}


def image(url, **more):
    return {"type": "image_url", "image_url": {"url": url, **more}}


def used(call_id="call_1", name="Read", arguments=None):
    return {"type": "tool_use", "id": call_id, "name": name, "input": {} if arguments is None else arguments}


def answered(content, call_id="call_1", **more):
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def item(kind, **more):
    return {"type": kind, "call_id": "call_1", **more}


SECOND = rewriting([Given("call_1", 1)])[Given("call_1", 1)]
CACHED = {"cache_control": {"type": "ephemeral"}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
READ = item("function_call", id="fc_1", name="Read", arguments='{"path":"a"}', status="completed")
READ_CALL = call(arguments='{"path":"a"}')
FILE = {"type": "file", "file": {"file_id": "f"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}

# body -> all that is left of it
SHAPES = {
    "N0 messages win": ({"messages": [HELLO], "input": "other"}, [HELLO]),
    "N0 messages null": ({"messages": None, "input": [HELLO]}, [HELLO]),
    "N0 messages empty": ({"messages": [], "input": [{"type": "message", **HELLO}]}, [HELLO]),
    "N1 text": ({"input": "hi"}, [said("user", "hi")]),
    "N1 text of spaces": ({"input": " \n"}, [said("user", " \n")]),
    "N2 instructions": ({"instructions": "A", "input": "hi"}, [said("system", "A"), said("user", "hi")]),
    "N2 instructions with messages": ({"instructions": "A", "messages": [HELLO]}, [said("system", "A"), HELLO]),
    "N2 others follow unmerged": (
        {"instructions": "A", "input": [said("developer", "B"), said("system", "C"), HELLO]},
        [said("system", "A"), said("system", "B"), said("system", "C"), HELLO],
    ),
    "N2 system text": ({"system": "A", "messages": [HELLO]}, [said("system", "A"), HELLO]),
    "N2 system blocks": ({"system": [text("A", **CACHED), text("B")], "messages": [HELLO]}, [said("system", "A\nB"), HELLO]),
    "N2 both": ({"system": "B", "instructions": "A", "messages": [HELLO]}, [said("system", "A"), said("system", "B"), HELLO]),
    "N2 empty": ({"system": [], "instructions": "", "messages": [HELLO]}, [HELLO]),
}

# entries -> messages
ENTRIES = {
    "N3 typed and not": ([{"type": "message", **HELLO}, HELLO], [HELLO, HELLO]),
    "N3 developer": ([said("developer", "A"), HELLO], [said("system", "A"), HELLO]),
    "N3 one text part": ([said("user", [text("a", "input_text")])], [said("user", "a")]),
    "N3 text parts of a user": ([said("user", [text("a"), text("b", "input_text")])], [said("user", [text("a"), text("b")])]),
    "N3 text parts of a system": ([said("system", [text("a"), text("b")]), HELLO], [said("system", "a\nb"), HELLO]),
    "N3 text parts of an assistant": (
        [said("assistant", [text("a", "output_text", annotations=[], logprobs=[]), text(""), text("b")])],
        [said("assistant", "a\nb")],
    ),
    "N3 users are not merged": ([HELLO, HELLO], [HELLO, HELLO]),
    "N3 a user who says nothing": ([said("user", None), said("user", [])], [said("user", ""), said("user", "")]),
    "N3 refusal": (
        [said("assistant", [{"type": "refusal", "refusal": "no"}]), HELLO, said("assistant", None, refusal="never")],
        [said("assistant", "no"), HELLO, said("assistant", "never")],
    ),
    "N3 bookkeeping": ([said("user", "a", id="msg_1", status="completed", index=0)], [said("user", "a")]),
    "N3 a field that nobody reads stays": ([said("user", "a", x=1, name="Ann")], [said("user", "a", x=1, name="Ann")]),
    "N3 a file of Responses": (
        [said("user", [{"type": "input_file", "filename": "a.pdf", "file_data": "data:x", "file_id": None}])],
        [said("user", [{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:x"}}])],
    ),
    "N3 a file by its address stays": (
        [said("user", [{"type": "input_file", "file_url": "https://a.example/b"}])],
        [said("user", [{"type": "input_file", "file_url": "https://a.example/b"}])],
    ),
    "N3 empty text among parts": (
        [said("user", [text(""), text("a"), text("", "input_text"), image("data:x")])],
        [said("user", [text("a"), image("data:x")])],
    ),
    "N3 a part that nobody reads stays": ([said("user", [FILE])], [said("user", [FILE])]),
    "N3 image flat": (
        [said("user", [{"type": "input_image", "image_url": "data:x", "detail": "auto", "file_id": None}])],
        [said("user", [image("data:x")])],
    ),
    "N3 image nested": ([said("user", [image("data:x", detail="auto")])], [said("user", [image("data:x")])]),
    "N3 image detail": (
        [said("user", [{"type": "input_image", "image_url": "data:x", "detail": "low"}, image("data:y", detail="high")])],
        [said("user", [image("data:x", detail="low"), image("data:y", detail="high")])],
    ),
    "N3 image and one text": ([said("user", [text("a"), image("data:x")])], [said("user", [text("a"), image("data:x")])]),
    "N4 call": ([READ, result()], [calls(READ_CALL), result()]),
    "N4 folding": (
        [said("assistant", "a"), READ, {"type": "reasoning"}, said("assistant", "b"), {**READ, "call_id": "c2"}, result(), result("c2"), HELLO],
        [said("assistant", "a\nb", tool_calls=[READ_CALL, {**READ_CALL, "id": "c2"}]), result(), result("c2"), HELLO],
    ),
    "N4 folding ends at a result": (
        [READ, result(), {**READ, "call_id": "c2"}, result("c2")],
        [calls(READ_CALL), result(), calls({**READ_CALL, "id": "c2"}), result("c2")],
    ),
    "N4 folding ends at a system's words": (
        [said("assistant", "a"), said("system", "s"), said("assistant", "b")],
        [said("assistant", "a"), said("system", "s"), said("assistant", "b")],
    ),
    "N4 folding keeps thoughts": (
        [said("assistant", "a", reasoning_content="x"), said("assistant", "b", reasoning_content="y")],
        [said("assistant", "a\nb", reasoning_content="x\ny")],
    ),
    "N4 without call_id": ([{"type": "function_call", "id": "call_1", "name": "Read", "arguments": "{}"}, result()], [calls(call()), result()]),
    "N4 custom": ([item("custom_tool_call", name="ApplyPatch", input=PATCH), result()], [calls(patch()), result()]),
    "N4 custom without input": ([item("custom_tool_call", name="ApplyPatch"), result()], [calls(patch(text="")), result()]),
    "N4 custom in tool_calls": ([calls(patch()), result()], [calls(patch()), result()]),
    "N4 custom flat in tool_calls": (
        [calls({"type": "custom", "id": "call_1", "name": "ApplyPatch", "input": PATCH}), result()],
        [calls(patch()), result()],
    ),
    "N5 text": ([calls(call()), item("function_call_output", output="ok")], [calls(call()), result()]),
    "N5 of a custom call": ([calls(patch()), item("custom_tool_call_output", output="ok")], [calls(patch()), result()]),
    "N5 parts": (
        [calls(call()), item("function_call_output", output=[text("a", "input_text"), text("b", "output_text")])],
        [calls(call()), result(content="a\nb")],
    ),
    "N5 image": (
        [calls(call()), item("function_call_output", output=[text("a"), {"type": "input_image", "image_url": "data:x"}])],
        [calls(call()), result(content="a\n[image omitted]")],
    ),
    "N5 image without a source": (
        [calls(call()), result(content=[{"type": "input_image", "file_id": "f"}])],
        [calls(call()), result(content="[image omitted]")],
    ),
    "N5 object": (
        [calls(call()), item("function_call_output", output={"b": 1, "a": [None, "é"]})],
        [calls(call()), result(content='{"b":1,"a":[null,"é"]}')],
    ),
    "N5 null": ([calls(call()), item("function_call_output", output=None)], [calls(call()), result(content="")]),
    "N5 absent": ([calls(call()), item("function_call_output")], [calls(call()), result(content="")]),
    "N5 data in a list": (
        [calls(call()), item("function_call_output", output=[{"type": "dir"}, {"type": "text", "text": "a"}])],
        [calls(call()), result(content='[{"type":"dir"},{"type":"text","text":"a"}]')],
    ),
    "N5 number": (
        [calls(call()), item("function_call_output", output=12345678901234567890123)],
        [calls(call()), result(content="12345678901234567890123")],
    ),
    "N5 text with another value": (
        [calls(call()), item("function_call_output", output=[text("a"), {"type": "text", "value": "b"}])],
        [calls(call()), result(content='[{"type":"text","text":"a"},{"type":"text","value":"b"}]')],
    ),
    "N5 data of a kind that parts have": (
        [calls(call()), item("function_call_output", output=[{"type": "file", "name": "a.py"}, {"type": "image", "name": "b.png"}])],
        [calls(call()), result(content='[{"type":"file","name":"a.py"},{"type":"image","name":"b.png"}]')],
    ),
    "N5 image among data": (
        [calls(call()), item("function_call_output", output=[text("a"), {"type": "resource"}, {"type": "image", "data": "AAAA", "mimeType": "x"}])],
        [calls(call()), result(content='[{"type":"text","text":"a"},{"type":"resource"},"[image omitted]"]')],
    ),
    "N5 image of MCP": (
        [calls(call()), item("function_call_output", output=[text("a"), {"type": "image", "data": "AAAA", "mimeType": "x"}])],
        [calls(call()), result(content="a\n[image omitted]")],
    ),
    "N5 documents": (
        [calls(call()), item("function_call_output", output=[text("a"), FILE, {"type": "input_file", "file_id": "f"}, PDF, SOUND])],
        [calls(call()), result(content="a\n[file omitted]\n[file omitted]\n[document omitted]\n[audio omitted]")],
    ),
    "N5 a document of text": (
        [calls(call()), item("function_call_output", output=[{"type": "document", "source": {"type": "text", "data": "a\nb"}}, text("c")])],
        [calls(call()), result(content="a\nb\nc")],
    ),
    "N6 dropped": (
        [{"type": "reasoning", "summary": []}, {"type": "item_reference", "id": "x"}, {"type": "web_search_call"}, {"type": "mcp_call"}, HELLO],
        [HELLO],
    ),
    "N6 between a call and its result": ([READ, {"type": "computer_call_output", "call_id": "call_1"}, result()], [calls(READ_CALL), result()]),
    "N9 tool_use": (
        [said("assistant", [text("a"), used(arguments={"path": "é", "n": 1})]), result()],
        [said("assistant", "a", tool_calls=[call(arguments='{"path":"é","n":1}')]), result()],
    ),
    "N9 tool_use without input": ([said("assistant", [{"type": "tool_use", "id": "call_1", "name": "Read"}]), result()], [calls(call()), result()]),
    "N9 tool_use and tool_calls of one id": (
        [said("assistant", [used(), used("c2")], tool_calls=[READ_CALL]), result(), result("c2")],
        [calls(READ_CALL, call("c2")), result(), result("c2")],
    ),
    "N9 tool_use fills an entry that is empty": (
        [said("assistant", [used(arguments={"path": "a"})], tool_calls=[call(arguments="")]), result()],
        [calls(READ_CALL), result()],
    ),
    "N9 tool_use of another name than the entry of its id": (
        [said("assistant", [used(name="Write", arguments={"b": 1})], tool_calls=[READ_CALL]), result(content="1"), result(content="2")],
        [calls(READ_CALL, call(SECOND, "Write", '{"b":1}')), result(content="1"), result(SECOND, "2")],
    ),
    "N9 two tool_use of one id": (
        [said("assistant", [used(arguments={"a": 1}), used(arguments={"b": 1})]), said("user", [answered("1"), answered("2")])],
        [calls(call(arguments='{"a":1}'), call(SECOND, arguments='{"b":1}')), result(content="1"), result(SECOND, "2")],
    ),
    "N9 two tool_use of the id of one entry": (
        [said("assistant", [used(), used(arguments={"b": 1})], tool_calls=[READ_CALL]), result(content="1"), result(content="2")],
        [calls(READ_CALL, call(SECOND, arguments='{"b":1}')), result(content="1"), result(SECOND, "2")],
    ),
    "N9 tool_result before the rest": (
        [calls(call(), call("c2")), said("user", [text("next"), answered("ok"), answered([text("a"), PNG], "c2"), text("more")])],
        [calls(call(), call("c2")), result(), result("c2", "a\n[image omitted]"), said("user", [text("next"), text("more")])],
    ),
    "N9 tool_result alone": ([calls(call()), said("user", [answered(None, **CACHED)])], [calls(call()), result(content="")]),
    "N9 tool_result is_error": (
        [calls(call()), said("user", [answered("no such file", is_error=True)])],
        [calls(call()), result(content="[error]\nno such file")],
    ),
    "N9 tool_result is_error and empty": ([calls(call()), said("user", [answered([], is_error=True)])], [calls(call()), result(content="[error]")]),
    "N9 thinking": (
        [said("assistant", [{"type": "thinking", "thinking": "x", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}, text("a")])],
        [said("assistant", "a")],
    ),
    "N9 a turn of thinking alone": ([HELLO, said("user", [{"type": "thinking"}]), said("assistant", [{"type": "thinking"}])], [HELLO]),
    "N9 tool_result with empty text": ([calls(call()), said("user", [answered("ok"), text("")])], [calls(call()), result()]),
    "N9 document": (
        [said("user", [{**PDF, **CACHED, "title": "a.pdf"}, PDF])],
        [
            said(
                "user",
                [{"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,AAAA"}} for name in ("a.pdf", "document")],
            )
        ],
    ),
    "N9 document of text": (
        [said("user", [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}])],
        [said("user", "d")],
    ),
    "N9 image data": ([said("user", [PNG])], [said("user", [image("data:image/png;base64,AAAA")])]),
    "N9 image url": (
        [said("user", [{"type": "image", "source": {"type": "url", "url": "https://a.example/b"}, **CACHED}])],
        [said("user", [image("https://a.example/b")])],
    ),
    "N9 cache_control": ([said("user", [text("a", **CACHED)], **CACHED)], [said("user", "a")]),
}


@pytest.mark.parametrize(("body", "expected"), SHAPES.values(), ids=SHAPES)
def test_shapes(body, expected):
    assert normalised(**body).fields == {"messages": expected}


@pytest.mark.parametrize(("entries", "expected"), ENTRIES.values(), ids=ENTRIES)
def test_entries(entries, expected):
    assert messages_of(*entries) == expected


def test_n4_custom_as_a_block_of_a_tool_that_is_offered():
    entries = [said("assistant", [used(name="ApplyPatch", arguments={"input": PATCH})]), result()]
    assert messages_of(*entries, tools=[NESTED_READ, FLAT_PATCH]) == [calls(patch()), result()]


def test_n0_an_input_beside_messages_is_named():
    assert normalised(messages=[HELLO], input="other").ignored == ("input",)


def test_n6_what_is_dropped_is_counted_by_kind():
    items = [{"type": "reasoning", "summary": [{"text": "secret"}]}, {"type": "item_reference", "id": "x"}, {"type": "reasoning"}, HELLO]
    found = normalised(input=[*items, said("assistant", [{"type": "thinking", "thinking": "secret"}, text("a")])])
    assert [(notice.code, notice.detail) for notice in found.notices] == [
        ("history_item_dropped", "reasoning (2)"),
        ("history_item_dropped", "item_reference"),
        ("history_item_dropped", "thinking"),
    ]


def test_n9_fields_that_are_left_out_are_named_once():
    parts = [text("a", annotations=[{"url": "x"}], **CACHED), text("b", **CACHED)]
    found = normalised(messages=[said("assistant", parts), said("user", [text("c", **CACHED)], **CACHED)])
    assert found.ignored == ("messages.content.annotations", "messages.content.cache_control", "messages.cache_control")


def test_n9_what_a_document_says_besides_is_named():
    parts = [{**PDF, "title": "a.pdf", "citations": {"enabled": True}, "context": "c", **CACHED}, text("a")]
    found = normalised(messages=[said("user", parts)])
    assert found.ignored == ("messages.content.citations", "messages.content.context", "messages.content.cache_control")


def test_n5_what_is_left_out_of_results_is_counted_by_kind():
    entries = [calls(call()), result(content=[PDF, PDF, FILE, SOUND, PNG]), HELLO]
    assert [(notice.code, notice.detail) for notice in normalised(messages=entries).notices] == [
        ("history_item_dropped", "document in a tool's result (2)"),
        ("history_item_dropped", "file in a tool's result"),
        ("history_item_dropped", "audio in a tool's result"),
        ("history_item_dropped", "image in a tool's result"),
    ]

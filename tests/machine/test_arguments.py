"""A call's arguments leave as JSON text, argument by argument."""

import json

from pipeline.machine.arguments import ArgumentWriter
from pipeline.machine.tools.schema import ToolSchema
from pipeline.request import Tool


def taken(writer: ArgumentWriter) -> str:
    text = "".join(writer.out)
    writer.out.clear()
    return text


def test_an_untyped_value_streams_as_soon_as_it_is_no_container():
    writer = ArgumentWriter(ToolSchema(Tool("t")))
    writer.open("k")
    assert taken(writer) == '{"k":'
    writer.write(" ")
    assert taken(writer) == ""
    writer.write("ab")
    assert taken(writer) == '" ab'
    writer.write('"')
    assert taken(writer) == '\\"'
    writer.close()
    writer.end()
    assert taken(writer) == '"}'


def test_an_untyped_container_is_kept_until_it_parses():
    writer = ArgumentWriter(ToolSchema(Tool("t")))
    for key, pieces in (("k", ["[1,", "2]"]), ("l", ["[oops"])):
        writer.open(key)
        for piece in pieces:
            writer.write(piece)
        writer.close()
    writer.end()
    assert json.loads(taken(writer)) == {"k": [1, 2], "l": "[oops"}

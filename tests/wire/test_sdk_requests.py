"""What the SDK's bridge is sent, and what its unary methods answer."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ProtocolViolation, UnsupportedParameter
from pipeline.request import Tool
from pipeline.wire import sdk_requests
from pipeline.wire.connect import Envelope, EnvelopeDecoder
from pipeline.wire.sdk_models import Selection
from pipeline.wire.sdk_requests import (
    AgentImage,
    User,
    Version,
    cancel_run,
    close_agent,
    create_agent,
    delete_agent,
    list_models,
    me,
    read_agent_id,
    read_pong,
    read_user,
    read_version,
    send,
    shutdown,
)

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
FAST = Selection("composer-2.5", (("fast", "true"),))


def test_an_agent_without_tools_has_none_at_all():
    assert json.loads(create_agent(FAST, key="k", cwd="here")) == {
        "options": {
            "model": {"id": "composer-2.5", "params": [{"id": "fast", "value": "true"}]},
            "apiKey": "k",
            "mode": "AGENT_MODE_OPTION_AGENT",
            "tools": {"names": []},
            "local": {"cwd": ["here"]},
        }
    }


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        (Tool("__proto__"), "tools[1].name"),
        (Tool("a", "", {"type": "object", "properties": {"__proto__": {"type": "string"}}}), "tools[1].parameters"),
    ],
)
def test_a_name_that_the_bridge_would_lose_is_refused(tool, param):
    with pytest.raises(UnsupportedParameter, match="__proto__") as caught:
        create_agent(FAST, key="k", cwd="here", tools=[Tool("read", "", SCHEMA), tool])
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_name_that_is_only_spoken_of_is_no_name():
    spoken = 'Sets "__proto__": never. __proto__'
    tools = [Tool("constructor", spoken, {"type": "object", "properties": {"__proto": {"enum": ["__proto__", '"__proto__":']}}})]
    assert json.loads(create_agent(FAST, key="k", cwd="here", tools=tools))["options"]["local"]["customTools"]["constructor"]["description"] == spoken


def test_an_agent_with_tools_has_these_alone():
    tools = [Tool("read.x", "Reads", SCHEMA), Tool("stop")]
    options = json.loads(create_agent(Selection("gpt-9"), key="k", cwd="here", tools=tools, agent_id="mine"))["options"]
    assert options["tools"] == {"names": ["mcp"]}
    assert options["local"] == {
        "cwd": ["here"],
        "customTools": {
            "read.x": {"description": "Reads", "inputSchema": SCHEMA},
            "stop": {"description": "", "inputSchema": {"type": "object", "properties": {}}},
        },
    }
    assert (options["agentId"], options["model"]) == ("mine", {"id": "gpt-9", "params": []})


def test_a_message_is_one_envelope():
    decoder = EnvelopeDecoder()
    [envelope] = decoder.feed(send("agent-1", "Hé", [AgentImage(b"\x89PNG", "image/png", 3, 4), AgentImage(b"GIF", "image/gif")]))
    assert (envelope.flags, decoder.at_boundary) == (0, True)
    assert json.loads(envelope.payload) == {
        "agentId": "agent-1",
        "message": {
            "text": "Hé",
            "images": [
                {"data": {"data": base64.b64encode(b"\x89PNG").decode(), "mimeType": "image/png"}, "dimension": {"width": 3, "height": 4}},
                {"data": {"data": base64.b64encode(b"GIF").decode(), "mimeType": "image/gif"}},
            ],
        },
        "options": {"enableDeltas": True},
    }


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (cancel_run("r"), {"runId": "r"}),
        (close_agent("a"), {"agentId": "a"}),
        (delete_agent("a"), {"agentId": "a"}),
        (list_models("k"), {"options": {"apiKey": "k"}}),
        (me("k"), {"options": {"apiKey": "k"}}),
        (shutdown(), {"graceSeconds": 0}),
        (shutdown(3), {"graceSeconds": 3}),
    ],
)
def test_the_other_bodies(body, sent):
    assert json.loads(body) == sent


def test_the_paths_name_services_and_methods():
    paths = [value for name, value in vars(sdk_requests).items() if name.isupper() and isinstance(value, str) and not name.startswith("_")]
    assert len(paths) == 10
    assert all(path.startswith("/sdk.v1.Sdk") and path.count("/") == 2 for path in paths)


def test_the_answers():
    assert read_agent_id(b'{"agentId":"agent-1","model":{}}') == "agent-1"
    assert read_pong(b'{"message":"pong"}')
    assert read_version(b'{"bridgeVersion":"1.0.0","protocolVersion":"sdk.v1","capabilities":["a",4,"b"]}') == Version("1.0.0", "sdk.v1", ("a", "b"))
    assert read_user(b'{"user":{"userId":7,"userEmail":"a@b.example"}}') == User("", "7", "a@b.example")
    assert read_user(b"{}") == User("")


@pytest.mark.parametrize("body", [b"", b"[]", b"4", b"<html>", b"{"])
def test_an_answer_that_is_none(body):
    for read in (read_agent_id, read_version, read_user):
        with pytest.raises(ProtocolViolation):
            read(body)
    assert not read_pong(body)


@pytest.mark.parametrize("body", [b"{}", b'{"agentId":""}', b'{"agentId":4}', b'{"agentId":"' + b"x" * 513 + b'"}'])
def test_an_agent_without_an_id(body):
    with pytest.raises(ProtocolViolation):
        read_agent_id(body)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_sent_as_it_is(agent_id: str, text: str):
    [envelope] = EnvelopeDecoder().feed(send(agent_id, text))
    assert isinstance(envelope, Envelope)
    sent = json.loads(envelope.payload)
    assert (sent["agentId"], sent["message"]["text"]) == (agent_id, text)

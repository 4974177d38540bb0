"""What the SDK's bridge is sent, and what its unary methods answer.

Theory of operation: each function writes the body of one method of `sdk.v1` as JSON of protobuf; the constants are the methods' paths, which stand
behind the address that the bridge told. `Send` alone is a stream: its body is one Connect envelope. `read_…` read the answers.

An agent is made for one run, or for the runs of one conversation. It is a local one, since only those have the tools of the program that asks, and
its `tools` leave it none of its own: an empty list is no tool at all, and `mcp` is what custom tools come under.

Invariants: bytes depend on the arguments alone. An answer that is not of its form is a `ProtocolViolation`; unknown fields are of no effect. A key
stands in the bytes and nowhere else.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from pipeline.errors import ProtocolViolation, UnsupportedParameter
from pipeline.request import Json, Tool
from pipeline.wire.connect import encode_envelope
from pipeline.wire.error_text import clean_message
from pipeline.wire.json_values import as_list, as_object, decode_json
from pipeline.wire.sdk_models import Selection

_AGENTS, _ACCOUNT, _CONTROL = "/sdk.v1.SdkAgentService/", "/sdk.v1.SdkCursorService/", "/sdk.v1.SdkBridgeControlService/"
CREATE_AGENT = _AGENTS + "CreateAgent"
SEND = _AGENTS + "Send"
CANCEL_RUN = _AGENTS + "CancelRun"
CLOSE_AGENT = _AGENTS + "CloseAgent"
DELETE_AGENT = _AGENTS + "DeleteAgent"
LIST_MODELS = _ACCOUNT + "ListModels"
ME = _ACCOUNT + "Me"
PING = _CONTROL + "Ping"
GET_VERSION = _CONTROL + "GetVersion"
SHUTDOWN = _CONTROL + "Shutdown"

UNARY_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json", "Connect-Protocol-Version": "1"})
STREAM_HEADERS: Mapping[str, str] = MappingProxyType({"Content-Type": "application/connect+json", "Connect-Protocol-Version": "1"})
"""Both need the bridge's own token in `Authorization` too."""

EMPTY = b"{}"
"""The body of `PING` and `GET_VERSION`."""

_LOST_NAME = "__proto__"
"""The one name that an object of JavaScript, and so the bridge, does not keep."""

_MAX_ID_CHARS = 512


class AgentImage(msgspec.Struct, frozen=True):
    """One image of a message: the bytes of its file, its media type, and its size in pixels, 0 where it is not known."""

    data: bytes
    mime_type: str
    width: int = 0
    height: int = 0


class Version(msgspec.Struct, frozen=True):
    """What a bridge says that it is: its own version, its protocol's, and what it can do."""

    bridge: str
    protocol: str
    capabilities: tuple[str, ...] = ()


class User(msgspec.Struct, frozen=True):
    """Whose key it is: the name that the key has, and the account's id and e-mail address; each may be empty."""

    key_name: str
    id: str = ""
    email: str = ""


def create_agent(selection: Selection, *, key: str, cwd: str, tools: Sequence[Tool] = (), agent_id: str | None = None) -> bytes:
    """A local agent in the folder `cwd`, with these tools and no others; all of them are functions.

    Raises:
        UnsupportedParameter: a tool, or something in its schema, has a name that the bridge would lose without a word.
    """
    custom = {tool.name: {"description": tool.description, "inputSchema": tool.parameters or {"type": "object", "properties": {}}} for tool in tools}
    options: dict[str, Json] = {
        "model": {"id": selection.id, "params": [{"id": name, "value": value} for name, value in selection.params]},
        "apiKey": key,
        "mode": "AGENT_MODE_OPTION_AGENT",
        "tools": {"names": ["mcp"] if custom else []},
        "local": {"cwd": [cwd], "customTools": custom} if custom else {"cwd": [cwd]},
    }
    body = _body(options=options | ({"agentId": agent_id} if agent_id else {}))
    if b'"%b":' % _LOST_NAME.encode() in body:  # as a name: in a text the quotation marks are escaped
        raise _lost(tools)
    return body


def _lost(tools: Sequence[Tool]) -> UnsupportedParameter:
    path = next((f"tools[{place}].name" for place, tool in enumerate(tools) if tool.name == _LOST_NAME), None)
    if path is None:
        name = f'"{_LOST_NAME}":'.encode()
        path = next((f"tools[{place}].parameters" for place, tool in enumerate(tools) if name in msgspec.json.encode(tool.parameters)), "tools")
    return UnsupportedParameter(f"{path} holds the name {_LOST_NAME}, which the SDK's bridge loses; give it another one.", param=path)


def send(agent_id: str, text: str, images: Sequence[AgentImage] = ()) -> bytes:
    r"""A user's message, as the one envelope that opens a run.

    >>> send("agent-1", "Hi")[5:]
    b'{"agentId":"agent-1","message":{"text":"Hi"},"options":{"enableDeltas":true}}'
    """
    message: dict[str, Json] = {"text": text}
    if images:
        message["images"] = [_image(image) for image in images]
    return encode_envelope(_body(agentId=agent_id, message=message, options={"enableDeltas": True}))


def cancel_run(run_id: str) -> bytes:
    """Ends a run; leaving its stream does not. An agent's id is not sent: it makes the bridge look for an agent in the cloud."""
    return _body(runId=run_id)


def close_agent(agent_id: str) -> bytes:
    """Gives back what the bridge holds of an agent in memory."""
    return _body(agentId=agent_id)


def delete_agent(agent_id: str) -> bytes:
    """Removes what the bridge has stored of an agent."""
    return _body(agentId=agent_id)


def list_models(key: str) -> bytes:
    """Asks for the models of the key's account."""
    return _body(options={"apiKey": key})


def me(key: str) -> bytes:
    """Asks whose key it is."""
    return _body(options={"apiKey": key})


def shutdown(grace_seconds: int = 0) -> bytes:
    """Ends the bridge, after so many whole seconds for what is running."""
    return _body(graceSeconds=grace_seconds)


def read_agent_id(body: bytes) -> str:
    """The id of the agent that `CREATE_AGENT` made; raises ProtocolViolation.

    >>> read_agent_id(b'{"agentId": "agent-1"}')
    'agent-1'
    """
    agent_id = _answer(body).get("agentId")
    if not isinstance(agent_id, str) or not 0 < len(agent_id) <= _MAX_ID_CHARS:
        raise ProtocolViolation("The bridge made an agent and did not say which.")
    return agent_id


def read_pong(body: bytes) -> bool:
    """Whether this is the answer of `PING`."""
    return as_object(decode_json(body)).get("message") == "pong"


def read_version(body: bytes) -> Version:
    """The answer of `GET_VERSION`; raises ProtocolViolation."""
    fields = _answer(body)
    capabilities = tuple(clean_message(word) for word in as_list(fields.get("capabilities"))[:100] if isinstance(word, str))
    return Version(_word(fields.get("bridgeVersion")), _word(fields.get("protocolVersion")), capabilities)


def read_user(body: bytes) -> User:
    """The answer of `ME`; raises ProtocolViolation.

    >>> read_user(b'{"user": {"apiKeyName": "laptop", "userId": "7"}}')
    User(key_name='laptop', id='7', email='')
    """
    fields = as_object(_answer(body).get("user"))
    return User(_word(fields.get("apiKeyName")), _word(fields.get("userId")), _word(fields.get("userEmail")))


def _body(**fields: Json) -> bytes:
    return msgspec.json.encode(fields)


def _image(image: AgentImage) -> dict[str, Json]:
    data = {"data": base64.b64encode(image.data).decode(), "mimeType": image.mime_type}
    size = {"dimension": {"width": image.width, "height": image.height}} if image.width and image.height else {}
    return {"data": data, **size}


def _answer(body: bytes) -> dict[str, Json]:
    fields = decode_json(body)
    if not isinstance(fields, dict):
        raise ProtocolViolation("The bridge's answer is not in the form of its protocol.")
    return as_object(fields)


def _word(value: Json) -> str:
    # a 64-bit number is a text in JSON of protobuf, and a number from those that do not keep to it
    return clean_message(value) if isinstance(value, str) else str(value) if isinstance(value, int) and not isinstance(value, bool) else ""

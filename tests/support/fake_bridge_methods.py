"""The methods of the fake bridge that are no streams, and what Send is checked for.

They answer from what the bridge holds (`tests.support.fake_bridge_run`), in the words and with the status that were measured at the real one, 1.0.0.
"""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support import fake_bridge_contract as contract
from tests.support.composer_server import Reply
from tests.support.fake_bridge_callbacks import Callbacks
from tests.support.fake_bridge_contract import JSON, Refused, decode
from tests.support.fake_bridge_run import Agent, Run, Start
from tests.support.fake_bridge_send import read_message
from tests.support.http_connection import HttpRequest

if TYPE_CHECKING:
    from tests.support.fake_bridge import FakeBridge


def answer_of(bridge: "FakeBridge", start: Start, request: HttpRequest) -> Reply:
    """What a call of one of the `METHODS` is answered with."""
    wanted, answer = METHODS[request.path]
    try:
        return Reply(200, msgspec.json.encode(answer(bridge, start, decode(request.body, wanted))), JSON)
    except Refused as fault:
        return fault.reply()


def begun_run(bridge: "FakeBridge", start: Start, request: HttpRequest) -> Run:
    """The run that a Send begins; raises Refused."""
    sent = decode(read_message(request.body), contract.SendRequest)
    agent = start.agents.get(sent.agent_id)
    if agent is None or agent.closed:
        raise Refused("not_found", f"Unknown agent: {sent.agent_id}")
    if any(image.url is not None for image in sent.message.images):
        raise Refused("invalid_argument", "URL images are only supported for cloud-routed agents")
    if not agent.model:
        raise Refused("invalid_argument", "Local SDK agents require an explicit `model`.", "UNSPECIFIED")
    if agent.active is not None:
        raise Refused("failed_precondition", f"Agent {agent.id} already has active run", "AGENT_BUSY")
    run = Run(agent, sent.message)
    agent.runs.append(run)
    bridge.runs.append(run)
    return run


def _check_key(bridge: "FakeBridge", key: str) -> None:
    if not key:
        raise Refused("unauthenticated", "API key is required for cloud catalog calls.")
    if bridge.keys is not None and key not in bridge.keys:
        raise Refused("unauthenticated", "Invalid User API Key", "UNAUTHORIZED", requestId="7b0e6a52-1f0c-4a5e-9a5e-0c6f5f0d9f11")


def _create_agent(bridge: "FakeBridge", start: Start, sent: contract.CreateAgentRequest) -> object:
    options = sent.options
    unknown = sorted({*(options.tools.names if options.tools else ())} - contract.BUILT_IN_TOOLS)
    if unknown:
        raise Refused("invalid_argument", f"Unknown tool name(s) in `tools`: {', '.join(unknown)}.")
    _check_key(bridge, options.api_key)
    if options.model is not None:
        _check_model(bridge, options.model)
    agent_id = options.agent_id or f"agent-{uuid.uuid4()}"
    if agent_id in start.agents:
        raise Refused("internal", f"Agent {agent_id} already exists", "UNSPECIFIED")
    agent = Agent(agent_id, options, start)
    start.agents[agent_id] = agent
    bridge.agents.append(agent)
    return {"agentId": agent_id, **({} if options.model is None else {"model": msgspec.to_builtins(options.model)})}


def _check_model(bridge: "FakeBridge", model: contract.Model) -> None:
    """The model must be listed, and its parameters with their values."""
    listed = next((row for row in bridge.models if row["id"] == model.id), None)
    if listed is None:
        raise Refused("invalid_argument", f"Cannot use this model: {model.id}.", "INVALID_MODEL")
    known = {row["id"]: {value["value"] for value in row["values"]} for row in listed.get("parameters", [])}
    for param in model.params:
        if param.value not in known.get(param.id, ()):
            raise Refused("invalid_argument", f"Invalid value for {param.id} of {model.id}: {param.value}", "VALIDATION_ERROR")


def _agent(start: Start, agent_id: str) -> Agent:
    agent = start.agents.get(agent_id)
    if agent is None or agent.deleted:
        raise Refused("not_found", f"Unknown agent: {agent_id}")
    return agent


def _close_agent(_: "FakeBridge", start: Start, sent: contract.AgentRequest) -> object:
    agent = _agent(start, sent.agent_id)
    if agent.closed:
        raise Refused("not_found", f"Unknown agent: {agent.id}")
    agent.closed = True
    return {}


def _delete_agent(_: "FakeBridge", start: Start, sent: contract.DeleteAgentRequest) -> object:
    agent = _agent(start, sent.agent_id)
    active = agent.unused_run if agent.active is None else agent.active.id
    if active is not None:
        said = f"Cannot delete agent {agent.id}: active run {active} is not terminal. Call run.cancel() first."
        raise Refused("internal", said, "UNSPECIFIED")
    agent.closed = agent.deleted = True
    return {}


def _cancel_run(_: "FakeBridge", start: Start, sent: contract.CancelRunRequest) -> object:
    contract.check_run_id(sent)
    for agent in start.agents.values():
        if agent.unused_run == sent.run_id and sent.agent_id is None:
            agent.unused_run = None
            return {}
    runs = [run for agent in start.agents.values() for run in agent.runs if sent.agent_id in (None, agent.id)]
    run = next((run for run in runs if run.id == sent.run_id), None)
    if run is None:
        raise Refused("invalid_argument", f"Run {sent.run_id} not found", "UNSPECIFIED")
    if run.over.is_set():
        raise Refused("failed_precondition", f"Run {run.id} is not cancellable", "RUN_NOT_CANCELLABLE")
    run.stop("CANCELLED")
    return {}


def _list_models(bridge: "FakeBridge", _: Start, sent: contract.CursorRequest) -> object:
    _check_key(bridge, sent.options.api_key)
    return {"items": bridge.models}


def _me(bridge: "FakeBridge", _: Start, sent: contract.CursorRequest) -> object:
    _check_key(bridge, sent.options.api_key)
    return {"user": {"apiKeyName": "penstock-test", "userId": "7", "userEmail": "someone@example.com"}}


def _shutdown(_: "FakeBridge", start: Start, __: contract.ShutdownRequest) -> object:
    start.shutdown.set()
    return {}


def _set_tool_callback(_: "FakeBridge", start: Start, sent: contract.SetToolCallbackRequest) -> object:
    start.call_back_to(Callbacks(sent.url, sent.auth_token) if sent.url else None)
    return {}


METHODS: "dict[str, tuple[type[Any], Callable[[FakeBridge, Start, Any], object]]]" = {
    f"/sdk.v1.{service}/{method}": (wanted, answer)
    for service, method, wanted, answer in (
        ("SdkBridgeControlService", "Ping", contract.EmptyRequest, lambda *_: {"message": "pong"}),
        ("SdkBridgeControlService", "GetVersion", contract.EmptyRequest, lambda bridge, *_: bridge.version),
        ("SdkBridgeControlService", "Shutdown", contract.ShutdownRequest, _shutdown),
        ("SdkBridgeControlService", "SetToolCallback", contract.SetToolCallbackRequest, _set_tool_callback),
        ("SdkCursorService", "ListModels", contract.CursorRequest, _list_models),
        ("SdkCursorService", "Me", contract.CursorRequest, _me),
        ("SdkAgentService", "CreateAgent", contract.CreateAgentRequest, _create_agent),
        ("SdkAgentService", "CancelRun", contract.CancelRunRequest, _cancel_run),
        ("SdkAgentService", "CloseAgent", contract.AgentRequest, _close_agent),
        ("SdkAgentService", "DeleteAgent", contract.DeleteAgentRequest, _delete_agent),
    )
}

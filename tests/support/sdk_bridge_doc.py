"""The generated places of docs/sdk-bridge.md: a run's life, the settings, the errors and the notices, printed from the program's own tables."""

import ast
import inspect
from collections.abc import Callable
from textwrap import dedent

import msgspec

from pipeline.notices import NOTICES
from pipeline.upstream.bridge import states
from pipeline.upstream.bridge.states import TRANSITIONS, State
from pipeline.wire.sdk_error_report import PREFIX
from pipeline.wire.sdk_error_table import SDK_ERRORS
from server.config_schema import description, expected, structs_of
from server.problems import format_value
from server.upstream_settings import SdkBridge, Upstream
from tests.support.markdown import code, diagram, table

# those that a client of this upstream may see and of no other
OWN_NOTICES = ("run_replayed", "text_with_results", "run_usage", "call_withdrawn", "agent_tool")


def run() -> str:
    return diagram(TRANSITIONS, State.STARTING)


def meanings() -> dict[str, str]:
    """What each state's own docstring says of it, by the state's name."""
    (states_class,) = ast.parse(dedent(inspect.getsource(states.State))).body
    assert isinstance(states_class, ast.ClassDef)
    found: dict[str, str] = {}
    for named, said in zip(states_class.body, states_class.body[1:], strict=False):
        match named, said:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def run_states() -> str:
    says = meanings()
    rows = [[state.name, says[state.name], "; ".join(TRANSITIONS[state]) or "nothing: what is left of the agent is removed"] for state in State]
    return table(["state", "what it is", "what may happen then"], rows)


def settings() -> str:
    """Those that no other kind of upstream has."""
    others = {field.name for kind in structs_of(Upstream) if kind is not SdkBridge for field in msgspec.structs.fields(kind)}
    rows = [
        [code(field.encode_name), expected(field.type), code(format_value(field.default)), description(field.type)]
        for field in msgspec.structs.fields(SdkBridge)
        if field.name not in others
    ]
    return table(["setting", "value", "default", "what it does"], rows)


def errors() -> str:
    rows = [[code(row.code.removeprefix(PREFIX)), f"{row.status} {code(row.our_code)}", row.outcome.message, row.advice] for row in SDK_ERRORS]
    return table(["the bridge says", "the client gets", "with the words", "what to do"], rows)


def notices() -> str:
    return table(["notice", "what happened"], [[code(name), NOTICES[name]] for name in OWN_NOTICES])


REGIONS: dict[str, Callable[[], str]] = {"settings": settings, "run": run, "run states": run_states, "errors": errors, "notices": notices}

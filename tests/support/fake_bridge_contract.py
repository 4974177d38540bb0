"""The parts of `sdk.v1` that a client of the bridge uses: its requests as types, its errors as the bridge writes them, and a list of models.

JSON comes in, values or a `Refused` come out. It is stricter than the real bridge, which takes snake_case too and ignores the fields and the enum
names that it does not know: here they are refused, so that a slip in what is sent fails a test.
"""

import base64
import re
from typing import Any, Literal, TypeVar

import msgspec

from pipeline.wire.protobuf import encode_fields
from tests.support.composer_server import Reply

JSON = {"content-type": "application/json"}
STATUS = {
    "invalid_argument": 400,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "aborted": 409,
    "resource_exhausted": 429,
    "canceled": 499,
    "internal": 500,
    "unknown": 500,
    "unimplemented": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
"""The HTTP status of each code of Connect that the bridge uses."""

SDK_ERROR_CODES = [
    "UNSPECIFIED",
    "UNAUTHORIZED",
    "API_KEY_NOT_FOUND",
    "PLAN_REQUIRED",
    "ROLE_FORBIDDEN",
    "FEATURE_UNAVAILABLE",
    "AGENT_NOT_FOUND",
    "RUN_NOT_FOUND",
    "VALIDATION_ERROR",
    "INVALID_MODEL",
    "INVALID_BRANCH_NAME",
    "REPOSITORY_REQUIRED",
    "REPOSITORY_ACCESS",
    "PR_RESOLUTION_FAILED",
    "USAGE_LIMIT_EXCEEDED",
    "AGENT_BUSY",
    "AGENT_ARCHIVED",
    "RUN_NOT_CANCELLABLE",
    "RATE_LIMIT_EXCEEDED",
    "UPSTREAM_ERROR",
    "INTERNAL_ERROR",
    "CLIENT_CANCELLED",
]
"""By number."""

BUILT_IN_TOOLS = frozenset({"mcp", "read", "edit", "delete", "glob", "grep", "ls", "shell", "fetch", "semSearch", "getMcpTools", "readLints"})
"""Some of the names that `tools.names` may hold."""


class Refused(Exception):
    """What the bridge answers with, as the JSON of an error; the status is that of its code."""

    def __init__(self, code: str, message: str, sdk_error_code: str | None = None, **debug: Any) -> None:
        super().__init__(message)
        self.code = code
        self.error = error_json(code, message, sdk_error_code, **debug)

    def reply(self) -> Reply:
        """As the answer of a unary call."""
        return Reply(STATUS[self.code], msgspec.json.encode(self.error), JSON)

    def end(self) -> bytes:
        """As the payload of the envelope that ends a stream."""
        return msgspec.json.encode({"error": self.error})


def error_json(code: str, message: str, sdk_error_code: str | None = None, **debug: Any) -> dict[str, Any]:
    """`sdk_error_code` is a name of `SDK_ERROR_CODES`, `debug` are further fields of `SdkErrorDetails` by their names in JSON.

    Without both there are no details. The first code of the enum is left out, as proto3 does.
    """
    error: dict[str, Any] = {"code": code, "message": message}
    if sdk_error_code is None and not debug:
        return error
    shown: dict[str, Any] = {"message": message, **debug}
    fields: list[tuple[int, int | str | bytes]] = [(3, message)]
    if sdk_error_code is not None and sdk_error_code != SDK_ERROR_CODES[0]:
        shown["sdkErrorCode"] = f"SDK_ERROR_CODE_{sdk_error_code}"
        fields.insert(0, (2, SDK_ERROR_CODES.index(sdk_error_code)))
    if "requestId" in debug:
        fields.insert(0, (1, debug["requestId"]))
    if "helpUrl" in debug:
        fields.append((4, debug["helpUrl"]))
    value = base64.b64encode(encode_fields(*fields)).rstrip(b"=").decode()
    return {**error, "details": [{"type": "sdk.v1.SdkErrorDetails", "debug": shown, "value": value}]}


def error_reply(code: str, message: str, sdk_error_code: str | None = None, **debug: Any) -> Reply:
    """The answer of a unary call that failed."""
    return Refused(code, message, sdk_error_code, **debug).reply()


# -- requests: proto3 JSON in its canonical names --------------------------------------------------------------------------------------------------


class _Message(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class Parameter(_Message, frozen=True):
    id: str = ""
    value: str = ""


class Model(_Message, frozen=True):
    id: str = ""
    params: tuple[Parameter, ...] = ()


class CustomTool(_Message, frozen=True):
    description: str | None = None
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None


class Sandbox(_Message, frozen=True):
    enabled: bool | None = None


class Local(_Message, frozen=True):
    cwd: tuple[str, ...] = ()
    setting_sources: tuple[str, ...] = ()
    sandbox_options: Sandbox | None = None
    store: dict[str, str] | None = None
    auto_review: bool | None = None
    custom_tools: dict[str, CustomTool] = {}
    dirs: tuple[str, ...] = ()


class ToolList(_Message, frozen=True):
    names: tuple[str, ...] = ()


Mode = Literal["AGENT_MODE_OPTION_UNSPECIFIED", "AGENT_MODE_OPTION_AGENT", "AGENT_MODE_OPTION_PLAN"]


class AgentOptions(_Message, frozen=True):
    model: Model | None = None
    api_key: str = ""
    name: str = ""
    local: Local | None = None
    agent_id: str = ""
    mode: Mode = "AGENT_MODE_OPTION_UNSPECIFIED"
    tools: ToolList | None = None
    disallowed_tools: tuple[str, ...] = ()


class CreateAgentRequest(_Message, frozen=True):
    options: AgentOptions = AgentOptions()
    idempotency_key: str | None = None


class ImageUrl(_Message, frozen=True):
    url: str = ""


class ImageData(_Message, frozen=True):
    data: bytes = b""
    mime_type: str = ""


class Dimension(_Message, frozen=True):
    width: int = 0
    height: int = 0


class Image(_Message, frozen=True):
    url: ImageUrl | None = None
    data: ImageData | None = None
    dimension: Dimension | None = None


class UserMessage(_Message, frozen=True):
    text: str = ""
    images: tuple[Image, ...] = ()


class SendOptions(_Message, frozen=True):
    model: Model | None = None
    enable_deltas: bool = False
    enable_steps: bool = False
    mode: Mode = "AGENT_MODE_OPTION_UNSPECIFIED"


class SendRequest(_Message, frozen=True):
    agent_id: str = ""
    message: UserMessage = UserMessage()
    options: SendOptions = SendOptions()
    idempotency_key: str | None = None


class AgentRequest(_Message, frozen=True):
    """CloseAgent; DeleteAgent has `options` too."""

    agent_id: str = ""


class OperationOptions(_Message, frozen=True):
    cwd: str = ""
    api_key: str = ""


class DeleteAgentRequest(_Message, frozen=True):
    agent_id: str = ""
    options: OperationOptions | None = None


class CancelRunRequest(_Message, frozen=True):
    run_id: str = ""
    agent_id: str | None = None


class CursorOptions(_Message, frozen=True):
    api_key: str = ""


class CursorRequest(_Message, frozen=True):
    """Me and ListModels."""

    options: CursorOptions = CursorOptions()


class EmptyRequest(_Message, frozen=True):
    """Ping and GetVersion."""


class ShutdownRequest(_Message, frozen=True):
    grace_seconds: int = 0


class SetToolCallbackRequest(_Message, frozen=True):
    url: str = ""
    auth_token: str = ""


_Wanted = TypeVar("_Wanted")


def decode(body: bytes, wanted: type[_Wanted]) -> _Wanted:
    """Raises Refused as the bridge says it: invalid JSON, or a field that is not as the contract has it."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.DecodeError as fault:
        raise Refused("invalid_argument", f"cannot decode sdk.v1.{wanted.__name__} from JSON: {fault}") from None


_RUN_ID = re.compile(r"run-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_run_id(request: CancelRunRequest) -> None:
    """With its agent named, a run's id must be of the bridge's own form."""
    if request.agent_id is not None and not _RUN_ID.fullmatch(request.run_id):
        raise Refused("invalid_argument", "Run ID must be in the format 'run-<uuid>'", "UNSPECIFIED")


# -- models ----------------------------------------------------------------------------------------------------------------------------------------


def _values(*values: str) -> list[dict[str, str]]:
    return [{"value": value, "displayName": value.title()} for value in values]


def _variant(name: str, /, *, default: bool = False, **params: str) -> dict[str, Any]:
    shown = {"params": [{"id": key, "value": value} for key, value in params.items()], "displayName": name, "description": ""}
    return {**shown, "isDefault": True} if default else shown


MODELS: list[dict[str, Any]] = [
    {
        "id": "composer-2.5",
        "displayName": "Composer 2.5",
        "description": "Cursor's own model.",
        "parameters": [{"id": "fast", "displayName": "Fast", "values": _values("false", "true")}],
        "variants": [_variant("Composer 2.5", default=True, fast="false"), _variant("Composer 2.5 Fast", fast="true")],
    },
    {
        "id": "gpt-5.2",
        "displayName": "GPT-5.2",
        "parameters": [{"id": "reasoning", "displayName": "Reasoning", "values": _values("low", "medium", "high")}],
        "variants": [_variant(f"GPT-5.2 {word.title()}", default=word == "medium", reasoning=word) for word in ("low", "medium", "high")],
    },
    {"id": "auto", "displayName": "Auto"},
]
"""What ListModels answers: a model with a switch, one with an effort, one without parameters."""

"""How each client is pointed at this server, as text to paste.

Theory of operation: an address, a key's placeholder and a model come in; out comes one `Setup` for each client, in the form that the client's
public documentation gives: OpenCode's and Kilo's providers, Claude Code's variables, Codex's model provider, Cline's custom provider, Continue's
config.yaml, aider's OpenAI-compatible APIs, and the SDKs of OpenAI and of Anthropic. Every value is quoted for the language that it stands in, so
that an id with a quotation mark in it still makes a valid file.

Left alone: every secret. The key is a placeholder.
"""

import shlex
from collections.abc import Callable

import msgspec

from pipeline.models import Model
from pipeline.request import Json
from server.web.commands import laid_out

ANSWER_ROOM_TOKENS = 32_000
"""What OpenCode and Kilo keep free of the window for an answer, where the model's own limit is not known."""


class Place(msgspec.Struct, frozen=True):
    """What a client is pointed at. `base_url` is without `/v1`; `key` is what stands for a key; `model` is the one that is asked for."""

    base_url: str
    key: str
    model: Model


class Setup(msgspec.Struct, frozen=True):
    """One client's block: `where` it goes, the `text` itself, and what else there is to know, in `note`."""

    client: str
    where: str
    text: str
    note: str = ""


def setups(place: Place) -> tuple[Setup, ...]:
    """The blocks of all clients."""
    return tuple(make(place) for make in MAKERS)


def _opencode(place: Place) -> Setup:
    block = {"$schema": "https://opencode.ai/config.json", **_provider(place, "/opencode/v1")}
    note = "This address answers in Agent mode and keeps one conversation for each session."
    return Setup("OpenCode", "opencode.json in your project, or ~/.config/opencode/opencode.json", laid_out(block), note)


def _kilo(place: Place) -> Setup:
    note = "In VS Code: Settings, Providers, Custom provider, Provider API “OpenAI Compatible”, with the same base URL, key and model."
    return Setup("Kilo Code", "~/.config/kilo/kilo.json", laid_out(_provider(place, "/v1")), note)


def _claude_code(place: Place) -> Setup:
    variables = {
        "ANTHROPIC_BASE_URL": place.base_url,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "ANTHROPIC_MODEL": place.model.id,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": place.model.id,
    }
    if place.model.context_window is not None:
        variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(place.model.context_window)
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    note = "Its address has no /v1, and ANTHROPIC_API_KEY should not be set beside these. They may stand under env in ~/.claude/settings.json too."
    return Setup("Claude Code", "a shell, before claude", text, note)


def _codex(place: Place) -> Setup:
    window = place.model.context_window
    limit = "" if window is None else f"model_context_window = {window}\n"
    text = f"""\
# The key is in the environment: export PENSTOCK_API_KEY={shlex.quote(place.key)}
model = {_quoted(place.model.id)}
model_provider = "penstock"
{limit}
[model_providers.penstock]
name = "Penstock"
base_url = {_quoted(place.base_url + "/v1")}
env_key = "PENSTOCK_API_KEY"
wire_api = "responses"
"""
    note = "Codex speaks the Responses API alone. The first lines stand above every table of the file."
    return Setup("Codex", "~/.codex/config.toml", text, note)


def _cline(place: Place) -> Setup:
    rows = {"API Provider": "OpenAI Compatible", "Base URL": f"{place.base_url}/v1", "API Key": place.key, "Model ID": place.model.id}
    return Setup("Cline", "the settings panel, behind the gear", "\n".join(f"{title:<14}{value}" for title, value in rows.items()))


def _continue(place: Place) -> Setup:
    text = f"""\
name: Penstock
version: 0.0.1
schema: v1
models:
  - name: {_quoted(place.model.name)}
    provider: openai
    model: {_quoted(place.model.id)}
    apiBase: {_quoted(place.base_url + "/v1")}
    apiKey: {_quoted(place.key)}
    roles: [chat, edit, apply]
    capabilities: [tool_use]
"""
    return Setup("Continue", "~/.continue/config.yaml", text)


def _aider(place: Place) -> Setup:
    text = f"""\
export OPENAI_API_BASE={shlex.quote(place.base_url + "/v1")}
export OPENAI_API_KEY={shlex.quote(place.key)}
aider --model {shlex.quote("openai/" + place.model.id)}
"""
    note = "The prefix openai/ is aider's own and chooses its client. In fish: set -x NAME VALUE in place of export NAME=VALUE."
    return Setup("aider", "a shell", text, note)


def _python(place: Place) -> Setup:
    text = f"""\
from openai import OpenAI

client = OpenAI(base_url={_quoted(place.base_url + "/v1")}, api_key={_quoted(place.key)})
stream = client.chat.completions.create(
    model={_quoted(place.model.id)},
    messages=[{{"role": "user", "content": "Hello!"}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
"""
    return Setup("OpenAI for Python", "pip install openai", text)


def _node(place: Place) -> Setup:
    text = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(place.base_url + "/v1")}, apiKey: {_quoted(place.key)} }});
const stream = await client.chat.completions.create({{
  model: {_quoted(place.model.id)},
  messages: [{{ role: "user", content: "Hello!" }}],
  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}
"""
    return Setup("OpenAI for Node", "npm install openai, in a file that ends in .mjs", text)


def _anthropic_python(place: Place) -> Setup:
    text = f"""\
import anthropic

client = anthropic.Anthropic(base_url={_quoted(place.base_url)}, api_key={_quoted(place.key)})
question = {{"role": "user", "content": "Hello!"}}
with client.messages.stream(model={_quoted(place.model.id)}, max_tokens=1024, messages=[question]) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
"""
    return Setup("Anthropic for Python", "pip install anthropic", text)


def _anthropic_node(place: Place) -> Setup:
    text = f"""\
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{ baseURL: {_quoted(place.base_url)}, apiKey: {_quoted(place.key)} }});
const stream = client.messages.stream({{
  model: {_quoted(place.model.id)},
  max_tokens: 1024,
  messages: [{{ role: "user", content: "Hello!" }}],
}});
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();
"""
    return Setup("Anthropic for Node", "npm install @anthropic-ai/sdk, in a file that ends in .mjs", text)


MAKERS: tuple[Callable[[Place], Setup], ...] = (
    _opencode,
    _kilo,
    _claude_code,
    _codex,
    _cline,
    _continue,
    _aider,
    _python,
    _node,
    _anthropic_python,
    _anthropic_node,
)


def _provider(place: Place, path: str) -> dict[str, Json]:
    """The provider block that OpenCode and Kilo share."""
    model: dict[str, Json] = {"name": place.model.name}
    window = place.model.context_window
    if window is not None:
        model["limit"] = {"context": window, "output": place.model.max_tokens or min(ANSWER_ROOM_TOKENS, window // 4)}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Penstock",
        "options": {"baseURL": place.base_url + path, "apiKey": place.key},
        "models": {place.model.id: model},
    }
    return {"provider": {"penstock": provider}, "model": f"penstock/{place.model.id}"}


def _quoted(text: str) -> str:
    r"""Text as a JSON string, which is a string of YAML, JavaScript and Python too.

    >>> print(_quoted('a "b"'))
    "a \"b\""
    """
    return msgspec.json.encode(text).decode()

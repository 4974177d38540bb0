"""The curl commands of the page: what to send, and to where, as text for a shell.

An address, a model and a key's placeholder come in; commands come out that can be pasted as they are into sh, bash, zsh and fish. With an empty
placeholder no key is sent. Each answers on the embedded demo; a test runs them all. How a body is quoted for all four is `quoted_json`'s matter.
"""

import shlex

import msgspec

from pipeline.request import Json
from pipeline.wire.json_values import as_list, as_object
from server.first_request import quoted_json

LINE_CHARS = 56
INDENT_CHARS = 2

CALCULATOR: Json = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate an arithmetic expression.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
    },
}


class Command(msgspec.Struct, frozen=True):
    """One command and what it is for."""

    title: str
    text: str


class Curl:
    """Writes commands for one server."""

    def __init__(self, base_url: str, key: str) -> None:
        """`base_url` is without `/v1`."""
        self._base_url = base_url
        self._key = f" -H {shlex.quote(f'Authorization: Bearer {key}')}" if key else ""

    def get(self, path: str, *, with_key: bool = True) -> str:
        """A GET.

        >>> Curl("http://127.0.0.1:8787", "").get("/health")
        'curl http://127.0.0.1:8787/health'
        """
        return f"curl {shlex.quote(self._base_url + path)}{self._key if with_key else ''}"

    def chat(self, model: str, content: str = "Hello!", *, path: str = "/v1/chat/completions", **fields: Json) -> str:
        """A chat request; `fields` are further ones of its body."""
        body = laid_out({"model": model, "messages": [{"role": "user", "content": content}], **fields})
        return self._post(path, body, "-N " if fields.get("stream") else "")

    def messages(self, model: str, content: str = "Hello!", *, path: str = "/v1/messages", **fields: Json) -> str:
        """A request in Anthropic's API; `fields` are further ones of its body."""
        return self._post(path, laid_out({"model": model, **fields, "messages": [{"role": "user", "content": content}]}), "")

    def hello(self, model: str) -> str:
        """A streamed hello, on as few lines as it takes."""
        body = msgspec.json.encode({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).decode()
        return self._post("/v1/chat/completions", body, "-N ")

    def _post(self, path: str, body: str, options: str) -> str:
        url = shlex.quote(self._base_url + path)
        return f"curl {options}{url}{self._key} \\\n  -H 'Content-Type: application/json' \\\n  -d {quoted_json(body)}"


def laid_out(value: Json, depth: int = 0) -> str:
    """JSON for a reader: what fits on a line stands on one, and the outermost object has one for each field.

    >>> print(laid_out({"model": "m", "messages": [{"role": "user"}]}))
    {
      "model": "m",
      "messages": [{"role": "user"}]
    }
    """
    line = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    room = LINE_CHARS - INDENT_CHARS * depth
    if not isinstance(value, dict | list) or not value or (depth > 0 and len(line) <= room):
        return line
    inner = " " * (INDENT_CHARS * (depth + 1))
    parts = [f"{laid_out(name)}: {laid_out(each, depth + 1)}" for name, each in as_object(value).items()]
    parts += [laid_out(each, depth + 1) for each in as_list(value)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{inner[INDENT_CHARS:]}{closing}"


def examples(curl: Curl, model: str) -> tuple[Command, ...]:
    """The quick start, after the hello."""
    question = "What is 2+2? Use the calculator tool."
    chosen = {"type": "function", "function": {"name": "calculator"}}
    return (
        Command("List the models", curl.get("/v1/models")),
        Command("Is it alive?", curl.get("/health", with_key=False)),
        Command("A whole answer", curl.chat(model, stream=False)),
        Command("The same in Anthropic's API", curl.messages(model, max_tokens=1024)),
        Command("How many tokens is that?", curl.messages(model, path="/v1/messages/count_tokens")),
        Command("A tool call", curl.chat(model, question, tools=[CALCULATOR], tool_choice=chosen)),
    )

"""The request that a newcomer is shown, made from the settings so that it works here.

Settings come in; ids of models that they really serve go out, and the body of a request with the first of them, quoted for a shell. Where an id leads
is `server.resolver`'s to say; behind `*` alone, a server that may serve any id has none that is known. Left alone: whether an upstream answers, which
is the doctor's question.
"""

import shlex
from collections.abc import Iterator

import msgspec

from server.resolver import example_of_any, own_ids, resolve, takes
from server.settings import Settings

PLACEHOLDER = "YOUR_MODEL"
"""What stands for a model's id where the settings name none."""


def served_models(settings: Settings, upstream: str | None = None) -> Iterator[str]:
    """Model ids that clients can ask for: those with a route of their own, in the file's order, and then one that goes through `*`.

    Args:
        settings: the settings in force.
        upstream: the name of the only upstream that counts; every one by default.
    """
    example = example_of_any(settings)
    for name in (*own_ids(settings), *([] if example is None else [example])):
        found = resolve(settings, name)
        leads = () if found is None else found.leads
        if any(upstream in (None, lead.upstream) and takes(settings.upstreams[lead.upstream], lead.model_id) for lead in leads):
            yield name


def example_body(settings: Settings) -> str:
    """A Chat body that asks for a streamed hello, as one word of a shell's command line."""
    model = next(served_models(settings), PLACEHOLDER)
    return quoted_json(msgspec.json.encode({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).decode())


def quoted_json(text: str) -> str:
    r"""JSON as one word of a command line for sh, bash, zsh and fish.

    Between single quotes a backslash is only a backslash, except in fish, which reads two as one and one before the closing quote as that quote's
    escape. JSON has another spelling for a backslash, and no other place where two meet or one precedes a single quote.

    >>> print(quoted_json('{"model": "a\\\\b\'c"}'))
    '{"model": "a\u005cb'"'"'c"}'
    """
    return shlex.quote(text.replace("\\\\", "\\u005c"))

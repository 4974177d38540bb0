"""Find the upstreams' own keys: in the variable or the file that the settings name.

Settings without keys and the variables of the process go in; the same settings with each `api_key` filled come out, and a problem for every key that
is not there or is none. A problem names the setting and, if its name has the form of one, the variable; it never shows a value, not even one that was
put where a name belongs. Keys that anybody could guess are refused, since they are what examples leave behind.
"""

import hashlib
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from pipeline.credential import GATEWAY_TOKENS, Secret
from server.environment import Variable
from server.problems import Problem, format_path
from server.settings import Settings
from server.upstream_settings import KeyedUpstream, Upstream

VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
KEY = re.compile(r"[\x21-\x7e]+")
MIN_KEY_CHARS = 8
MAX_KEY_CHARS = 4096

_WORDS = """
    0000 1234 12345678 123456789 1234567890 abcdefgh abcd1234 admin admin123 api-key api_key apikey bearer change-me change_me changeit
    changeme changeme123 default demo dummy dummykey dummy-key empty example fake-key foobar hunter2 insert-key-here key letmein mykey
    my-api-key my_api_key no-key no-key-required none not-needed notneeded null openai-api-key pass passw0rd password password1 password123
    placeholder psk qwerty replace-me replaceme root secret secret123 sk-0000 sk-1234 sk-dummy sk-fake sk-placeholder sk-proj-xxxx sk-test
    sk-xxxx super-secret supersecret test test123 test-key testing testkey testtest todo token undefined user welcome your-api-key
    your_api_key your-key-here your-openai-api-key yourapikey
"""

WELL_KNOWN = frozenset(_WORDS.split())
"""What stands in examples and in lists of common passwords, in lower case."""


def is_well_known(key: str) -> bool:
    """Whether anybody would guess the key: it is empty, one character over and over, or in `WELL_KNOWN`.

    >>> [is_well_known(key) for key in ("", "00000000", "ChangeMe", "<your-api-key>", "my-api-key", "sk-4f9a0c")]
    [True, True, True, True, True, False]
    >>> [word for word in WELL_KNOWN if word.endswith(("-", "_"))]
    []
    """
    word = key.strip("<>{}[]$ ").lower()
    return len(set(word.removeprefix("sk-"))) <= 1 or word in WELL_KNOWN


def is_hash_of_well_known(digest: str) -> bool:
    """Whether a SHA-256, in hexadecimal, is that of a well-known word, as it is or as a gateway's key.

    >>> is_hash_of_well_known(hashlib.sha256(b"psk_changeme").hexdigest())
    True
    """
    words = (spelling for word in ("", "00000000", *WELL_KNOWN) for spelling in (word, word.upper(), word.capitalize()))
    return any(hashlib.sha256(text.encode()).hexdigest() == digest.lower() for word in words for text in (word, f"psk_{word}"))


def with_keys(settings: Settings, variables: Mapping[str, Variable], cwd: Path, problems: list[Problem]) -> Settings:
    """The settings with the upstreams' own keys; what is wrong with one is added to `problems`."""
    upstreams = {name: _with_key(name, upstream, variables, cwd, problems) for name, upstream in settings.upstreams.items()}
    return msgspec.structs.replace(settings, upstreams=upstreams)


def _with_key(name: str, upstream: Upstream, variables: Mapping[str, Variable], cwd: Path, problems: list[Problem]) -> Upstream:
    if not isinstance(upstream, KeyedUpstream):
        return upstream
    setting = "api_key_env" if upstream.api_key_env else "api_key_file"
    where = format_path(("upstreams", name, setting))
    try:
        if upstream.api_key_env:
            key = _of_variable(upstream.api_key_env, variables)
        elif upstream.api_key_file:
            key = _of_file(cwd / upstream.api_key_file)
        else:
            return upstream
    except _NoKey as reason:
        problems.append(Problem(where, str(reason)))
        return upstream
    problems += (Problem(where, message) for message in _faults(key, upstream.api_key_env or "the file"))
    return msgspec.structs.replace(upstream, api_key=Secret(key))


class _NoKey(Exception):
    """Why no key was found."""


def _of_variable(name: str, variables: Mapping[str, Variable]) -> str:
    if not VARIABLE_NAME.fullmatch(name):
        raise _NoKey("expected the name of an environment variable, in capitals, digits and _; the key itself does not belong into the settings")
    variable = variables.get(name)
    if variable is None:
        raise _NoKey(f"the variable {name} is not set")
    return variable.text


def _of_file(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            raise _NoKey("expected a regular file")
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise _NoKey("every user of this machine may read or write the file; run chmod o-rw on it")
        with file.open("rb") as stream:
            content = stream.read(MAX_KEY_CHARS + 3).decode()
    except UnicodeDecodeError:
        raise _NoKey("expected a file with one key, in ASCII") from None
    except (OSError, ValueError) as error:
        # the path stays unsaid: a key that was put in its place would be shown
        reason = error.strerror if isinstance(error, OSError) else "its name is none"
        raise _NoKey(f"expected a file that can be read, by its path from the working directory: {reason}") from None
    return content.removesuffix("\n").removesuffix("\r")


def _faults(key: str, source: str) -> Iterator[str]:
    if not key:
        yield f"{source} is empty; leave the setting out if the upstream needs no key"
    elif is_well_known(key):
        yield f"{source} holds a well-known word, not a key; leave the setting out if the upstream needs no key"
    elif not KEY.fullmatch(key) or len(key) > MAX_KEY_CHARS:
        yield f"{source} holds something that is no key: expected one line of at most {MAX_KEY_CHARS} visible ASCII characters"
    elif key.startswith(GATEWAY_TOKENS):
        yield f"{source} holds a gateway's token, which no upstream is ever sent; expected the upstream's own key"
    elif len(key) < MIN_KEY_CHARS:
        yield f"{source} holds a key of {len(key)} characters; expected at least {MIN_KEY_CHARS}"

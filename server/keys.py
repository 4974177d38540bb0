"""`penstock keys new NAME`: make a key of mode `keys`.

A key is `psk_` and 256 random bits, and is printed once. What is kept, in the settings, is its hash: the SHA-256 of the whole key. A fast hash is
right here, since nobody guesses 256 random bits; and since the door takes only keys of this shape, no short and no well-known word is one.
"""

import argparse
import hashlib
import re
import secrets
import sys

from pipeline.credential import GATEWAY_TOKENS
from server.exits import GOOD, WRONG_USE

PREFIX = "psk_"
SHAPE = re.compile(r"psk_[A-Za-z0-9_-]{43}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
"""A name stands in the log as one word."""

HASH = re.compile(r"sha256:[0-9a-f]{64}")

RANDOM_BYTES = 32


def new_key() -> str:
    """A fresh key.

    >>> SHAPE.fullmatch(new_key()) is not None
    True
    """
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def hash_of(key: str) -> str:
    """What the settings keep of a key.

    >>> hash_of("psk_")[:15]
    'sha256:e87af5f7'
    """
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's words."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    summary = "print a fresh key, once, and what the settings file keeps of it"
    new = actions.add_parser("new", help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False)
    new.add_argument("name", metavar="NAME", help="who holds the key; the access log shows it")


def run(arguments: argparse.Namespace) -> int:
    """Print the key and its table; the one action is `new`."""
    name: str = arguments.name
    if not NAME.fullmatch(name) or name.startswith(GATEWAY_TOKENS):
        print(
            "penstock: a key's name has 1 to 64 letters, digits and . _ @ + -, and begins with a letter or a digit, not with psk_ or cmp_",
            file=sys.stderr,
        )
        return WRONG_USE
    key = new_key()
    print(f'{key}\n\nThis is the key of {name}. It is shown this once. In penstock.toml, with mode = "keys" in [auth]:\n')
    print(f'[[auth.keys]]\nname = "{name}"\nhash = "{hash_of(key)}"')
    return GOOD

"""The rules of where keys go: which upstream gets whose key, at which addresses; `server.config_rules` lists them.

A key goes to the addresses that the settings name and nowhere else, and never unencrypted over a network. An address with a user and a password in it
is refused and not shown.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from pipeline.upstream.composer_write import FIXED_HEADERS as COMPOSERS_HEADERS
from pipeline.upstream.post_headers import FIXED_HEADERS as POST_HEADERS
from server.config_access import is_for_this_machine
from server.config_addresses import is_base_url, is_loopback, is_path, split_url
from server.problems import Problem, ValuePath, format_path, listed, shown
from server.settings import Settings
from server.upstream_settings import ApiServer, Composer, HttpUpstream, KeyedUpstream, Website

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

MASK = "***"
"""Stands where a credential was left out of what is printed."""

KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})
"""Those by which a server with a published API may want its key."""

CREDENTIAL_NAME = re.compile(r"auth|cookie|key|token|secret|session|checksum|credential|password|signature", re.IGNORECASE)
"""Names of headers, and of parameters of a URL, whose value is taken for a credential. One too many costs a reader nothing."""


def one_upstream_gets_the_callers_key(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A caller has one key, so it is the key of one upstream; at another one it would be told to a stranger."""
    names = [format_path(("upstreams", name)) for name, upstream in settings.upstreams.items() if upstream.takes_callers_key]
    if len(names) > 1:
        yield Problem(
            "upstreams",
            f"only one upstream can get the caller's own key, but {listed(names, 'and')} do; set api_key_env or api_key_file in the others",
        )


def a_key_has_one_source(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """`credential`, `api_key_env` and `api_key_file` exclude one another."""
    for name, upstream in settings.upstreams.items():
        if isinstance(upstream, KeyedUpstream):
            values = {"credential": upstream.credential_word, "api_key_env": upstream.api_key_env, "api_key_file": upstream.api_key_file}
            given = [key for key, value in values.items() if value]
            if len(given) > 1:
                yield Problem(format_path(("upstreams", name)), f"expected one of {listed(values)}, got {listed(given, 'and')}")


def a_key_is_sent_where_one_is_needed(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """An upstream that answers nobody without a key is sent one."""
    for name, upstream in settings.upstreams.items():
        if isinstance(upstream, KeyedUpstream) and upstream.needs_key and upstream.credential_word == "none" and not upstream.has_own_key:
            kind = upstream.__struct_config__.tag
            yield Problem(
                format_path(("upstreams", name, "credential")),
                f"kind {kind} answers nothing without a key; leave it out, and the caller's own is sent, or set api_key_env or api_key_file instead",
            )


def composer_key_is_one_persons(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A Cursor subscription is one person's: the operator's key, or session, serves the operator's own machine."""
    if is_for_this_machine(settings.server):
        return
    for name, upstream in settings.upstreams.items():
        if not isinstance(upstream, KeyedUpstream) or not upstream.is_one_persons:
            continue
        given: list[tuple[str, ...]] = [("headers", header) for header in credential_headers(upstream)]
        if upstream.has_own_key:
            given.insert(0, ("api_key_env" if upstream.api_key_env else "api_key_file",))
        for setting in given:
            message = "a Cursor key of the operator's is for this machine alone: a loopback address, and no other name in server.public_url and "
            message += "server.allowed_hosts. Leave it out, and every caller sends their own key"
            yield Problem(format_path(("upstreams", name, *setting)), message)


def credential_headers(upstream: KeyedUpstream) -> list[str]:
    """The names of the headers by which a website's operator sends a credential of their own, such as a cookie."""
    return [name for name in upstream.headers if CREDENTIAL_NAME.search(name)] if isinstance(upstream, Website) else []


def addresses_are_addresses(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """Every address is an http or https URL that paths can be appended to; the chat endpoint may be a path, and some addresses may have a query."""
    for address in _addresses(settings):
        text, path = address.text, format_path(address.path)
        if not text or (address.may_be_path and is_path(text)):
            continue
        parts = split_url(text)
        if is_base_url(text, with_query=address.may_have_query):
            if parts is not None and any(CREDENTIAL_NAME.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
                yield Problem(path, "expected a URL without a key in its query; a key is set with api_key_env or api_key_file")
        elif "@" in text and (parts is None or parts.username is not None):
            yield Problem(path, "expected a URL without user and password; a key is set with api_key_env or api_key_file")
        else:
            expected = "a path that begins with one /, or https://host" if address.may_be_path else "https://host or http://host"
            got = "" if {"@", "?"} & set(text) else f", got {shown(text)}"  # what stands there may be a key
            yield Problem(path, f"expected {expected}, with a port or a path if needed{got}")


def keys_travel_encrypted(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """Where a key is sent beyond this machine, it is sent over TLS."""
    for address in _addresses(settings):
        upstream = settings.upstreams[str(address.path[1])]
        parts = split_url(address.text) if is_base_url(address.text, with_query=address.may_have_query) else None
        if (
            (upstream.has_own_key or upstream.takes_callers_key or (isinstance(upstream, KeyedUpstream) and credential_headers(upstream)))
            and parts is not None
            and parts.scheme == "http"
            and not is_loopback(parts.hostname or "")
        ):
            got = shown(address.text.partition("?")[0])
            yield Problem(format_path(address.path), f"a key would be sent there, in clear over the network; expected https://, got {got}")


def headers_are_headers(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """What is sent as a header is one, and none that the request has by itself."""
    for upstream_name, upstream in settings.upstreams.items():
        if not isinstance(upstream, HttpUpstream):
            continue
        own = _headers_of(upstream)
        if isinstance(upstream, Composer) and upstream.client_version and not HEADER_VALUE.fullmatch(upstream.client_version):
            yield Problem(format_path(("upstreams", upstream_name, "client_version")), "expected visible ASCII text")
        seen: dict[str, str] = {}
        for name, value in upstream.headers.items():
            path = format_path(("upstreams", upstream_name, "headers", name))
            if not HEADER_NAME.fullmatch(name):
                yield Problem(path, "this is not the name of a header")
            elif name.lower() in own:
                yield Problem(path, "the request has this header by itself")
            elif seen.setdefault(name.lower(), name) != name:
                yield Problem(path, f"this is the same header as {seen[name.lower()]}")
            elif value == MASK:
                yield Problem(path, f"{MASK} stands for a value that penstock config show does not print; write the value")
            elif not HEADER_VALUE.fullmatch(value):
                yield Problem(path, "expected visible ASCII text on one line")


def _headers_of(upstream: HttpUpstream) -> frozenset[str]:
    """Those that a request to this kind has by itself, or that the credential makes."""
    if isinstance(upstream, Composer):
        return COMPOSERS_HEADERS | {"authorization"}
    # a website has no setting for the name of the header that brings a key
    return POST_HEADERS | ({"authorization"} if isinstance(upstream, Website) else KEY_HEADERS)


class _Address(NamedTuple):
    """One address: where it stands, its text, and whether it may be the path of a URL or have a query."""

    path: ValuePath
    text: str
    may_be_path: bool
    may_have_query: bool


def _addresses(settings: Settings) -> Iterator[_Address]:
    for name, upstream in settings.upstreams.items():
        if isinstance(upstream, KeyedUpstream):
            for key in ("base_url", "endpoint", "api_base", "url"):
                text: object = getattr(upstream, key, "")
                yield _Address(("upstreams", name, key), str(text), key == "endpoint", isinstance(upstream, ApiServer | Website))

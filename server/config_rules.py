"""What settings must keep to beyond the type of each value: things that depend on two values, on the file system, or on a grammar.

`RULES` is the list. Each rule names the top-level settings that it reads, so that it is left out when one of those could not be read, and yields a
problem for everything that breaks it. Rules look at the file system (TLS files) and never at the network.
"""

from collections.abc import Callable, Iterator, Set
from pathlib import Path

import msgspec

from server import config_access as access
from server import config_addresses as addresses
from server import config_bridge as bridge
from server import config_destinations as destinations
from server import config_routes as routes
from server.problems import Problem, ValuePath, format_path, format_value, shown
from server.settings import Settings


class Rule(msgspec.Struct, frozen=True):
    """One rule. `reads` are top-level keys; `broken(settings, cwd)` yields what breaks it, `cwd` being where relative paths start."""

    reads: frozenset[str]
    broken: Callable[[Settings, Path], Iterator[Problem]]


def broken_rules(settings: Settings, cwd: Path, unreadable: Set[str] = frozenset()) -> Iterator[Problem]:
    """Yield what is wrong with settings whose types are right; `unreadable` names the top-level keys that could not be read."""
    for rule in RULES:
        if not rule.reads & unreadable:
            yield from rule.broken(settings, cwd)


def host_is_a_host(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """`server.host` and each of `server.allowed_hosts` are addresses or names, without scheme and port."""
    given: dict[ValuePath, str] = {("server", "host"): settings.server.host}
    given |= {("server", "allowed_hosts", index): host for index, host in enumerate(settings.server.allowed_hosts)}
    for path, host in given.items():
        if not addresses.is_host(host):
            yield Problem(format_path(path), f"expected an IP address or a host name, without a port, got {shown(host)}")


def public_url_is_a_base(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """`server.public_url` is one that paths can be appended to."""
    url = settings.server.public_url
    if url and not addresses.is_base_url(url):
        got = "" if {"@", "?"} & set(url) else f", got {shown(url)}"  # a password or a key may stand there
        yield Problem("server.public_url", f"expected https://host or http://host, with a port or a path if needed{got}")


def tls_files_are_a_pair(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A certificate and its key come together, can be read, and belong to each other."""
    cert, key = settings.server.tls_cert, settings.server.tls_key
    if not cert and not key:
        return
    if not cert or not key:
        missing, given = ("server.tls_key", "server.tls_cert") if cert else ("server.tls_cert", "server.tls_key")
        yield Problem(missing, f"expected a PEM file, since {given} is set")
        return
    unreadable = [problem for where, name in (("server.tls_cert", cert), ("server.tls_key", key)) if (problem := _unreadable(where, cwd / name))]
    yield from unreadable
    if not unreadable:
        yield from _mismatch(cwd / cert, cwd / key)


def _unreadable(where: str, path: Path) -> Problem | None:
    try:
        path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return Problem(where, f"expected a PEM file that can be read, got {format_value(str(path))}: {reason}")
    return None


def _mismatch(cert: Path, key: Path) -> Iterator[Problem]:
    import ssl  # costs milliseconds that most commands need not pay

    try:
        # an empty answer to the passphrase question: without it an encrypted key would ask on the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        reason = ": the key is of another certificate" if error.reason == "KEY_VALUES_MISMATCH" else ""
        message = f"expected a certificate chain in {format_value(str(cert))} and its key, not encrypted, in {format_value(str(key))}, both PEM"
        yield Problem("server.tls_cert", f"{message}{reason}")


def memory_is_of_one_process(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """What one worker remembers another does not know, so that a conversation would find its reasoning now and then."""
    workers = settings.server.workers
    if settings.reasoning.memory == "on" and workers > 1:
        message = f'"on" remembers within one process, and with server.workers = {workers} a conversation\'s turns reach now one and now another; '
        yield Problem("reasoning.memory", f'{message}set server.workers = 1, or reasoning.memory = "off"')


def responses_are_of_one_process(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A response that one worker keeps another does not know, so that asking for it would find it now and then."""
    workers, store = settings.server.workers, settings.responses.store
    if store != "off" and workers > 1:
        message = f'"{store}" keeps responses within one process, and with server.workers = {workers} another one may be asked for them; '
        yield Problem("responses.store", f'{message}set responses.store = "off", or server.workers = 1')


RULES = (
    Rule(frozenset({"server"}), host_is_a_host),
    Rule(frozenset({"server"}), public_url_is_a_base),
    Rule(frozenset({"server"}), tls_files_are_a_pair),
    Rule(frozenset({"server", "reasoning"}), memory_is_of_one_process),
    Rule(frozenset({"server", "responses"}), responses_are_of_one_process),
    Rule(frozenset({"upstreams", "routes"}), routes.routes_lead_to_upstreams),
    Rule(frozenset({"routes"}), routes.targets_differ),
    Rule(frozenset({"routes"}), routes.routes_are_no_aliases),
    Rule(frozenset({"upstreams", "routes", "aliases"}), routes.aliases_lead_to_models),
    Rule(frozenset({"server", "auth", "upstreams"}), access.open_only_on_loopback),
    Rule(frozenset({"auth"}), access.keys_go_with_the_mode),
    Rule(frozenset({"auth"}), access.keys_can_be_told_apart),
    Rule(frozenset({"auth"}), access.hashes_are_of_made_keys),
    Rule(frozenset({"auth", "routes", "aliases", "upstreams"}), access.keys_name_served_models),
    Rule(frozenset({"server", "auth", "upstreams", "routes"}), access.forward_is_no_open_relay),
    Rule(frozenset({"auth", "upstreams", "routes"}), access.callers_keys_come_in),
    Rule(frozenset({"upstreams"}), destinations.one_upstream_gets_the_callers_key),
    Rule(frozenset({"upstreams"}), destinations.a_key_has_one_source),
    Rule(frozenset({"upstreams"}), destinations.a_key_is_sent_where_one_is_needed),
    Rule(frozenset({"server", "upstreams"}), destinations.composer_key_is_one_persons),
    Rule(frozenset({"upstreams"}), destinations.addresses_are_addresses),
    Rule(frozenset({"upstreams"}), destinations.keys_travel_encrypted),
    Rule(frozenset({"upstreams"}), destinations.headers_are_headers),
    Rule(frozenset({"upstreams"}), bridge.bridge_commands_can_be_run),
    Rule(frozenset({"upstreams"}), bridge.bridges_are_given_no_keys),
)

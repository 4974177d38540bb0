"""`penstock doctor`: look at everything that an answer depends on, and say for each what is well or how to mend it.

The checks go from the near to the far, and one that cannot hold because of an earlier one is skipped and says so: the settings; for each upstream its
host name and the connection with TLS, or the bridge's program and what it says of itself (`server.doctor_bridge`), the credential, a text round trip
and a tool round trip (`server.doctor_trips`); and the same round trips through the server, if it runs. Nothing is changed, no key is printed, and
what is sent is a few words. A bridge that was started for it is stopped again, also where a signal ends the command.
"""

import argparse
import os
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from enum import StrEnum
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import trio

from pipeline.errors import AuthenticationError
from server.config import Loaded, load_settings
from server.doctor_bridge import Bridge, bridge_trips, program_trip
from server.doctor_trips import ServerTrips, Trip, UpstreamTrips
from server.exits import FAULT, GOOD, STOPPED_BY, WRONG_USE
from server.problems import SettingsError
from server.resolver import lead
from server.settings import Settings
from server.signals import until_stopped
from server.upstream_settings import ApiServer, Captured, Composer, SdkBridge, Upstream, Website
from server.upstreams import open_upstreams

CONNECT_SECONDS = 5.0


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `subject` is `settings`, an upstream's name or `server`; `fix` says what to do about something wrong."""

    subject: str
    check: str
    state: State
    detail: str = ""
    fix: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file, as for serve")
    parser.add_argument("--key-env", metavar="NAME", help="variable that holds the key to ask with, where the caller's key is needed")
    parser.add_argument("--model", metavar="ID", help="model to ask an upstream for that serves any model")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """Check everything; the exit status is 1 when something is wrong, and that of shells behind a stop signal."""
    key = os.environ.get(arguments.key_env) if arguments.key_env else None
    if arguments.key_env and not key:
        print(f"penstock: the variable {arguments.key_env} of --key-env is not set", file=sys.stderr)
        return WRONG_USE
    findings: list[Finding] = []

    async def examine() -> None:
        async for finding in report(arguments.config, key, arguments.model):
            findings.append(finding)
            if not arguments.json:
                print(line(finding, colour=sys.stdout.isatty()), flush=True)

    stopped_by = trio.run(until_stopped, examine)
    if stopped_by is not None:
        print(f"penstock: stopped by {stopped_by.name}", file=sys.stderr)
        return STOPPED_BY + stopped_by
    wrong, skipped = (sum(finding.state is state for finding in findings) for state in (State.WRONG, State.SKIPPED))
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode({"findings": findings, "wrong": wrong, "skipped": skipped})).decode())
    else:
        print(summary(wrong, skipped))
    return FAULT if wrong else GOOD


def summary(wrong: int, skipped: int) -> str:
    """The last line for people; what was not looked at is not called well.

    >>> summary(0, 0), summary(1, 2)
    ('everything is well', '1 thing needs mending; 2 checks were skipped')
    """
    result = f"{wrong} {'thing needs' if wrong == 1 else 'things need'} mending" if wrong else "nothing is wrong" if skipped else "everything is well"
    return f"{result}; {skipped} {'check was' if skipped == 1 else 'checks were'} skipped" if skipped else result


def line(finding: Finding, *, colour: bool) -> str:
    """A finding for people."""
    mark, code = {State.OK: ("ok     ", 32), State.WRONG: ("WRONG  ", 31), State.SKIPPED: ("skipped", 33)}[finding.state]
    shown = f"\x1b[{code}m{mark}\x1b[0m" if colour else mark
    text = f"{shown}  {finding.subject}: {finding.check}{' – ' + finding.detail if finding.detail else ''}"
    return f"{text}\n         → {finding.fix}" if finding.fix else text


async def report(config: Path | None, key: str | None, model: str | None) -> AsyncGenerator[Finding, None]:
    """All findings in order."""
    try:
        loaded = load_settings(overrides={}, config=config, environ=os.environ, cwd=Path.cwd())
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("settings", "can be read", State.WRONG, str(problem), "correct the key; `penstock config check` shows all of them")
        return
    yield _settings(loaded)
    settings = loaded.settings
    if model and lead(settings, model) is None:
        yield Finding("settings", f"a route serves {model}", State.WRONG, "", "give --model an id that clients can ask for, or add a route for it")
    for name, table in settings.upstreams.items():
        for finding in await _upstream(settings, name, table, key, model):
            yield finding
    for finding in await _server(settings, key, model):
        yield finding


def _settings(loaded: Loaded) -> Finding:
    return Finding(
        "settings", "can be read", State.OK, f"{loaded.file if loaded.file is not None else 'no settings file'}, mode {loaded.settings.auth.mode}"
    )


async def _upstream(settings: Settings, name: str, table: Upstream, key: str | None, model: str | None) -> list[Finding]:
    findings: list[Finding] = []
    missing = list(_missing(name, table))
    findings += missing
    reachable = True
    if isinstance(table, SdkBridge):
        findings.append(_trip(name, program_trip(name, table)))
        reachable = findings[-1].state is State.OK
    for url in dict.fromkeys(_urls(table)):
        for finding in await _reach(name, url):
            findings.append(finding)
            reachable = reachable and finding.state is State.OK
    credential = _credential(name, table, key)
    findings.append(credential)
    has_key = credential.state is State.OK
    is_bridge = isinstance(table, SdkBridge)
    if missing or not reachable or not (has_key or is_bridge):
        return [*findings, _without_trips(name, "the key" if reachable and not missing else "what is wrong above")]
    # alone, since a bridge starts when it is opened
    async with open_upstreams(msgspec.structs.replace(settings, upstreams={name: table})) as upstreams:
        if is_bridge:
            bridge = upstreams[name]
            assert isinstance(bridge, Bridge)
            async with aclosing(bridge_trips(bridge, key, has_key=has_key)) as looks:
                findings += [_trip(name, look) async for look in looks]
            if not has_key or findings[-1].state is not State.OK:
                return [*findings, _without_trips(name, "what is wrong above" if has_key else "the key")]
        trips = UpstreamTrips(settings, name, upstreams[name], key, model)
        return findings + [_trip(name, trip) for trip in await trips.make()]


def _without_trips(name: str, reason: str) -> Finding:
    return Finding(name, "text and tool round trip", State.SKIPPED, f"they need {reason}")


async def _server(settings: Settings, key: str | None, model: str | None) -> list[Finding]:
    host, port = settings.server.host, settings.server.port
    scheme = "https" if settings.server.tls_cert else "http"
    url = f"{scheme}://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    try:
        with trio.fail_after(CONNECT_SECONDS):
            await (await trio.open_tcp_stream(urlsplit(url).hostname or host, port)).aclose()
    except (OSError, trio.TooSlowError):
        return [Finding("server", "is running", State.SKIPPED, f"nothing listens on {url}; start it with `penstock serve` and run doctor again")]
    if settings.auth.mode != "open" and key is None:
        return [Finding("server", "text and tool round trip", State.SKIPPED, f"mode {settings.auth.mode} needs a key: give it with --key-env")]
    return [_trip("server", trip) for trip in await ServerTrips(settings, url, key, model).make()]


VARIABLES = {"base_url": "CURSOR_BACKEND_BASE_URL", "endpoint": "CURSOR_CHAT_ENDPOINT"}
"""What is set by a variable too, of what may be missing."""


def _missing(name: str, table: Upstream) -> Iterator[Finding]:
    for setting in table.missing:
        fix = f"set upstreams.{name}.{setting}" + (f" or {VARIABLES[setting]}" if setting in VARIABLES else "")
        yield Finding(name, f"{setting} is set", State.WRONG, "", fix)


def _urls(table: Upstream) -> Iterable[str]:
    if isinstance(table, Composer):
        return [url for url in (table.base_url, table.endpoint, table.api_base) if url.startswith(("http://", "https://"))]
    if isinstance(table, Website):
        return [table.url] if table.url else []
    return [table.base_url] if isinstance(table, ApiServer) else []


def _credential(name: str, table: Upstream, key: str | None) -> Finding:
    if isinstance(table, Captured):
        return Finding(name, "credential", State.OK, "the embedded demo needs none")
    credential = table.credential()
    try:
        found = credential.key(key)
    except AuthenticationError:
        return Finding(name, "credential", State.SKIPPED, "the caller's key is sent; give one with --key-env NAME to try it")
    return Finding(name, "credential", State.OK, "no key is sent" if found is None else f"the {credential.kind} key is sent")


async def _reach(name: str, url: str) -> list[Finding]:
    """The host name, and the connection with TLS where the URL wants it."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if any(os.environ.get(variable) for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return [Finding(name, f"{host} can be reached", State.OK, "left to the proxy of the environment")]
    try:
        with trio.fail_after(CONNECT_SECONDS):
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError, trio.TooSlowError):
        return [Finding(name, f"{host} has an address", State.WRONG, "", "check the host name and this machine's DNS")]
    findings = [Finding(name, f"{host} has an address", State.OK, str(found[0][4][0]))]
    opening = partial(trio.open_ssl_over_tcp_stream, ssl_context=ssl.create_default_context()) if parts.scheme == "https" else trio.open_tcp_stream
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream = await opening(host, port)
            if isinstance(stream, trio.SSLStream):
                await stream.do_handshake()
            await trio.aclose_forcefully(stream)
    except (trio.BrokenResourceError, ssl.SSLError) as error:
        cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
        why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "the TLS handshake failed"
        return [*findings, Finding(name, f"{host}:{port} speaks TLS", State.WRONG, why, "check the certificate, or set SSL_CERT_FILE to its CA")]
    except (OSError, trio.TooSlowError):
        return [*findings, Finding(name, f"{host}:{port} accepts connections", State.WRONG, "", "check the port, the firewall, and that it runs")]
    return [*findings, Finding(name, f"{host}:{port} accepts connections", State.OK, "with TLS" if parts.scheme == "https" else "without TLS")]


def _trip(subject: str, trip: Trip) -> Finding:
    state = State.SKIPPED if trip.good is None else State.OK if trip.good else State.WRONG
    return Finding(subject, trip.what, state, trip.detail, trip.fix)

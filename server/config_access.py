"""The rules of who may come in, and of what a caller's key opens; `server.config_rules` lists them.

Mode `open` asks nobody, mode `forward` takes any text as a key and leaves it to the upstream to refuse it, mode `keys` knows its callers. So `open`
is for this machine alone; in mode `forward` every upstream that others can reach has to check the caller's own key; and in modes `open` and `keys`
there is no caller's key that an upstream could get.
"""

from collections.abc import Iterator
from pathlib import Path

from pipeline.credential import GATEWAY_TOKENS
from server.config_addresses import is_base_url, is_host, is_loopback, split_url
from server.config_secrets import is_hash_of_well_known
from server.keys import HASH, NAME
from server.problems import Problem, format_path, nearest, shown
from server.resolver import resolve
from server.settings import Server, Settings
from server.upstream_settings import Captured


def is_for_this_machine(server: Server) -> bool:
    """Whether nobody else is served: neither by the address nor, through a proxy or a tunnel, by a name that clients are said to use.

    >>> [is_for_this_machine(server) for server in (Server(), Server(host="0.0.0.0"), Server(public_url="https://gateway.example"))]
    [True, False, False]
    """
    parts = split_url(server.public_url)
    public = [] if not server.public_url else [(parts.hostname if parts is not None else None) or ""]
    return all(is_loopback(host) for host in (server.host, *server.allowed_hosts, *public))


def open_only_on_loopback(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """Without keys the gateway is for this machine alone, and answers under no other name."""
    if settings.auth.mode != "open" or is_for_this_machine(settings.server):
        return
    server = settings.server
    if not is_loopback(server.host):
        what = f"server.host must be a loopback address (such as 127.0.0.1), got {shown(server.host)}; listen on a loopback address"
    elif (server.public_url and not is_base_url(server.public_url)) or not all(map(is_host, server.allowed_hosts)):
        return  # what is no name at all has a rule of its own
    else:
        what = "it answers under loopback names alone, and server.public_url and server.allowed_hosts must have no other; leave that name out"
    yield Problem("auth.mode", f'"open" asks nobody for a key, so {what}, or set auth.mode = "forward" or "keys"')


def keys_go_with_the_mode(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """Mode `keys` has keys, and no other mode has."""
    auth = settings.auth
    if auth.mode == "keys" and not auth.keys:
        yield Problem("auth.keys", 'expected at least one key in mode "keys"; run penstock keys new NAME')
    if auth.mode != "keys" and auth.keys:
        yield Problem("auth.mode", f'"{auth.mode}" asks nobody for the keys in auth.keys; set it to "keys", or leave the keys out')


def keys_can_be_told_apart(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """No two keys have one name or one hash, and a name is one word in the log."""
    names: dict[str, int] = {}
    hashes: dict[str, int] = {}
    for index, key in enumerate(settings.auth.keys):
        if not NAME.fullmatch(key.name):
            yield Problem(
                format_path(("auth", "keys", index, "name")), "expected 1 to 64 letters, digits and . _ @ + -, beginning with a letter or a digit"
            )
        elif key.name.startswith(GATEWAY_TOKENS):
            yield Problem(format_path(("auth", "keys", index, "name")), "this looks like the key itself, and the log would show it; expected a name")
        if names.setdefault(key.name, index) != index:
            yield Problem(format_path(("auth", "keys", index, "name")), f"auth.keys[{names[key.name]}] has this name already")
        if hashes.setdefault(key.hash, index) != index:
            yield Problem(format_path(("auth", "keys", index, "hash")), f"auth.keys[{hashes[key.hash]}] has this hash already")


def hashes_are_of_made_keys(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A hash has its form, and is not that of a word that everybody knows."""
    for index, key in enumerate(settings.auth.keys):
        path = format_path(("auth", "keys", index, "hash"))
        if not HASH.fullmatch(key.hash):
            yield Problem(path, 'expected "sha256:" and 64 digits from 0 to f, as penstock keys new NAME prints it')
        elif is_hash_of_well_known(key.hash.removeprefix("sha256:")):
            yield Problem(path, "this is the hash of a well-known word; make a key with penstock keys new NAME")


def keys_name_served_models(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """A model that a key may use is one that is served."""
    for index, key in enumerate(settings.auth.keys):
        for number, model in enumerate(key.models or ()):
            if model == "*":
                yield Problem(format_path(("auth", "keys", index, "models", number)), "expected a model id; leave models out to allow every model")
            elif resolve(settings, model) is None:
                hint = nearest(model, (*settings.routes, *settings.aliases))
                yield Problem(format_path(("auth", "keys", index, "models", number)), f"no route serves {shown(model)}.{hint}")


def forward_is_no_open_relay(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """In mode `forward` nothing here checks a key, so beyond this machine every upstream that a target names has to check the caller's."""
    if settings.auth.mode != "forward" or is_for_this_machine(settings.server):
        return
    for name in _routed(settings):
        upstream = settings.upstreams[name]
        if not upstream.takes_callers_key and not isinstance(upstream, Captured):
            path = format_path(("upstreams", name))
            what = "uses a key of its own" if upstream.has_own_key else "needs no key"
            yield Problem(
                "auth.mode",
                f'"forward" takes any text as a key, and {path} {what}: everybody who reaches this server could use it; set auth.mode '
                'to "keys", or serve this machine alone: a loopback address, and no other name in server.public_url or server.allowed_hosts',
            )


def callers_keys_come_in(settings: Settings, cwd: Path) -> Iterator[Problem]:
    """An upstream that gets the caller's own key can only be reached in mode `forward`, in which callers send it."""
    mode = settings.auth.mode
    if mode == "forward":
        return
    for name in _routed(settings):
        if settings.upstreams[name].takes_callers_key:
            what = "a caller's key is this gateway's own, and no upstream gets it" if mode == "keys" else "callers have no key"
            yield Problem(
                format_path(("upstreams", name)), f'it gets the caller\'s own key, but in auth.mode "{mode}" {what}; set auth.mode = "forward"'
            )


def _routed(settings: Settings) -> list[str]:
    """The upstreams that a route leads to, each once."""
    targets = (target.upstream for route in settings.routes.values() for target in route.targets)
    return [name for name in dict.fromkeys(targets) if name in settings.upstreams]

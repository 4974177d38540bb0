"""Which proxy a request goes through, and what that proxy is told.

Theory of operation: `proxies_from_environment` reads HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY once, in either case, as
`urllib.request.getproxies` does (on macOS that includes the system's own settings). `Proxies.find` then answers for each origin. A proxy for https is
a tunnel made by CONNECT, and one for http is given the whole URL; its credentials come from the userinfo of its address and go to the proxy alone.

NO_PROXY is a list with commas: `*`, a host name with all names below it (a leading dot makes no difference), an address, a network as `10.0.0.0/8`;
names may have a port. What listens on this machine is never asked through a proxy, whatever the list says: a proxy would reach another machine, and
with a key that is for this one. Only http and https proxies are spoken to; another scheme is refused when a request would need it, and never
bypassed.
"""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import msgspec

DEFAULT_PORTS = {"http": 80, "https": 443}


class ProxyFault(Exception):
    """The proxy did not let us through. The text is ours."""


class ProxyRefusal(ProxyFault):
    """The proxy will not let us through: no retry mends that."""


class ProxySettingFault(ProxyFault):
    """The proxy's address in the settings cannot be used."""


class Proxy(msgspec.Struct, frozen=True):
    """One proxy. `authorization` is the value of Proxy-Authorization, b"" for none; it is kept out of repr."""

    scheme: str
    host: str
    port: int
    authorization: bytes = b""

    def __repr__(self) -> str:
        return f"Proxy({self.scheme}://{self.host}:{self.port})"

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields that this proxy wants."""
        return [(b"Proxy-Authorization", self.authorization)] if self.authorization else []


def parse_proxy(address: str) -> Proxy:
    """Read a proxy's address; without a scheme it is http.

    Raises:
        ProxySettingFault: for what is not an address of an http or https proxy.

    >>> parse_proxy("http://me:secret@proxy.example:3128")
    Proxy(http://proxy.example:3128)
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        raise ProxySettingFault("The address of the proxy cannot be read.") from None
    if scheme not in DEFAULT_PORTS:
        raise ProxySettingFault("The proxy is neither an http nor an https proxy.")
    if not host:
        raise ProxySettingFault("The address of the proxy has no host.")
    authorization = b""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + b64encode(credentials.encode())
    return Proxy(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, authorization)


class Proxies(msgspec.Struct, frozen=True):
    """The proxies for http and https, as addresses, and the hosts that need none."""

    http: str | None = None
    https: str | None = None
    bypass: tuple[str, ...] = ()

    def find(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy to an origin, None for the direct way.

        Raises:
            ProxySettingFault: there should be one and its address cannot be used.

        >>> proxies = Proxies(https="proxy.example:3128", bypass=("example.org", "10.0.0.0/8"))
        >>> [proxies.find("https", host, 443) for host in ("api.example.org", "127.0.0.1", "a.example")]
        [None, None, Proxy(http://proxy.example:3128)]
        """
        address = self.https if scheme == "https" else self.http
        if not address or _is_this_machine(host) or any(_matches(rule, host, port) for rule in self.bypass):
            return None
        return parse_proxy(address)

    def __repr__(self) -> str:
        return f"Proxies(http={'set' if self.http else None}, https={'set' if self.https else None}, bypass={self.bypass})"


def proxies_from_environment(found: Mapping[str, str] | None = None) -> Proxies:
    """The proxies that the environment names; `found` stands in for `urllib.request.getproxies()`."""
    found = getproxies() if found is None else found
    everything = found.get("all")
    rules = tuple(rule for rule in (rule.strip().lower() for rule in found.get("no", "").split(",")) if rule)
    return Proxies(found.get("http") or everything, found.get("https") or everything, rules)


def _is_this_machine(host: str) -> bool:
    """Whether a host is a loopback address or `localhost`, which is one by definition (RFC 6761); no other name is resolved."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _matches(rule: str, host: str, port: int) -> bool:
    if rule == "*":
        return True
    try:
        network = ipaddress.ip_network(rule.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        try:
            return ipaddress.ip_address(host) in network
        except ValueError:
            return False
    name, colon, rule_port = rule.rpartition(":")
    if colon and rule_port.isdigit():
        return port == int(rule_port) and _matches(name, host, port)
    name = rule.lstrip(".")
    return host == name or host.endswith(f".{name}")

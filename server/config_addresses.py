"""What counts as a host, as a loopback address and as a base URL in the settings. Text comes in; nothing is resolved and nothing is connected to."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

HOST_NAME = re.compile(
    r"(?=.{1,253}$)(?!(.*\.)?[0-9]+$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_VISIBLE = re.compile(r"[\x21-\x7e]+")


def is_host(text: str) -> bool:
    """Whether the text is an IP address or a host name, without a port.

    >>> [is_host(text) for text in ("::1", "a.example", "a.example:80", "[::1]", "127.0.0.256", "")]
    [True, True, False, False, False, False]
    """
    return address(text) is not None or HOST_NAME.fullmatch(text) is not None


def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that the text writes, or None."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. Names are not resolved: `localhost` is the one name that counts.

    >>> [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "LOCALHOST", "0.0.0.0", "::", "gateway.example")]
    [True, True, True, True, True, False, False, False]
    """
    found = address(host)
    if found is None:
        return host.lower() == "localhost"
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def is_base_url(url: str, *, with_query: bool = False) -> bool:
    """Whether the text is an http or https URL that paths can be appended to: no query if none may be there, no fragment, no user and password.

    >>> [is_base_url(url) for url in ("https://a.example/v1", "http://[::1]:80", "https://u:p@a.example", "https://a?x", "a.example", "http://a b")]
    [True, True, False, False, False, False]
    """
    parts = split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    return is_host(parts.hostname) and (with_query or not parts.query) and not parts.fragment and parts.username is None


def is_path(text: str) -> bool:
    r"""Whether the text is the path of a URL; `//host` and a backslash would be read as another host.

    >>> [is_path(text) for text in ("/a/B.v1?x=1", "a", "//a.example/b", "/a b", "/..\\a", "/a#b")]
    [True, False, False, False, False, False]
    """
    return _VISIBLE.fullmatch(text) is not None and text.startswith("/") and not text.startswith("//") and not {"\\", "#"} & set(text)


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL, or None where its text or its port is not one."""
    if not _VISIBLE.fullmatch(url):  # urlsplit drops line ends and tabs without a word
        return None
    try:
        parts = urlsplit(url)
        # the property raises where the port is not one
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None

"""Which addresses are the public internet's, so that a stranger's URL may lead there.

Theory of operation: an address goes in, yes or no comes out. IPv4 is public unless it stands in a table of what is not. IPv6 is the other way round:
only what has been given out as global unicast (2000::/3) is public, again without a table of exceptions. So loopback, link-local, unique local, site
local, multicast and whatever is invented later are not. Two forms hold an IPv4 address which is judged in their place: the mapped one, and that of
the well-known NAT64 prefix, through which a host without IPv4 reaches the IPv4 internet. 6to4, Teredo and the local NAT64 prefix are refused whatever
they hold: no image is served there, and what the network makes of them cannot be known.

The tables are the IANA special-purpose registries, and stand here because `ipaddress` judges differently from one version of Python to the next, and
calls some forms of loopback global. Left alone: hosts of the operator's own that have public addresses; those are for a firewall.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

# network -> what it is for
NOT_PUBLIC_V4 = {
    "0.0.0.0/8": "this host and this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared behind a carrier's NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "the services that a cloud offers to its own machines, at an address that looks public",
    "169.254.0.0/16": "link-local, and a cloud's metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relays",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarks",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved, and broadcast",
}
GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = {
    "2001::/23": "protocol assignments, Teredo among them",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
}
HOLDS_V4 = {
    "::ffff:0:0/96": "mapped",
    "64:ff9b::/96": "NAT64, the well-known prefix",
}

_NOT_PUBLIC_V4 = tuple(map(IPv4Network, NOT_PUBLIC_V4))
_NOT_PUBLIC_V6 = tuple(map(IPv6Network, NOT_PUBLIC_V6))
_HOLDS_V4 = tuple(map(IPv6Network, HOLDS_V4))


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet.

    >>> [is_public(address) for address in (IPv4Address("8.8.8.8"), IPv4Address("10.0.0.1"), IPv6Address("::ffff:127.0.0.1"))]
    [True, False, False]
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.scope_id is not None:
        return False  # it names one of this host's own interfaces
    if any(address in network for network in _HOLDS_V4):
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in GLOBAL_UNICAST_V6 and not any(address in network for network in _NOT_PUBLIC_V6)

"""How often an address may guess: keys that were refused are counted, and beyond a number the address has to wait.

A gateway whose paths Cursor's backend must reach is open to the internet. Its keys cannot be guessed, but a guesser costs time. So an address whose
keys were refused `MOST` times within `SECONDS` gets 429 for further ones instead of 401. A good key is taken from every address at all times: behind
a tunnel or a proxy all callers share one, and a stranger must not be able to lock them out.

Invariants: bounded memory; of IPv6 the network counts, since a host has a whole one.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from pipeline.errors import AuthenticationError, PenstockError, RateLimited

MOST = 20
SECONDS = 60.0
MAX_ADDRESSES = 10_000
IPV6_NETWORK_BITS = 64


class FailedKeys:
    """The refused keys of one worker, by address.

    >>> failed = FailedKeys(clock=lambda: 0.0)
    >>> codes = [failed.refused("192.0.2.1", AuthenticationError("no")).code for _ in range(MOST + 1)]
    >>> codes[0], codes[-2], codes[-1]
    ('invalid_api_key', 'invalid_api_key', 'too_many_failed_keys')
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # address -> when its count began, and the count

    def refused(self, address: str | None, error: AuthenticationError) -> PenstockError:
        """Count a key that was refused; what its sender is told."""
        now, network = self._clock(), _network(address)
        began, count = self._counts.pop(network, (now, 0))
        if now - began >= SECONDS:
            began, count = now, 0
        self._counts[network] = (began, count + 1)
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        if count < MOST:
            return error
        left = began + SECONDS - now
        message = f"Too many keys from this address were refused; try again in {math.ceil(left)} seconds."
        return RateLimited(message, code="too_many_failed_keys", retry_after_seconds=left)


def _network(address: str | None) -> str:
    """What of an address counts.

    >>> _network("192.0.2.1"), _network("2001:db8:1:2:3::4"), _network("::ffff:192.0.2.1"), _network(None)
    ('192.0.2.1', '2001:db8:1:2::/64', '192.0.2.1', '')
    """
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_NETWORK_BITS), strict=False))

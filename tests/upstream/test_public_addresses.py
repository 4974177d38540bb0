"""Which addresses a stranger's URL may lead to."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.upstream.public_addresses import HOLDS_V4, NOT_PUBLIC_V4, NOT_PUBLIC_V6, is_public

INSIDE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.254"),
    *("168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::127.0.0.1", "::8.8.8.8", "fe80::1", "fe80::1%lo", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("100::1", "2001:db8::1", "3fff::1", "5f00::1", "2001::1", "2001:10::1", "2001:20::1", "4000::1", "2606:4700::1111%eth0"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:8.8.8.8"),
    *("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::127.0.0.1", "64:ff9b:1::8.8.8.8", "64:ff9b:1:7f00:0:100::"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:808:808::1"),
    *("2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe"),
]
OUTSIDE = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.17"),
    *(
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
    ),
    *("223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888", "2001:200::1", "2003::1", "3ffe::1"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_the_public_internet(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is(address):
    assert is_public(ip_address(address))


V4 = st.integers(0, 2**32 - 1).map(IPv4Address)


@given(V4)
def test_an_ipv4_address_that_is_public_here_is_global_to_the_library(address):
    assert not is_public(address) or (address.is_global and not address.is_multicast and not address.is_reserved)


@given(V4)
def test_an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself(address):
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(IPv6Address(int(IPv6Address(prefix)) | int(address))) == is_public(address)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_an_ipv6_address_that_is_public_here_is_global_to_the_library(address):
    assert not is_public(address) or (address.is_global and not address.is_multicast)


def test_every_network_says_what_it_is_for():
    assert all({**NOT_PUBLIC_V4, **NOT_PUBLIC_V6, **HOLDS_V4}.values())

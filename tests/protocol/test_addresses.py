from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import addresses_in, is_host, refused_kind

ALWAYS = [
    ("169.254.169.254", "link-local"),
    ("169.254.0.0", "link-local"),
    ("169.254.255.255", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%2", "link-local"),
    ("febf::1", "link-local"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fd00:ec2::23", "cloud metadata"),
    ("fd20:ce::254", "cloud metadata"),
    ("100.100.100.200", "cloud metadata"),
    ("168.63.129.16", "cloud metadata"),
    ("192.0.0.192", "cloud metadata"),
    # The same in the clothes of IPv6.
    ("::ffff:169.254.169.254", "link-local"),
    ("::169.254.169.254", "link-local"),
    ("64:ff9b::169.254.169.254", "link-local"),
    ("64:ff9b:1::169.254.169.254", "link-local"),
    ("2002:a9fe:a9fe::1", "link-local"),
    ("2001:0:a9fe:a9fe::", "link-local"),
    ("2001:0:808:808::5601:5601", "link-local"),
    ("::ffff:100.100.100.200", "cloud metadata"),
]

PRIVATE = [
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("::1", "loopback"),
    ("::ffff:127.0.0.1", "loopback"),
    ("0.0.0.0", "unspecified"),
    ("::", "unspecified"),
    ("10.0.0.1", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("::ffff:10.1.2.3", "private"),
    ("64:ff9b::10.1.2.3", "private"),
    ("2002:0a01:0203::1", "private"),
    ("fc00::1", "private"),
    ("fd12:3456:789a::1", "private"),
    ("fec0::1", "private"),
    ("100.64.0.1", "shared"),
    ("100.127.255.255", "shared"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("0.1.2.3", "private"),
    ("192.0.2.1", "private"),
    ("198.18.0.1", "private"),
    ("2001:db8::1", "private"),
    ("::8.8.8.8", "reserved"),
]

PUBLIC = [
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize(("address", "kind"), ALWAYS)
@pytest.mark.parametrize("deny_private", [False, True])
def test_some_are_always_refused(address: str, kind: str, deny_private: bool) -> None:
    assert refused_kind(address, deny_private=deny_private) == kind


@pytest.mark.parametrize(("address", "kind"), PRIVATE)
def test_the_operator_decides_on_private_ones(address: str, kind: str) -> None:
    assert refused_kind(address, deny_private=True) == kind
    assert refused_kind(address, deny_private=False) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_ones_are_free(address: str) -> None:
    assert refused_kind(address, deny_private=True) is None


@given(st.ip_addresses(v=4), st.booleans())
def test_a_mapped_address_is_what_it_stands_for(address: object, deny_private: bool) -> None:
    plain = refused_kind(str(address), deny_private=deny_private)
    assert refused_kind(f"::ffff:{address}", deny_private=deny_private) == plain
    assert refused_kind(f"64:ff9b::{address}", deny_private=deny_private) == plain


@given(st.ip_addresses().map(str))
def test_what_is_always_refused_is_refused_with_private_ones_too(address: str) -> None:
    kind = refused_kind(address, deny_private=False)
    assert kind is None or refused_kind(address, deny_private=True) == kind


@pytest.mark.parametrize("text", ["", "localhost", "0x7f000001", "127.1", "2130706433", "1.2.3.4."])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        refused_kind(text, deny_private=False)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("127.1", ["127.0.0.1"]),
        ("0x7f000001", ["127.0.0.1"]),
        ("2130706433", ["127.0.0.1"]),
        ("1.2.3.4.", ["1.2.3.4"]),
        ("::1", ["::1"]),
        ("::ffff:127.0.0.1", ["::ffff:127.0.0.1"]),
        ("localhost", []),
        ("a" * 64 + ".example", []),
    ],
)
def test_addresses_in_every_spelling(host: str, addresses: list[str]) -> None:
    assert is_host(host)
    assert set(addresses_in(host)) == set(addresses)


@pytest.mark.parametrize(
    "host", ["", "a%2eb", "EXAMPLE.org", "a/b", "a b", "bücher.example", "[::1]"]
)
def test_what_is_no_host(host: str) -> None:
    assert not is_host(host)

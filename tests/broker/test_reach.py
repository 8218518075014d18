"""Which addresses may be called: the public ones, and the operator's exceptions."""

from __future__ import annotations

import pytest

from broker.reach import Allowed, is_public, may_be_plain, reachable, read_allowed
from lintas.webhooks import Address, read_url

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
NOT_PUBLIC = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::ffff:0:93.184.216.34"),
    *("64:ff9b::7f00:1", "64:ff9b::5db8:d822", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:7f00:1::1"),
    *("2002:5db8:d822::1", "fc00::1", "fd00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "100::1"),
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """An address of the public Internet may be called."""
    assert is_public(text)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    """Loopback, link-local, private, shared, multicast, reserved and IPv4-carrying addresses are not public."""
    assert not is_public(text)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_one_bad_address_among_good(text: str) -> None:
    """A name is not called when one of its addresses is out of bounds."""
    assert () == reachable(read_url("https://receiver.example/"), [PUBLIC[0], text], ())


def test_all_good() -> None:
    """A name whose addresses are all public is called at them, in the order given."""
    assert tuple(PUBLIC) == reachable(read_url("https://receiver.example/"), PUBLIC, ())


def test_nothing_resolved() -> None:
    """A name without addresses is not called."""
    assert () == reachable(read_url("https://receiver.example/"), [], ())


@pytest.mark.parametrize(
    ("allow", "url", "resolved", "is_called"),
    [
        ("inner.example:8443", "https://inner.example:8443/", "10.0.0.1", True),
        ("inner.example:8443", "https://inner.example/", "10.0.0.1", False),
        ("inner.example:8443", "https://other.example:8443/", "10.0.0.1", False),
        ("inner.example:80", "http://inner.example/", "10.0.0.1", True),
        ("10.0.0.0/24:443", "https://inner.example/", "10.0.0.1", True),
        ("10.0.0.0/24:443", "https://inner.example/", "10.0.1.1", False),
        ("10.0.0.0/24:443", "https://inner.example:8443/", "10.0.0.1", False),
        ("10.0.0.0/24:80", "http://inner.example/", "10.0.0.1", True),
        ("10.0.0.0/24:80", "http://inner.example/", "93.184.216.34", False),
        ("[fd00::/8]:443", "https://inner.example/", "fd00::1", True),
        ("[fd00::/8]:443", "https://inner.example/", "fe80::1", False),
        ("", "http://receiver.example/", "93.184.216.34", False),
    ],
)
def test_exceptions(allow: str, url: str, resolved: str, *, is_called: bool) -> None:
    """An exception opens exactly its host or network at its port, and there calls without TLS too."""
    expected = (resolved,) if is_called else ()

    assert expected == reachable(read_url(url), [resolved], read_allowed(allow))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://inner.example:8080/", True),
        ("http://10.0.0.7:80/", True),
        ("http://10.0.1.7:80/", False),
        ("http://other.example:8080/", False),
    ],
)
def test_plain_when_ordered(url: str, *, expected: bool) -> None:
    """An address without TLS can be ordered when its host is an exception by name, or lies in one's network."""
    allow = read_allowed("inner.example:8080, 10.0.0.0/24:80")

    assert expected == may_be_plain(read_url(url), allow)


def test_allowed_host() -> None:
    """A host is read in lower case; empty parts are skipped."""
    assert (Allowed("inner.example", None, 8443),) == read_allowed("Inner.example:8443, ")


@pytest.mark.parametrize("text", ["inner.example", "inner.example:0", "a:65536", ":443", "10.0.0.0/33:443", "a:٣"])
def test_unreadable_exception(text: str) -> None:
    """What is not host or network with a port is refused, not skipped."""
    with pytest.raises(ValueError, match=r"not a host|does not appear|[Nn]etmask"):
        read_allowed(text)


def test_authority() -> None:
    """The Host header has the port unless it is the scheme's own, and brackets around IPv6."""
    texts = ["https://a.example/", "https://a.example:8443/", "http://a.example/", "https://[2606:2800::1]:444/x"]

    assert ["a.example", "a.example:8443", "a.example", "[2606:2800::1]:444"] == [
        read_url(text).authority for text in texts
    ]


def test_address() -> None:
    """An address is read into the parts that a call needs."""
    assert Address("https", "a.example", 443, "/?k=1") == read_url("https://a.example?k=1")

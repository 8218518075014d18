"""What agencies and addresses may ask: decisions from plain values, buckets in bounded memory."""

from __future__ import annotations

import pytest

from broker import limits as figures
from broker.limits import DEBT_S_MAX, Buckets, Limits, Rate, is_trusted, read_networks, refilled, source_of, wait_s
from lintas.errors import Busy, RateLimited

RATE = Rate(per_s=10, burst=100)
PROXY = read_networks("127.0.0.1, 10.1.0.0/16, fd00::/8")
STRANGER = "192.0.2.1"


class Hand:
    """Seconds that stand where a test puts them."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@pytest.mark.parametrize(
    ("level", "since_s", "expected"),
    [(0, 1, 10), (50, 2, 70), (95, 1, 100), (-40, 3, -10), (100, 0, 100), (20, -5, 20)],
)
def test_refilled(level: float, since_s: float, expected: float) -> None:
    """A bucket fills steadily up to its burst; time that goes back takes nothing."""
    assert expected == refilled(level, since_s=since_s, rate=RATE)


@pytest.mark.parametrize(("level", "expected"), [(1, 0), (0.1, 0), (0, 1), (-5, 1), (-10, 2), (-95, 10)])
def test_wait(level: float, expected: int) -> None:
    """Whoever is in debt waits until there is something again, in whole seconds."""
    assert expected == wait_s(level, RATE)
    assert refilled(level, since_s=expected, rate=RATE) > 0


def test_bucket() -> None:
    """The last request that is let in may cost more than is left; the next one waits until that is paid."""
    hand = Hand()
    buckets = Buckets(RATE, hand)

    buckets.charge("a", 99)
    before = buckets.wait_s("a")
    buckets.charge("a", 51)
    after = buckets.wait_s("a")
    hand.now += after
    paid = buckets.wait_s("a")

    assert (0, 6, 0) == (before, after, paid)
    assert 0 == buckets.wait_s("b")


def test_debt_is_bounded() -> None:
    """However much is charged, a minute pays it."""
    buckets = Buckets(RATE, Hand())

    for _ in range(50):
        buckets.charge("a", 1_000)

    assert DEBT_S_MAX + 1 == buckets.wait_s("a")


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the bucket used longest ago is forgotten."""
    monkeypatch.setattr(figures, "KEYS_MAX", 2)
    buckets = Buckets(RATE, Hand())

    for key in ("a", "b", "a", "c"):
        buckets.charge(key, 200)

    assert 2 == len(buckets)
    assert (True, False, True) == tuple(buckets.wait_s(key) > 0 for key in ("a", "b", "c"))


def test_address_in_debt() -> None:
    """An address whose bad signatures used up its bucket is refused, and told when to come back; others are not."""
    limits = Limits(Hand())

    for _ in range(60):
        limits.check_address(STRANGER)
        limits.refused(STRANGER, "bad-signature")

    with pytest.raises(RateLimited) as caught:
        limits.check_address(STRANGER)
    assert 1 == caught.value.extra["retry_after"]
    limits.check_address("192.0.2.2")


@pytest.mark.parametrize("source", ["127.0.0.1", "::1"])
def test_own_machine(source: str) -> None:
    """A program on the hub's own machine, or a proxy there that is not named, is never in debt."""
    limits = Limits(Hand())

    for _ in range(1_000):
        limits.refused(source, "bad-signature")

    limits.check_address(source)


def test_agency_in_debt() -> None:
    """Lines and reads of an agency have buckets of their own."""
    limits = Limits(Hand())

    limits.charge_lines("my-police", 10_000)
    with pytest.raises(RateLimited):
        limits.check_lines("my-police")
    limits.check_reads("my-police")
    limits.charge_reads("my-police", 6_000)

    with pytest.raises(RateLimited):
        limits.check_reads("my-police")
    limits.check_lines("sg-fiu")
    limits.check_reads("sg-fiu")


def test_factor() -> None:
    """A factor multiplies what an agency may ask; none sets no limit."""
    double, free = Limits(Hand(), factor=2), Limits(Hand(), factor=0)

    for limits in (double, free):
        limits.charge_lines("my-police", 19_999)
        limits.charge_reads("my-police", 11_999)
        limits.check_lines("my-police")
        limits.check_reads("my-police")
    double.charge_lines("my-police", 2)
    free.charge_lines("my-police", 2)

    with pytest.raises(RateLimited):
        double.check_lines("my-police")
    free.check_lines("my-police")


def test_reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many reads of an agency are under way; one that ends makes room, others have room of their own."""
    monkeypatch.setattr(figures, "READS_AT_ONCE_MAX", 2)
    limits = Limits(Hand())

    ends = [limits.begin_read("my-police") for _ in range(2)]
    with pytest.raises(Busy) as caught:
        limits.begin_read("my-police")
    limits.begin_read("sg-fiu")
    limits.begin_lines("my-police", STRANGER, 1)
    ends[0]()
    limits.begin_read("my-police")

    assert 1 == caught.value.extra["retry_after"]


def test_lines_at_once() -> None:
    """Only so many lines of an agency from one address are under way: copies from elsewhere take nobody's place."""
    limits = Limits(Hand())

    limits.begin_lines("my-police", STRANGER, 1_000)
    end = limits.begin_lines("my-police", STRANGER, 1_000)
    with pytest.raises(Busy):
        limits.begin_lines("my-police", STRANGER, 1)
    limits.begin_lines("my-police", "192.0.2.2", 1_000)
    end()

    limits.begin_lines("my-police", STRANGER, 1)


def test_at_once_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The factor 0 lets any number begin."""
    monkeypatch.setattr(figures, "READS_AT_ONCE_MAX", 1)
    limits = Limits(Hand(), factor=0)

    assert all(limits.begin_read("my-police") for _ in range(3))


def test_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many answers to an address are held back."""
    monkeypatch.setattr(figures, "SLOWED_MAX", 1)
    limits = Limits(Hand())

    release = limits.slow(STRANGER)
    assert release is not None
    assert limits.slow(STRANGER) is None
    release()

    assert limits.slow(STRANGER) is not None


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("::1", "", "::1"),
        ("127.0.0.1", "", "127.0.0.1"),
        (None, "", "unknown"),
        ("not an address", "", "unknown"),
        # A stranger's word on itself is not believed.
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        # A trusted proxy's is.
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", " 2001:db8::9 ", "2001:db8::/64"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        # Whatever the sender wrote itself stands to the left of what our proxies added.
        ("127.0.0.1", "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "203.0.113.1, 198.51.100.7, 10.1.0.9", "198.51.100.7"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "10.1.0.9, 10.1.0.8", "10.1.0.9"),
        # A proxy that sends no address makes all its clients one.
        ("127.0.0.1", "garbage", "unknown"),
        ("127.0.0.1", "198.51.100.7, garbage", "unknown"),
        ("127.0.0.1", "198.51.100.7:4711", "unknown"),
        ("127.0.0.1", ",", "unknown"),
    ],
)
def test_source(peer: str | None, forwarded: str, expected: str) -> None:
    """A request is counted under the nearest address that is no proxy of ours."""
    assert expected == source_of(peer, forwarded, PROXY)


def test_nobody_is_trusted_by_default() -> None:
    """Unless the operator names a proxy, the header says nothing."""
    assert "127.0.0.1" == source_of("127.0.0.1", "198.51.100.7")


def test_long_chain() -> None:
    """A chain of proxies is looked through only so far."""
    assert "10.1.0.1" == source_of("127.0.0.1", "198.51.100.7" + ", 10.1.0.1" * 50, PROXY)


@pytest.mark.parametrize(("peer", "expected"), [("10.1.9.9", True), ("10.2.0.1", False), (None, False), ("x", False)])
def test_trusted(peer: str | None, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """A peer is trusted if its address is in one of the networks."""
    assert expected is is_trusted(peer, PROXY)


@pytest.mark.parametrize("text", ["10.1.0.0/40", "proxy.example", "10.1.0.1/16"])
def test_networks(text: str) -> None:
    """What is no network is refused, one with bits beside its mask too."""
    with pytest.raises(ValueError, match=text.split("/", maxsplit=1)[0]):
        read_networks(text)

"""How much an agency or an address may ask of the hub.

A bucket fills at a steady rate up to its burst. Whoever has something in it may go on, whatever that costs, and pays
afterwards: the bucket may be in debt, and its owner waits until the debt is paid. So no request is too large to ever be
let in, and what a request cost is known when it is charged.

What a verified key stands behind is charged to its agency. Everything else, above all lines that only name an agency,
is charged to the address it came from: otherwise anybody could use up what an agency may ask.

The decisions are pure (`refilled`, `wait_s`, `source_of`); `Limits` keeps the buckets of one process in bounded memory.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lintas.errors import Busy, RateLimited

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Clock = Callable[[], float]
"""Seconds that only rise: `time.monotonic`, or a test's own."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What may be used: `per_s` units a second, `burst` units at once."""

    per_s: float
    burst: float


LINES = Rate(per_s=100, burst=10_000)
"""Lines of one agency. Ten whole batches, as after an outage, then a hundred times what the busiest desk signs."""

READS = Rate(per_s=100, burst=6_000)
"""Reads of one agency, in requests; large pages cost more. Every reading is an event of the log that stays for ever."""

STRANGERS = Rate(per_s=50, burst=3_000)
"""Units of one address; what they buy stands in `COSTS`."""

DEBT_S_MAX = 60.0
"""A debt is never larger than a minute pays: several agencies may share an address, and one may mend its fault."""

KEYS_MAX = 10_000
"""Buckets of a kind: about 2 MiB. Beyond it the one used longest ago is forgotten, and with it its debt."""

COSTS: Mapping[str, float] = {"bad-signature": 50, "unknown-key": 20, "bad-invite": 50, "unknown-witness": 20}
"""What a refusal costs its address: about the work that it made. One bad signature a second is a client at fault."""

REFUSAL_COST = 10.0
"""Any other refusal of a stranger: bytes that are no line, tokens that do not hold."""

REPLAY_COST = 1.0
"""A line that the hub has already: an honest client sends it again after a lost answer, in whole batches."""

PUBLIC_COST = 5.0
"""A public page: monitors and witnesses look every few seconds."""

ROWS_A_UNIT = 100
"""Rows of a page that cost as much as a request."""

READS_AT_ONCE_MAX = 96
"""Reads of an agency under way: its 32 that may wait, and 64 that work. The threads serve all."""

LINES_AT_ONCE_MAX = 1_024
"""Lines of an agency from one address under way, as in two commits; a batch begins while there are fewer."""

SLOWED_MAX = 250
"""Answers to an address in debt that are held back at a time; whoever asks for more is cut."""

LOCAL = frozenset({"127.0.0.1", "::1"})
"""Programs on the hub's own machine are no strangers. Nor is a proxy there: its address would stand for everybody's."""

UNKNOWN = "unknown"
IPV6_PREFIX = 64
"""Who has one IPv6 address has its whole network."""

HOPS_MAX = 8
"""Proxies in a row that are looked through."""


def refilled(level: float, *, since_s: float, rate: Rate) -> float:
    """Return what is in a bucket `since_s` seconds after it held `level`."""
    return min(rate.burst, level + max(0.0, since_s) * rate.per_s)


def wait_s(level: float, rate: Rate) -> int:
    """Return the whole seconds until a bucket is out of debt, 0 when it is not in debt."""
    return 0 if level > 0 else math.floor(-level / rate.per_s) + 1


class Buckets:
    """Buckets of one kind, the last used at the end; one that is not there is full."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        """Begin with all of them full."""
        self._rate = rate
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._levels)

    def wait_s(self, key: str) -> int:
        """Return the seconds that the owner of this bucket has to wait, 0 for none."""
        found = self._levels.get(key)
        if found is None or found[0] > 0:
            return 0
        return wait_s(refilled(found[0], since_s=self._clock() - found[1], rate=self._rate), self._rate)

    def charge(self, key: str, cost: float) -> None:
        """Take from a bucket what was used."""
        now, rate = self._clock(), self._rate
        level, at = self._levels.get(key, (rate.burst, now))
        left = refilled(level, since_s=now - at, rate=rate) - cost
        self._levels[key] = max(left, -DEBT_S_MAX * rate.per_s), now
        self._levels.move_to_end(key)
        if len(self._levels) > KEYS_MAX:
            self._levels.popitem(last=False)


class Limits:
    """The buckets of one process. Used by the event loop's thread alone.

    `factor` multiplies what agencies may ask; 0 sets no limit to them.
    """

    def __init__(self, clock: Clock, *, factor: int = 1, trusted: Sequence[Network] = ()) -> None:
        """Begin with every bucket full."""
        self.trusted = tuple(trusted)
        self._factor = factor
        self._lines = Buckets(_times(LINES, factor), clock)
        self._reads = Buckets(_times(READS, factor), clock)
        self._addresses = Buckets(STRANGERS, clock)
        self._under_way: Counter[str] = Counter()
        self._slowed: Counter[str] = Counter()

    # --- addresses ---

    def is_in_debt(self, source: str) -> bool:
        """Tell whether this address is in debt."""
        return self._addresses.wait_s(source) > 0

    def check_address(self, source: str) -> None:
        """Raise RateLimited while this address is in debt."""
        seconds = self._addresses.wait_s(source)
        if seconds:
            raise RateLimited("Too much from your address was refused.", retry_after=seconds)

    def charge_address(self, source: str, cost: float) -> None:
        """Charge an address for what no key stands behind."""
        if source not in LOCAL:
            self._addresses.charge(source, cost)

    def refused(self, source: str, code: str) -> None:
        """Charge an address for what was refused with this code."""
        self.charge_address(source, COSTS.get(code, REFUSAL_COST))

    def slow(self, source: str) -> Callable[[], None] | None:
        """Hold an answer to this address back until the function returned is called; None when too many are."""
        if self._slowed[source] >= SLOWED_MAX:
            return None
        self._slowed[source] += 1
        return lambda: _subtract(self._slowed, source)

    # --- agencies ---

    def check_lines(self, party: str) -> None:
        """Raise RateLimited while an agency has sent too many lines."""
        seconds = self._lines.wait_s(party)
        if seconds:
            raise RateLimited("Your agency has sent too many lines.", retry_after=seconds)

    def charge_lines(self, party: str, count: float = 1) -> None:
        """Charge an agency for lines that its own key stands behind."""
        if self._factor:
            self._lines.charge(party, count)

    def check_reads(self, party: str) -> None:
        """Raise RateLimited while an agency has read too much."""
        seconds = self._reads.wait_s(party)
        if seconds:
            raise RateLimited("Your agency has read too much.", retry_after=seconds)

    def charge_reads(self, party: str, cost: float = 1) -> None:
        """Charge an agency for a read."""
        if self._factor:
            self._reads.charge(party, cost)

    def begin_read(self, party: str) -> Callable[[], None]:
        """Let a read of an agency begin; call what is returned at its end. Raise Busy when too many are under way."""
        return self._begin(party, 1, READS_AT_ONCE_MAX)

    def begin_lines(self, party: str, source: str, count: int) -> Callable[[], None]:
        """Let lines of an agency begin, as `begin_read`. Lines from elsewhere may be copies that anyone holds."""
        return self._begin(f"{party} {source}", count, LINES_AT_ONCE_MAX)

    def _begin(self, whose: str, count: int, most: int) -> Callable[[], None]:
        if self._factor and self._under_way[whose] >= most * self._factor:
            raise Busy("Too much of yours is under way.", retry_after=1)
        self._under_way[whose] += count
        return lambda: _subtract(self._under_way, whose, count)


@lru_cache(maxsize=KEYS_MAX)
def source_of(peer: str | None, forwarded: str = "", trusted: tuple[Network, ...] = ()) -> str:
    """Return the address that a request is counted under: of an IPv6 sender its network."""
    address = address_of(peer, forwarded, trusted)
    if address is None:
        return UNKNOWN
    if address.version == 4 or address.is_loopback:  # noqa: PLR2004 - the version of the protocol
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))


def address_of(peer: str | None, forwarded: str = "", trusted: tuple[Network, ...] = ()) -> Address | None:
    """Return the address that a request came from, None when nobody knows.

    `forwarded` is X-Forwarded-For. It is believed only of a trusted peer, and read from the right: the first hop that
    is not trusted itself is the sender. What stands left of it, anybody may have written.
    """
    address = _address(peer or "")
    hops = forwarded.split(",")[-HOPS_MAX:]
    while forwarded and hops and address is not None and _is_in(address, trusted):
        address = _address(hops.pop().strip())
    return address


def is_trusted(peer: str | None, trusted: tuple[Network, ...]) -> bool:
    """Tell whether this peer is a proxy whose word on its clients counts."""
    address = _address(peer or "")
    return address is not None and _is_in(address, trusted)


def read_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks separated by commas; raise ValueError naming the one at fault."""
    return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both protocols shows IPv4 senders so; all of them would be one network.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _times(rate: Rate, factor: int) -> Rate:
    return Rate(rate.per_s * factor, rate.burst * factor)


def _subtract(counts: Counter[str], key: str, count: int = 1) -> None:
    counts[key] -= count
    if not counts[key]:
        del counts[key]

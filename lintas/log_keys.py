"""The keys of one log, one after the other.

Within an epoch all have the log's origin as their name. A ``log.key`` event announces the next one: every checkpoint
over that event is signed by it, and by its predecessor too until the overlap is over. So one rule says which key must
have signed a checkpoint, from its size alone: the newest that was announced below it. Whoever knows a key therefore
never again takes the word of an older one for anything newer.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lintas.errors import BadNote, BadProof
from lintas.note import Signature, VerifierKey, parse_vkey

LOG_KEYS_MAX = 32
"""Keys of one epoch: as many ``log`` lines as a tlog-policy has."""


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key that signs every checkpoint over the event at index `seq`; its predecessor signs beside it at first.

    `until`: once the newest event of the tree is of that Unix second or later, the predecessor signs no more.
    """

    key: VerifierKey
    seq: int = -1
    until: int = 0


@dataclass(frozen=True, slots=True)
class LogKeys:
    """All keys of a log that are known, oldest first; never empty."""

    entries: tuple[LogKey, ...]

    @classmethod
    def of(cls, key: VerifierKey) -> LogKeys:
        """Begin with one key, of the log's opening or pinned by somebody who knows no earlier one."""
        return cls((LogKey(key),))

    @property
    def name(self) -> str:
        """The name that all of them have, the origin of the log."""
        return self.newest.name

    @property
    def newest(self) -> VerifierKey:
        """The key that signs now."""
        return self.entries[-1].key

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The keys alone, oldest first."""
        return tuple(each.key for each in self.entries)

    def at(self, size: int) -> VerifierKey:
        """Return the key that must have signed a checkpoint of this size, whoever else did."""
        return self.entries[self._place(size)].key

    def signing(self, size: int, second: int) -> tuple[VerifierKey, ...]:
        """Return all keys that sign the checkpoint of this size, whose newest event is of that Unix second."""
        place = self._place(size)
        is_overlap = place > 0 and second < self.entries[place].until
        return self.keys[place - 1 : place + 1] if is_overlap else (self.entries[place].key,)

    def then(self, seq: int, detail: Mapping[str, Any]) -> LogKeys:
        """Add the key that a ``log.key`` event announces; raise BadProof or BadNote unless it follows the newest."""
        key, until = parse_vkey(str(detail.get("log_key"))), detail.get("until")
        follows = (detail.get("former"), key.name) == (self.newest.text(), self.name) and key not in self.keys
        if not follows or type(until) is not int or seq <= self.entries[-1].seq:
            raise BadProof(f"Event {seq} announces a key that does not follow the log's.")
        return LogKeys((*self.entries, LogKey(key, seq, until)))

    def knows(self, signatures: Iterable[Signature]) -> bool:
        """Tell whether one of these signature lines says it is by one of the keys, rightly or not."""
        ids = {(each.name, each.key_id) for each in self.keys}
        return any((each.name, each.key_id) in ids for each in signatures)

    def knows_all(self, signatures: Iterable[Signature]) -> bool:
        """Tell whether all signature lines in the name of this log say they are by one of the keys."""
        return all(self.knows([each]) for each in signatures if each.name == self.name)

    def text(self) -> str:
        """Return a line a key; `parse_log_keys` undoes it."""
        return "".join(f"{each.seq} {each.until} {each.key.text()}\n" for each in self.entries)

    def _place(self, size: int) -> int:
        # A key pinned without its history is taken for all sizes: nothing older is known.
        return max((place for place, each in enumerate(self.entries) if each.seq < size), default=0)


def parse_log_keys(text: str) -> LogKeys:
    """Read what `LogKeys.text` wrote; raise BadNote or ValueError."""
    rows = [line.split(" ", 2) for line in text.splitlines()]
    return LogKeys(tuple(LogKey(parse_vkey(key), int(seq), int(until)) for seq, until, key in rows))


def opened(detail: Mapping[str, Any]) -> LogKeys:
    """Return the first key of a log, as its ``log.opened`` event names it; raise BadNote."""
    return LogKeys.of(parse_vkey(str(detail.get("log_key"))))


def is_log_key(text: object) -> bool:
    """Tell whether this is the line of a sound verifier key."""
    try:
        return isinstance(text, str) and bool(parse_vkey(text))
    except BadNote:
        return False

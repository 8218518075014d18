"""Replaying key events, so that nobody has to take the directory on trust.

Each event that changes the directory names the signed line behind it. The line is verified and decided again; what the
decision yields must be, event by event, what the log says. The hub starts this way from its own database, a client from
the events it was shown: a partner key swapped or an approval invented by either is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from lintas.decide import changes, check_signatures
from lintas.directory import CONTROL_KINDS, Change, Directory, apply
from lintas.errors import InconsistentLog, Refusal
from lintas.event import US_PER_S, Event
from lintas.line import Line


@dataclass(frozen=True, slots=True)
class Replay:
    """A directory and what the line replayed last must still cause. `parties` None sees the events of everyone."""

    directory: Directory
    parties: frozenset[str] | None = None
    line_id: str | None = None
    expected: tuple[Change, ...] = ()

    @classmethod
    def begin(cls, hub: str, parties: Collection[str] | None = None) -> Replay:
        """Begin with the empty directory of the hub of this name."""
        return cls(Directory(hub), None if parties is None else frozenset(parties))

    def step(self, event: Event, *, seq: int, line: Line | None) -> Replay:
        """Return the state after one control event at index `seq`; raise InconsistentLog if nothing justifies it."""
        if event.kind not in CONTROL_KINDS:
            return self
        if event.kind == "log.opened":
            return self._open(event, seq)
        if line is None or line.id != event.object:
            raise InconsistentLog(f"Event {seq} ({event.kind}) does not show the line behind it.")
        expected = self.expected
        if line.id != self.line_id:
            if expected:
                raise InconsistentLog(f"An event before {seq} is missing.")
            expected = self._decide(line, event, seq)
        change = Change(event.kind, event.party, dict(event.detail))
        if not expected or change != expected[0]:
            raise InconsistentLog(f"Event {seq} ({event.kind}) is not what its line causes.")
        directory = apply(self.directory, change, seq=seq, at=event.time // US_PER_S)
        return Replay(directory, self.parties, line.id, expected[1:])

    def _open(self, event: Event, seq: int) -> Replay:
        if seq != 0 or event.detail.get("hub") != self.directory.hub:
            raise InconsistentLog(f"Event {seq} opens the log of another hub.")
        change = Change(event.kind, event.party, dict(event.detail))
        return replace(self, directory=apply(self.directory, change, seq=seq, at=event.time // US_PER_S))

    def _decide(self, line: Line, event: Event, seq: int) -> tuple[Change, ...]:
        try:
            check_signatures(self.directory, line)
            decided = changes(self.directory, line, now=event.time // US_PER_S)
        except Refusal as refusal:
            raise InconsistentLog(f"Event {seq} ({event.kind}) rests on a line that is refused: {refusal}") from refusal
        return tuple(
            Change(change.kind, change.party, dict(change.detail))
            for change in decided
            if change.kind in CONTROL_KINDS and (self.parties is None or change.party in self.parties)
        )

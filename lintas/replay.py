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
from lintas.epoch import Carried, read_carried, read_former
from lintas.errors import BadProof, InconsistentLog, Refusal
from lintas.event import US_PER_S, Event
from lintas.line import Line


@dataclass(frozen=True, slots=True)
class Replay:
    """A directory and what the line replayed last must still cause. `parties` None sees the events of everyone.

    Events up to index `carried` repeat those of a former epoch; `then` are index and second of the last of these there.
    """

    directory: Directory
    parties: frozenset[str] | None = None
    line_id: str | None = None
    expected: tuple[Change, ...] = ()
    carried: int = 0
    then: tuple[int, int] = (-1, 0)

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
        told, expected = self._told(event, seq), self.expected
        if line.id != self.line_id:
            if expected:
                raise InconsistentLog(f"An event before {seq} is missing.")
            expected = self._decide(line, told, seq)
        change = Change(told.kind, told.party, dict(told.detail))
        if not expected or change != expected[0]:
            raise InconsistentLog(f"Event {seq} ({event.kind}) is not what its line causes.")
        directory = apply(self.directory, change, seq=seq, at=told.at)
        then = (told.seq, told.at) if seq <= self.carried else self.then
        return replace(self, directory=directory, line_id=line.id, expected=expected[1:], then=then)

    def _told(self, event: Event, seq: int) -> Carried:
        """Return what an event says, with the second it was decided at: for one that is carried over, that of then."""
        try:
            told = read_carried(event, seq, self.carried)
        except BadProof as fault:
            raise InconsistentLog(str(fault)) from fault
        if seq <= self.carried and (told.seq <= self.then[0] or told.at < self.then[1]):
            raise InconsistentLog(f"Event {seq} repeats the former epoch out of order.")
        return told

    def _open(self, event: Event, seq: int) -> Replay:
        if seq != 0 or event.detail.get("hub") != self.directory.hub:
            raise InconsistentLog(f"Event {seq} opens the log of another hub.")
        change = Change(event.kind, event.party, dict(event.detail))
        directory = apply(self.directory, change, seq=seq, at=event.time // US_PER_S)
        try:
            former = read_former(event.detail)
        except BadProof as fault:
            raise InconsistentLog(str(fault)) from fault
        return replace(self, directory=directory, carried=0 if former is None else former.carried)

    def _decide(self, line: Line, told: Carried, seq: int) -> tuple[Change, ...]:
        try:
            check_signatures(self.directory, line)
            decided = changes(self.directory, line, now=told.at)
        except Refusal as refusal:
            raise InconsistentLog(f"Event {seq} ({told.kind}) rests on a line that is refused: {refusal}") from refusal
        return tuple(
            Change(change.kind, change.party, dict(change.detail))
            for change in decided
            if change.kind in CONTROL_KINDS and (self.parties is None or change.party in self.parties)
        )

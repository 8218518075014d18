"""The way of an approved draft into the hub.

Signed once, kept in the outbox under its tag before it is sent, sent as the same bytes until the hub answers: a kill, a
lost answer or a hub that is away for days neither loses a bulletin nor makes a second one.
"""

from __future__ import annotations

from collections.abc import Callable

from clients.gateway.database import Database
from clients.gateway.postings import DraftRow, Postings
from lintas.ack import ACKNOWLEDGED
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import Evidence, HubUnreachable, IdentityLocked, LintasError, Refusal
from lintas.state import REFUSED, SENT, Outgoing

Report = Callable[[str], None]


class Sender:
    """Signs and sends with a client that nobody else uses. `report` is told what came of it, in one line."""

    def __init__(self, client: Client, database: Database, report: Report) -> None:
        """Send what stands in this file."""
        self.client = client
        self._database = database
        self._postings = Postings(database)
        self._report = report

    def step(self) -> None:
        """Send what waits. What was refused for good is noted, and does not stop the rest.

        Raises HubUnreachable, Evidence, or the last refusal that may pass by itself.
        """
        approved, noting = self._postings.approved(), self._notings()
        if any(self.client.session.state.by_tag(row.tag) is None for row in approved):
            # Whom a community stands for, whose keys to seal to: as the log has it now.
            self.client.sync()
        passing = [fault for row in approved if (fault := self._publish(row)) is not None]
        for bulletin_id in noting:
            self._acknowledge(bulletin_id)
        if passing:
            raise passing[-1]

    def note(self, bulletin_id: str) -> None:
        """Have a bulletin acknowledged; asked again it is said once."""
        query = "INSERT INTO noting VALUES (?, 'asked', NULL) ON CONFLICT (bulletin) DO NOTHING"
        self._database.run(query, (bulletin_id,))

    def noted(self, bulletin_id: str) -> tuple[str, str | None] | None:
        """Return how far an acknowledgement got, and why it failed."""
        row = self._database.row("SELECT state, problem FROM noting WHERE bulletin = ?", (bulletin_id,))
        return None if row is None else (row[0], row[1])

    def _notings(self) -> list[str]:
        return [row[0] for row in self._database.rows("SELECT bulletin FROM noting WHERE state = 'asked'")]

    def _publish(self, row: DraftRow) -> Refusal | None:
        """Bring a draft as far as it goes; return the refusal that keeps it waiting, if any."""
        state, passing = self.client.session.state, None
        known = state.by_tag(row.tag) or self._sign(row)
        if known is None:
            return None
        if known.state not in (SENT, REFUSED):
            passing = self._send(row)
            known = state.by_tag(row.tag) or known
        if known.state == SENT:
            self._postings.publish(row.number, known.id, known.seq or 0)
            self._report(f"draft {row.number}: published as {known.id} at index {known.seq}")
        elif known.state == REFUSED:
            # The outbox keeps the code alone; the hub's own words are there if it was refused just now.
            self._refuse(row, f"The hub refused it: {known.problem}." if passing is None else text_of(passing))
            return None
        return passing

    def _sign(self, row: DraftRow) -> Outgoing | None:
        session = self.client.session
        try:
            draft = read_draft(row.members)
            line = session.sign_bulletin(draft, release_to=row.release_to or session.recipients(draft))
        except (Evidence, HubUnreachable, IdentityLocked):
            raise
        except LintasError as fault:
            self._refuse(row, text_of(fault))
            return None
        session.state.enqueue(line.id, line.raw, row.tag)
        return session.state.by_tag(row.tag)

    def _send(self, row: DraftRow) -> Refusal | None:
        try:
            # Known by its tag: nothing is signed here, the bytes in the outbox are sent.
            self.client.publish(read_draft(row.members), tag=row.tag)
        except Refusal as fault:
            # Refused for good, as the outbox then says; or for now, and the same bytes go out again.
            self._postings.wait(row.number, text_of(fault))
            return fault
        return None

    def _refuse(self, row: DraftRow, problem: str) -> None:
        self._postings.refuse(row.number, problem)
        self._report(f"draft {row.number}: refused")

    def _acknowledge(self, bulletin_id: str) -> None:
        try:
            self.client.acknowledge(bulletin_id)
        except Refusal as fault:
            known = self.client.session.state.by_tag(f"ack:{ACKNOWLEDGED}:{bulletin_id}")
            if known is not None and known.state == REFUSED:
                query = "UPDATE noting SET state = 'refused', problem = ? WHERE bulletin = ?"
                self._database.run(query, (text_of(fault), bulletin_id))
            return
        self._database.run("UPDATE noting SET state = 'acknowledged' WHERE bulletin = ?", (bulletin_id,))


def text_of(fault: LintasError) -> str:
    """Return what went wrong and what to do next, in one line."""
    member = "" if fault.member is None else f" (member: {fault.member})"
    return " ".join(f"{fault.code}: {fault.detail or ''} {fault.title()}{member}".split())

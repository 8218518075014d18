"""The way of bulletins from the hub into the gateway's own file.

It follows a subscription of its own, so an officer's `lintas follow` takes nothing away from it. A page is verified as
every client does, kept in one transaction, and only then confirmed: one that is killed in between gets the page again.
"""

from __future__ import annotations

from clients.gateway.bulletins import Bulletins
from clients.gateway.database import Database
from clients.gateway.sender import Report
from lintas import subscribe
from lintas.client import Client
from lintas.errors import NotFound
from lintas.pages import Pulled
from lintas.request import Operation
from lintas.session import Session

SUBSCRIPTION = "gateway"
BEGINNING = -1


class Follower:
    """Takes over with a client that nobody else uses."""

    def __init__(self, client: Client, database: Database, bulletins: Bulletins, report: Report) -> None:
        """Keep what comes in this file; `report` is told of each alarm once."""
        self.client = client
        self.alarms: tuple[str, ...] = ()
        self._report = report
        self._database = database
        self._bulletins = bulletins
        self._has_begun = False

    def step(self, wait_s: int) -> bool:
        """Take over the next page, waiting so long for something to come; tell whether the hub did wait or had some.

        Raises what the client raises.
        """
        if not self._has_begun:
            self._begin()
        session = self.client.session
        try:
            pulled = self.client.run(_pull(session, wait_s))
        except NotFound:
            # Somebody ended the subscription: it is made anew, and what comes a second time is known.
            self._has_begun = False
            raise
        if pulled.items:
            released = session.state.released({item.id for item in pulled.items})
            self._bulletins.take(pulled.items, released, session.clock())
        self.client.confirm(pulled)
        self._look_for_alarms()
        return bool(pulled.items) or pulled.has_waited

    def _look_for_alarms(self) -> None:
        before, self.alarms = self.alarms, tuple(self.client.session.alarms())
        for alarm in self.alarms:
            if alarm not in before:
                self._report(f"ALARM {alarm}")

    def _begin(self) -> None:
        """Make the subscription once; a new file is filled from the beginning."""
        self.client.sync()
        names = {each.name for each in self.client.subscriptions()}
        if SUBSCRIPTION not in names:
            self.client.subscribe(SUBSCRIPTION, start="beginning")
        elif self._database.get("begun") is None:
            self.client.move(SUBSCRIPTION, BEGINNING)
        self._database.put("begun", "1")
        self._has_begun = True


def _pull(session: Session, wait_s: int) -> Operation[Pulled]:
    response = yield subscribe.ask_page(session, SUBSCRIPTION, wait_s=wait_s)
    return (yield from subscribe.take_page(session, SUBSCRIPTION, response))

"""The one door for what tools post, by whichever way it comes."""

from __future__ import annotations

from clients.gateway.database import Database
from clients.gateway.postings import Posted, Posting, Postings
from clients.gateway.rules import Rules
from clients.gateway.sender import Report, text_of
from clients.gateway.wrapping import is_marked, key_of, key_of_bytes, objects_of, wrap
from lintas.clock import Clock
from lintas.errors import BadRequest, LintasError
from lintas.imported import Import, read_members
from lintas.strict import Json

NAME_CHARACTERS_MAX = 120
REASONS_MAX = 20
"""Reasons in the problem of a posting of which nothing could be used."""

NOTHING = "Nothing in it can stand in a bulletin. Write the draft by hand."


class Intake:
    """Makes postings of what comes, by the rules of the gateway. Used by every thread."""

    def __init__(self, database: Database, rules: Rules, party: str, *, clock: Clock, report: Report) -> None:
        """Take in for this agency; `report` is told of each posting in one line, without its content."""
        self.postings = Postings(database)
        self._rules = rules
        self._party = party
        self._clock = clock
        self._report = report

    def take_bytes(self, data: bytes, *, channel: str, name: str) -> Posting:
        """Keep a posting made of these bytes; one that cannot be read is kept as refused."""
        try:
            members = read_members(data)
        except BadRequest as fault:
            posted = Posted(key=key_of_bytes(data), channel=channel, name=_told(name))
            return self._keep(posted, text_of(fault), is_asked=True)
        return self.take(members, channel=channel, name=name)

    def take(self, members: Json, *, channel: str, name: str = "") -> Posting:
        """Keep a posting made of a bundle, an event or a draft; known content gives the posting that is there."""
        posted = Posted(key=key_of(members), channel=channel, name=_told(name), objects=objects_of(members))
        known = self.postings.known(posted.key)
        return known or self._keep(posted, self._wrapped(members), is_asked=self._is_asked(members))

    def _is_asked(self, members: Json) -> bool:
        """Tell whether an officer is asked: always, but where told otherwise, of what has no marking of its own.

        There are programs that take markings off before they post.
        """
        return not (self._rules.publishes and is_marked(members, self._rules.choices, self._party))

    def _wrapped(self, members: Json) -> Import | str:
        try:
            found = wrap(members, self._rules.choices, self._party)
        except LintasError as fault:
            return text_of(fault)
        why = [f"{each.where}: {each.why}" for each in found.omitted[:REASONS_MAX]]
        return found if found.drafts else " ".join([NOTHING, *why])

    def _keep(self, posted: Posted, found: Import | str, *, is_asked: bool) -> Posting:
        posting = self.postings.add(posted, found, publishes=not is_asked, now_us=self._clock())
        count = f"{len(posting.drafts)} drafts, {len(posting.omitted)} not carried over"
        self._report(f"posting {posting.number} by {posted.channel}: {posting.state}, {count}")
        return posting


def _told(name: str) -> str:
    """Return the name of a file as text: bytes of it that are none are shown as a question mark."""
    return name[:NAME_CHARACTERS_MAX].encode("utf-8", "replace").decode()

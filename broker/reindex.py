"""Making the index of indicators anew from the stored lines; the collections of TAXII go with it.

The index holds HMACs with a key of the hub's own secret, so it is empty for lines older than itself and worthless once
that secret is lost. Everything in it follows from lines: bulletins, orders of interests, orders of watch lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from broker.matching import digests
from broker.store import indicators, interests, lines, taxii, watches
from broker.store.engine import Connection
from lintas import bulletin
from lintas.errors import BadSettings
from lintas.header import BULLETIN, ORDER
from lintas.line import parse
from lintas.orders import open_order, values_of


def reindex(conn: Connection, key: bytes, *, now: int, progress: Callable[[int], None]) -> int:
    """Make every row of the index anew, inside the caller's transaction; return the number of bulletins in it.

    `progress` gets the log index reached. Sealed or purged bulletins have no rows: nothing is known of their content.
    """
    for forget in (indicators.forget, watches.forget, interests.forget_values):
        forget(conn)
    # Made anew when somebody reads them.
    taxii.empty(conn)
    standing = {line_id: seq for seq, line_id in interests.every(conn, now)}
    counted = 0
    for stored in lines.every(conn):
        progress(stored.seq)
        if stored.typ == BULLETIN:
            counted += _bulletin(conn, key, stored)
        elif stored.typ == ORDER and stored.raw is not None:
            _order(conn, key, stored.raw, standing.get(stored.id))
    return counted


def check(conn: Connection, key: bytes) -> None:
    """Raise BadSettings when the index was made with another secret: it would find nothing, in silence."""
    if fits(conn, key) is False:
        raise BadSettings(
            "The index of indicators was made with another hub.secret: put it back, or run `lintas-broker migrate`."
        )


def fits(conn: Connection, key: bytes) -> bool | None:
    """Tell whether the index was made with this key; None when no bulletin in it can show that."""
    found = indicators.newest(conn)
    if found is None:
        return None
    seq, raw, rows = found
    content = _content(raw)
    assert content is not None
    # Some rows may have been purged by their type; one that fits shows the secret.
    return not rows.isdisjoint((row["type"], row["digest"]) for row in indicators.rows(key, seq, _values(content)))


def _bulletin(conn: Connection, key: bytes, stored: lines.StoredLine) -> int:
    if stored.raw is None:
        return 0
    content = _content(stored.raw)
    if content is None:
        return 0
    is_personal = bulletin.has_person_data(content)
    if is_personal != stored.is_personal:
        lines.set_personal(conn, stored.seq, is_personal=is_personal)
    rows = indicators.rows(key, stored.seq, _values(content))
    if rows:
        indicators.insert_indicators(conn, rows)
    return 1


def _content(raw: bytes) -> bulletin.Bulletin | None:
    line = parse(raw, BULLETIN)
    return None if line.header.enc is not None else bulletin.parse(line.payload, kind=line.header.kind or "")


def _values(content: bulletin.Bulletin) -> Iterable[tuple[str, str]]:
    return ((each.type, each.value) for each in content.indicators)


def _order(conn: Connection, key: bytes, raw: bytes, interest_seq: int | None) -> None:
    order = open_order(parse(raw, ORDER))
    found = digests(key, values_of(order))
    if order.act == "watch":
        # In log order, so that the newest order of a list is what stays.
        watches.replace(conn, order.lines[0].header.iss, order.args["name"], found)
    elif interest_seq is not None:
        interests.insert_values(conn, interest_seq, found)

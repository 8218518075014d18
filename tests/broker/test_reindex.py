"""The index made anew: from lines older than it, after a lost secret, with nothing lost or invented."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, insert, select, update

from broker.cli import cli
from broker.hub import open_hub
from broker.reindex import check, reindex
from broker.store import log, rollup, tables
from broker.store.engine import Connection
from lintas.errors import BadSettings
from lintas.header import ORDER
from lintas.strict import canonical
from tests.broker.conftest import PAYLOAD, Desks

ISSUER, READER = "my-police", "sg-fiu"
PHONE, DOMAIN = "+6542995883", "lotustrade.example"
INDEX = (tables.indicator, tables.interest_value, tables.watch)


def content(*pairs: tuple[str, str]) -> bytes:
    """Write a payload with these indicators."""
    return canonical(PAYLOAD | {"indicators": [{"type": kind, "value": value, "role": "x"} for kind, value in pairs]})


def rows(conn: Connection) -> list[Any]:
    """Return every row of the index and what is noted as personal."""
    personal = conn.execute(select(tables.line.c.seq, tables.line.c.is_personal).order_by(tables.line.c.seq)).all()
    return [personal, *(sorted(map(tuple, conn.execute(select(table)).all())) for table in INDEX)]


@pytest.fixture
def filled(desks: Desks) -> Desks:
    """A hub with bulletins, a recalled one, interests of which one ended, and lists that changed."""
    desks.publish(ISSUER, [READER], payload=content(("phone", PHONE), ("domain", DOMAIN)))
    desks.publish(ISSUER, [READER], payload=content(("domain", DOMAIN)))
    recalled = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    desks.post(desks.recall(ISSUER, recalled.id, [READER]))
    session = desks.session(READER)
    values = [{"type": "domain", "value": DOMAIN}, {"type": "phone", "value": PHONE}]
    wanted = {"mode": "open", "until": session.now() + 86_400, "indicators": values}
    kept, ended = (session.sign_order("interest", wanted | {"case_ref": f"SIM-{number}"}) for number in range(2))
    assert [202, 202] == [desks.post(line, ORDER).status_code for line in (kept, ended)]
    assert desks.post(session.sign_order("interest-end", {"interest": ended.id}), ORDER).status_code == 201
    for name, listed in (("kept", values[:1]), ("gone", values), ("kept", values), ("gone", [])):
        desks.clock.advance(1)
        line = session.sign_order("watch", {"name": name, "indicators": listed})
        assert desks.post(line, ORDER).status_code == 201
    return desks


def test_anew(filled: Desks) -> None:
    """An index that was emptied or spoilt is made anew exactly as it grew, and every line is looked at."""
    with filled.hub.store.write() as conn:
        before, seen = rows(conn), list[int]()
        conn.execute(delete(tables.indicator))
        conn.execute(update(tables.watch).values(name="spoilt"))
        conn.execute(delete(tables.interest_value))
        conn.execute(update(tables.line).where(tables.line.c.kind.is_not(None)).values(is_personal=True))
        assert before != rows(conn)

        counted = reindex(conn, filled.hub.secret.index_key, now=filled.hub.now(), progress=seen.append)

        assert (before, 4) == (rows(conn), counted)
        assert seen == sorted(conn.scalars(select(tables.line.c.seq)))
    assert [4, 2, 2] == [len(each) for each in before[1:]]


def test_purged_content_is_passed(filled: Desks) -> None:
    """A bulletin whose content was purged has no rows in an index made anew."""
    with filled.hub.store.write() as conn:
        conn.execute(update(tables.line).where(tables.line.c.kind.is_not(None)).values(raw=None))

        counted = reindex(conn, filled.hub.secret.index_key, now=filled.hub.now(), progress=lambda _seq: None)

        assert 0 == counted
        assert [] == conn.execute(select(tables.indicator)).all()


def test_nothing_to_be_done(filled: Desks) -> None:
    """`migrate` on a database that is as it must be changes nothing, so that a job may run it at every start."""
    hub = filled.hub
    with hub.store.write() as conn:
        # Were the index made anew, this row would be gone.
        conn.execute(insert(tables.indicator).values(seq=0, type="domain", digest=b"x"))
        before = rows(conn)

    done = CliRunner().invoke(cli, ["migrate", "--data", str(hub.settings.data)])

    assert (0, "The database is at this version's schema already.\n") == (done.exit_code, done.output)
    with hub.store.read() as conn:
        assert before == rows(conn)


def test_recount(filled: Desks) -> None:
    """`migrate --recount` counts the console's figures anew, all of the log."""
    hub = filled.hub
    with hub.store.write() as conn:
        size, _ = log.head(conn)
        rollup.recount(conn, size)
        conn.execute(update(tables.rollup).values(count=tables.rollup.c.count + 1))

    done = CliRunner().invoke(cli, ["migrate", "--recount", "--data", str(hub.settings.data)])

    assert 0 == done.exit_code
    with hub.store.read() as conn:
        assert (size, True) == (rollup.size(conn), rollup.fits(conn))


def test_lists_alone(desks: Desks) -> None:
    """An index without bulletins may be of a secret that was lost: `migrate` makes it anew."""
    values = [{"type": "domain", "value": DOMAIN}]
    line = desks.session(READER).sign_order("watch", {"name": "list", "indicators": values})
    assert desks.post(line, ORDER).status_code == 201
    hub = desks.hub
    hub.settings.secret_file.write_text(secrets.token_hex(32))

    done = CliRunner().invoke(cli, ["migrate", "--data", str(hub.settings.data)])

    assert (0, True) == (done.exit_code, "0 bulletins are in the index" in done.output)


def test_lost_secret(filled: Desks) -> None:
    """A hub whose secret was lost does not start until `migrate` made the index anew; then it matches as before."""
    hub = filled.hub
    hub.stop()
    hub.settings.secret_file.write_text(secrets.token_hex(32))
    lost = open_hub(hub.settings, filled.clock)
    with pytest.raises(BadSettings, match="run `lintas-broker migrate`"):
        lost.start()
    lost.stop()

    done = CliRunner().invoke(cli, ["migrate", "--data", str(hub.settings.data)])

    assert (0, "The database is at this version's schema; 4 bulletins are in the index.\n") == (
        done.exit_code,
        done.output,
    )
    again = open_hub(hub.settings, filled.clock)
    again.start()
    with again.store.read() as conn:
        assert [4, 2, 2] == [len(each) for each in rows(conn)[1:]]
        key = again.secret.index_key
        with again.store.write() as writing:
            before = rows(writing)
            reindex(writing, key, now=again.now(), progress=lambda _seq: None)
            assert before == rows(writing)
    again.stop()


def test_purged_by_type(filled: Desks) -> None:
    """A hub starts though rows of some type were removed from its index."""
    with filled.hub.store.write() as conn:
        newest = conn.scalar(select(tables.indicator.c.seq).order_by(tables.indicator.c.seq.desc()))
        conn.execute(delete(tables.indicator).where(tables.indicator.c.seq == newest))
        conn.execute(delete(tables.indicator).where(tables.indicator.c.type == "domain"))

        check(conn, filled.hub.secret.index_key)
        with pytest.raises(BadSettings):
            check(conn, bytes(32))


def test_empty_index(desks: Desks) -> None:
    """An index without rows fits any secret."""
    with desks.hub.store.read() as conn:
        assert [] == conn.execute(select(tables.indicator)).all()
        check(conn, bytes(32))

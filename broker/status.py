"""How a hub does, on one screen of its own machine.

Reads files, database and, when the hub serves, what it answers; changes nothing, and works beside a hub that serves as
for one that is stopped. Each finding is in order, wants attention, or is broken; the worst of them is the hub's.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from typing import Any

from broker import approvals
from broker.catchup import replay
from broker.exposition import PREFIX
from broker.keyfile import read_log_keys
from broker.outside import Outside
from broker.settings import Settings
from broker.signer import LogSigner, read_end
from broker.store import lines, log, migrate
from broker.store.engine import Connection, DatabaseFault, Store
from broker.store.figures import FAILING, OVERDUE_MAX
from broker.store.webhooks import DEAD
from broker.survey import Survey, keys_ending, survey
from broker.witnesses import read_policy
from lintas import note
from lintas.directory import CONTROL_KINDS, Directory
from lintas.errors import BadSettings, Evidence, LogBehind, LogHalted, StorageUnreachable

OK, ATTENTION, BROKEN = "ok", "attention", "broken"
LEVELS = (OK, ATTENTION, BROKEN)

ROWS_MAX = 1_000
"""The newest rows that are derived again: enough to see a disk that fails now; `fsck` derives all."""

DISK_FREE_MIN = 2 * 1024**3
UNWITNESSED_S_MAX = 900
"""Witnesses look about once a minute; what a quorum has not seen for so long, it does not look at."""

ANSWER_S = 3.0
SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - asked at, not listened on
QUEUE_JOBS_MAX = 2_048


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the screen; `facts` are the same for a program."""

    name: str
    text: str
    level: str = OK
    facts: dict[str, Any] = field(default_factory=dict)


def examine(settings: Settings, *, now: int) -> list[Finding]:
    """Look at everything; raise BadSettings when there is no hub at the data directory."""
    keys = [each.verifier for each in read_log_keys(settings.log_key_file)]
    free = shutil.disk_usage(settings.data).free
    name, release = keys[0].name.partition("/log/")[0], version("lintas")
    found = [
        Finding("hub", f"{name}, version {release}", facts={"name": name, "version": release}),
        Finding(
            "directory",
            f"{settings.data}, {_size(free)} free",
            OK if free >= DISK_FREE_MIN else ATTENTION,
            {"path": str(settings.data), "free_bytes": free},
        ),
    ]
    store = Store(settings.database)
    try:
        found += _stored(settings, store, keys, now)
    except (DatabaseFault, StorageUnreachable) as fault:
        said = str(fault.__cause__ or fault)
        first = next(iter(said.splitlines()), type(fault).__name__)
        found.append(Finding("database", f"does not answer: {first}", BROKEN))
    finally:
        store.close()
    return [*found, *_served(settings, keys)]


def worst(found: list[Finding]) -> str:
    """Return the level of the whole."""
    return max((each.level for each in found), key=LEVELS.index, default=OK)


def _stored(settings: Settings, store: Store, keys: Sequence[note.VerifierKey], now: int) -> Iterator[Finding]:
    policy = read_policy(settings.witnesses, *keys)
    with store.read() as conn:
        kind = "Postgres" if store.is_shared else "SQLite"
        revision = migrate.revision(conn)
        if not migrate.is_current(conn):
            text = f"{kind}, at revision {revision}, which is not this version's: run `lintas-broker migrate`"
            yield Finding("database", text, BROKEN, {"kind": kind, "revision": revision})
            return
        found = survey(conn, policy, now=now, purge_after_days=settings.purge_after_days)
        text = f"{kind}, {_size(found.database_bytes)}, schema {revision}"
        yield Finding("database", text, facts={"kind": kind, "revision": revision, "size_bytes": found.database_bytes})
        yield from _log(settings, store, found, now)
        yield from _epoch(conn)
        yield _witnesses(found, now, asked=policy.quorum is not None)
        yield from _directory(conn, _replayed(conn), now)
        yield _webhooks(found)
        yield _purge(found)


def _log(settings: Settings, store: Store, found: Survey, now: int) -> Iterator[Finding]:
    unsigned = found.size - found.signed
    text = f"{found.size} events, the newest signed one {_ago(now - found.signed_at)}"
    if unsigned:
        text += f"; {unsigned} are under no checkpoint"
    yield Finding("log", text, ATTENTION if unsigned else OK, {"events": found.size, "unsigned": unsigned})
    yield Finding("checkpoint", *_checkpoint(settings, store), {"size": found.signed, "signed_at": found.signed_at})


def _epoch(conn: Connection) -> Iterator[Finding]:
    former = read_end(conn)
    if former is None:
        return
    origin, size = former.log_key.name, former.tree().size
    yield Finding("epoch", f"{origin} ended at {size} entries", facts={"former": origin, "former_size": size})


def _checkpoint(settings: Settings, store: Store) -> tuple[str, str]:
    outside = Outside(settings.checkpoint)
    try:
        keys = read_log_keys(settings.log_key_file)
        LogSigner(store, keys[0], outside, lambda: keys).start(rows_max=ROWS_MAX)
    except LogBehind as behind:
        return f"READ-ONLY: {behind}", BROKEN
    except (LogHalted, Evidence) as fault:
        return f"DOES NOT VERIFY: {fault}", BROKEN
    except BadSettings as fault:
        return str(fault), BROKEN
    if outside.read() is None:
        return f"verifies; none is kept outside the database yet ({settings.checkpoint})", ATTENTION
    return f"verifies, and extends the one outside the database ({settings.checkpoint})", OK


def _witnesses(found: Survey, now: int, *, asked: bool) -> Finding:
    if not asked:
        return Finding("witnesses", "none are asked for (LINTAS_WITNESSES)", facts={"quorum": False})
    lag = 0 if found.unwitnessed_since is None else max(0, now - found.unwitnessed_since)
    witnessed = found.witnessed or 0
    text = f"a quorum cosigned {witnessed} of {found.size} events"
    if found.size > witnessed:
        text += f"; the first it has not seen is {_span(lag)} old"
    facts = {"quorum": True, "witnessed": witnessed, "lag_s": lag}
    return Finding("witnesses", text, ATTENTION if lag > UNWITNESSED_S_MAX else OK, facts)


def _replayed(conn: Connection) -> Directory:
    rows = log.events_of_kinds(conn, CONTROL_KINDS, after=-1)
    return replay(rows, lines.by_ids(conn, {row.object for row in rows if row.object is not None}))


def _directory(conn: Connection, directory: Directory, now: int) -> Iterator[Finding]:
    suspended = sorted(each.id for each in directory.partners.values() if each.suspended)
    text = f"{len(directory.partners)} agencies, {len(directory.admins)} administrators"
    text += "" if not suspended else f"; suspended: {', '.join(suspended)}"
    alone = not directory.two_person
    text += "; ONE PERSON DECIDES: enrol a second administrator" if alone else ""
    facts = {"agencies": len(directory.partners), "administrators": len(directory.admins), "suspended": suspended}
    yield Finding("partners", text, ATTENTION if alone else OK, facts)
    ending = keys_ending(directory, now)
    named = ", ".join(f"{party} on {_day(end)}" for party, end in ending)
    yield Finding(
        "keys",
        f"the last keys of these end within 30 days: {named}" if ending else "none ends within 30 days",
        ATTENTION if ending else OK,
        {"ending": [{"party": party, "end": _day(end)} for party, end in ending]},
    )
    pending = sorted(key.party for key in directory.keys.values() if key.state(now) == "pending" and not key.parent)
    orders = approvals.waiting(conn, now=now)
    text = f"{len(pending)} keys and {len(orders)} orders wait for an administrator"
    text += f": keys of {', '.join(pending)}" if pending else ""
    waits = bool(pending or orders)
    yield Finding("approvals", text, ATTENTION if waits else OK, {"keys": pending, "orders": sorted(orders)})


def _webhooks(found: Survey) -> Finding:
    text = ", ".join(f"{count} {state}" for state, count in found.webhooks.items())
    is_bad = found.webhooks[DEAD] or found.webhooks[FAILING]
    return Finding("webhooks", text, ATTENTION if is_bad else OK, dict(found.webhooks))


def _purge(found: Survey) -> Finding:
    more = " or more" if found.overdue == OVERDUE_MAX else ""
    text = f"{found.overdue}{more} bulletins are two days past their purge" if found.overdue else "nothing is overdue"
    return Finding("purge", text, ATTENTION if found.overdue else OK, {"overdue": found.overdue})


# --- what the serving process says ---


def _served(settings: Settings, keys: Sequence[note.VerifierKey]) -> Iterator[Finding]:
    host = ANYWHERE.get(settings.host, settings.host)
    told = _ask(host, settings.port, "/.well-known/lintas")
    place = f"{host}:{settings.port}"
    if told is None:
        yield Finding("serving", f"no: nothing answers at {place}", ATTENTION, {"serving": False})
        return
    if _members(told[1]).get("log_key") not in {key.text() for key in keys}:
        yield Finding("serving", f"no: another program answers at {place}", ATTENTION, {"serving": False})
        return
    ready = _ask(host, settings.port, "/readyz")
    status, members = (0, {}) if ready is None else (ready[0], _members(ready[1]))
    is_ready = status == 200  # noqa: PLR2004 - RFC 9110 names it
    why = "" if is_ready else f": {members.get('detail') or members.get('title') or 'no answer'}"
    level = OK if is_ready else BROKEN if str(members.get("type", "")).endswith(":read-only") else ATTENTION
    yield Finding(
        "serving",
        f"at {place}, {'ready' if is_ready else 'NOT READY'}{why}",
        level,
        {"serving": True, "ready": is_ready, "why": why.removeprefix(": ")},
    )
    if settings.metrics is not None:
        yield _load(settings.metrics)


def _load(address: tuple[str, int]) -> Finding:
    told = _ask(ANYWHERE.get(address[0], address[0]), address[1], "/metrics")
    if told is None:
        return Finding("load", "no figures at LINTAS_METRICS", ATTENTION)
    figures = dict(line.rsplit(" ", 1) for line in told[1].decode().splitlines() if not line.startswith("#"))
    wanted = ("queue_jobs", "connections", "streams", "waiting_requests", "database_errors_total")
    facts = {name: int(float(figures.get(PREFIX + name, "0"))) for name in wanted}
    text = "{queue_jobs} jobs queued, {connections} connections, {streams} streams, {waiting_requests} waiting requests"
    errors = facts["database_errors_total"]
    text = text.format(**facts) + (f", {errors} errors of the database since its start" if errors else "")
    return Finding("load", text, ATTENTION if facts["queue_jobs"] > QUEUE_JOBS_MAX else OK, facts)


def _ask(host: str, port: int, path: str) -> tuple[int, bytes] | None:
    connection = HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _members(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- words ---


def show(found: list[Finding], write: Callable[[str], object]) -> None:
    """Write one line a finding; what is not in order is marked at its beginning."""
    marks = {OK: "  ", ATTENTION: "! ", BROKEN: "X "}
    for each in found:
        write(f"{marks[each.level]}{each.name:<11} {each.text}")


def as_json(found: list[Finding]) -> dict[str, Any]:
    """Return the same for a program."""
    return {
        "level": worst(found),
        "findings": {each.name: {"level": each.level, "text": each.text, **each.facts} for each in found},
    }


def _size(size_bytes: float) -> str:
    unit = 0
    while size_bytes >= 1024 and unit < len(SIZES) - 1:  # noqa: PLR2004 - what the units say
        size_bytes, unit = size_bytes / 1024, unit + 1
    return f"{size_bytes:.0f} {SIZES[unit]}" if unit == 0 else f"{size_bytes:.1f} {SIZES[unit]}"


def _span(seconds: int) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"


def _ago(seconds: int) -> str:
    return f"{_span(max(0, seconds))} ago"


def _day(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}"

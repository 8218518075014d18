"""The page about the running of the hub, for operators: version, queue, storage, settings, witnesses.

The same figures as `/metrics` and `lintas-broker status`, of this process. Settings are shown by name with a digest, so
that two replicas can be compared; a value that could hold a secret or an address is never shown.
"""

from __future__ import annotations

import hmac
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response

from broker.auth import TOKEN_LIFE_S_MAX
from broker.delivery import in_reader
from broker.hub import Hub
from broker.settings import PREFIX, Settings
from broker.store import migrate
from broker.store.engine import Connection
from broker.store.figures import OVERDUE_MAX
from broker.survey import Survey, survey
from broker.web.bulletins import BATCH_BYTES_MAX, BATCH_LINES_MAX, PAGE_MAX
from broker.web.console.attention import UNWITNESSED_S_MAX
from broker.web.console.rendering import Page, render
from broker.web.console.session import operator_visitor, record_view, visitor_of
from broker.web.http import hub_of
from broker.writer import read_only
from lintas.header import LINE_BYTES_MAX

SHOWN = frozenset(
    {"port", "log_level", "log_format", "drain_s", "purge_after_days", "rate_factor", "webhook_allow", "trusted_proxy"}
)
"""Settings whose value says nothing that an attacker wants; of the others only that they are set."""

DIGEST_CHARACTERS = 16
DISK_FREE_MIN = 2 * 1024**3

OK, WARN, BAD = "ok", "warn", "bad"
SIZES = ("B", "KiB", "MiB", "GiB", "TiB")

router = APIRouter(route_class=Page)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the page: a name, a value, in words what it means if it is not in order."""

    name: str
    value: str
    tone: str = OK
    note: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its name, its value if it may be seen, the beginning of the digest of its value."""

    name: str
    value: str | None
    digest: str


@router.get("/console/system")
async def system(request: Request) -> Response:
    """Show how this process and the hub do; operators alone see it."""
    visitor = operator_visitor(await visitor_of(request))
    hub = hub_of(request)
    await record_view(hub, visitor, "system")
    found, revision = await in_reader(hub, lambda conn: _read(conn, hub))
    settings = settings_of(hub.settings, hub.secret.index_key)
    return render(
        request,
        "system.html",
        groups=[
            ("Process", process_facts(hub, request.app.state.streams.open_count)),
            ("Log and witnesses", log_facts(found, hub, hub.now())),
            ("Storage", storage_facts(found, hub, revision)),
            ("Limits", limit_facts()),
        ],
        settings=settings,
        digest=digest_of(settings, hub.secret.index_key),
        witnesses=sorted(hub.witnesses.witnesses),
    )


def _read(conn: Connection, hub: Hub) -> tuple[Survey, str | None]:
    days = hub.settings.purge_after_days
    return survey(conn, hub.witnesses, now=hub.now(), purge_after_days=days), migrate.revision(conn)


def process_facts(hub: Hub, streams: int) -> list[Fact]:
    """Return how this process does."""
    halted = hub.writer.halted
    state = (
        Fact("State", "accepting and serving")
        if halted is None
        else Fact("State", "read-only", BAD, str(read_only(halted)))
    )
    if halted is None and hub.wakeup.is_leaving:
        state = Fact("State", "leaving", WARN, "It sends its readers elsewhere and stops soon.")
    return [
        Fact("Version", version("lintas")),
        state,
        Fact("Jobs in the queue", str(hub.writer.depth)),
        Fact("Commits since its start", str(hub.tally.commits)),
        Fact("Open streams", str(streams)),
        Fact("Waiting requests", str(hub.wakeup.waiting)),
        *replica_facts(hub),
    ]


def replica_facts(hub: Hub) -> list[Fact]:
    """Return how it stands to other replicas."""
    if not hub.store.is_shared:
        return [Fact("Replicas", "one process alone, on SQLite")]
    hearing = hub.replica.is_hearing
    note = "" if hearing else "It looks at the log before each answer."
    return [
        Fact("Replicas", "hears the others" if hearing else "does not hear the others", OK if hearing else WARN, note),
        Fact("Leading", "yes: it calls webhooks" if hub.replica.is_leading else "no, another replica does"),
    ]


def log_facts(found: Survey, hub: Hub, now: int) -> list[Fact]:
    """Return how far the log is signed and witnessed."""
    unsigned = max(0, found.size - found.signed)
    facts = [
        Fact("Entries", f"{found.size:,}".replace(",", "\u202f")),
        Fact("Under no checkpoint", str(unsigned), WARN if unsigned else OK),
        Fact("Signed by", hub.signer.verifier.text()),
    ]
    if found.witnessed is None:
        return [*facts, Fact("Quorum", "none is asked for", WARN, "Set LINTAS_WITNESSES to a policy.")]
    lag = 0 if found.unwitnessed_since is None else max(0, now - found.unwitnessed_since)
    late = lag > UNWITNESSED_S_MAX
    note = f"the first it has not seen is {lag} seconds old" if lag else ""
    return [*facts, Fact("Witnessed by the quorum", f"{found.witnessed} of {found.size}", BAD if late else OK, note)]


def storage_facts(found: Survey, hub: Hub, revision: str | None) -> list[Fact]:
    """Return what the database takes and what waits in it."""
    free = shutil.disk_usage(hub.settings.data).free
    more = " or more" if found.overdue == OVERDUE_MAX else ""
    faults = hub.store.faults
    return [
        Fact("Database", "Postgres" if hub.store.is_shared else "SQLite"),
        Fact("Schema", revision or "none"),
        Fact("Size", size(found.database_bytes)),
        Fact("Room left", size(free), OK if free >= DISK_FREE_MIN else BAD),
        Fact("Connections at work", str(hub.store.in_use)),
        Fact(
            "Faults of the database", str(faults), WARN if faults else OK, "since this process began" if faults else ""
        ),
        Fact("Past their purge", f"{found.overdue}{more}", WARN if found.overdue else OK),
        Fact("Webhooks", ", ".join(f"{count} {state}" for state, count in found.webhooks.items())),
    ]


def limit_facts() -> list[Fact]:
    """Return what everyone is held to."""
    lines = ", ".join(f"{typ.removeprefix('vnd.lintas.')} {size(most)}" for typ, most in LINE_BYTES_MAX.items())
    return [
        Fact("Line", lines),
        Fact("Batch", f"{BATCH_LINES_MAX} lines, {size(BATCH_BYTES_MAX)}"),
        Fact("Page of a feed", f"{PAGE_MAX} rows"),
        Fact("Life of a token", f"{TOKEN_LIFE_S_MAX} s"),
    ]


def settings_of(settings: Settings, key: bytes) -> list[Setting]:
    """Return every setting by the name it has in the environment; digests are under a key that replicas share."""
    found = []
    for each in fields(settings):
        value = getattr(settings, each.name)
        shown = _written(value) if each.name in SHOWN else None
        found.append(Setting(f"{PREFIX}{each.name.upper()}", shown, _digest(key, _written(value))))
    return found


def digest_of(settings: Sequence[Setting], key: bytes) -> str:
    """Return one digest of all of them: equal for replicas that are set alike."""
    return _digest(key, json.dumps([(each.name, each.digest) for each in settings]))


def size(size_bytes: float) -> str:
    """Write a size in the unit that fits."""
    unit = 0
    while size_bytes >= 1024 and unit < len(SIZES) - 1:  # noqa: PLR2004 - what the units say
        size_bytes, unit = size_bytes / 1024, unit + 1
    return f"{size_bytes:.0f} {SIZES[unit]}" if unit == 0 else f"{size_bytes:.1f} {SIZES[unit]}"


def _written(value: Any) -> str:
    if value is None or value == ():
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _digest(key: bytes, text: str) -> str:
    # Under the hub's own key: a password of few characters could be found from a plain digest.
    return hmac.digest(key, b"lintas-setting\0" + text.encode(), "sha256").hex()[:DIGEST_CHARACTERS]

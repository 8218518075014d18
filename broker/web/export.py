"""Events of the log as files that other programs read: JSON Lines, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi.responses import StreamingResponse

from broker.delivery import in_reader
from broker.hub import Hub
from broker.store import log
from broker.store.engine import Connection
from broker.web.http import LINES_MEDIA, PRIVATE, rfc3339
from lintas.event import KINDS

ROWS_AT_ONCE = 1_000
CSV_COLUMNS = ("seq", "time", "kind", "outcome", "party", "party_seq", "object", "detail")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

ReadPart = Callable[[Connection, int, int], list[log.EventRow]]
"""Reads events with seq below the first number, newest first, at most the second."""


def exported(hub: Hub, read: ReadPart, form: str, before: int) -> StreamingResponse:
    """Stream every event that `read` gives below an index, as `csv` or `jsonl`; the file is named by its record."""
    write = _csv_rows if form == "csv" else _json_rows
    media = "text/csv; charset=utf-8" if form == "csv" else LINES_MEDIA
    name = f"lintas-events-{before - 1}.{form}"
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_stream(hub, read, before, write), headers=headers, media_type=media)


def event_members(row: log.EventRow) -> dict[str, Any]:
    """Return an event as administrators are shown it."""
    return {
        "seq": row.seq,
        "time": rfc3339(row.time),
        "kind": row.kind,
        "outcome": KINDS[row.kind],
        "party": row.party,
        "party_seq": row.party_seq,
        "object": row.object,
        "detail": None if row.body is None else json.loads(row.body)["detail"],
    }


async def _stream(
    hub: Hub, read: ReadPart, before: int, write: Callable[[Sequence[log.EventRow]], str]
) -> AsyncIterator[bytes]:
    if write is _csv_rows:
        yield (",".join(CSV_COLUMNS) + "\r\n").encode()
    while True:
        top = before
        rows = await in_reader(hub, lambda conn, top=top: read(conn, top, ROWS_AT_ONCE))  # type: ignore[misc]
        yield write(rows).encode()
        if len(rows) < ROWS_AT_ONCE:
            return
        before = rows[-1].seq


def _json_rows(rows: Sequence[log.EventRow]) -> str:
    return "".join(json.dumps(event_members(row), ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def _csv_rows(rows: Sequence[log.EventRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        members = event_members(row) | {"detail": json.dumps(event_members(row)["detail"], ensure_ascii=False)}
        writer.writerow([_defused(members[name]) for name in CSV_COLUMNS])
    return text.getvalue()


def _defused(value: object) -> object:
    # A spreadsheet runs what starts like a formula; an apostrophe makes it text.
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return value

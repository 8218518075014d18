"""Posting the incidents of the piracy data set from the maritime agency of each state.

Interrupted at any moment and run again, it posts nothing twice: each row has a tag of its own, the outbox beside each
identity keeps the signed bytes under that tag before they are sent, and the hub knows the same bytes again.

How-to: docs/howto/report-incidents.md
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import click

from clients.scripts.incidents import COLUMNS, BadTable, Incident, Reject, desks_of, read_incidents
from clients.settings import read_ca, read_passphrase
from lintas import Client, LintasError, vocabulary
from lintas.state import REFUSED, SENT
from lintas.wire import BATCH_LINES_MAX

EXIT_INCOMPLETE = 1
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

Advance = Callable[[int], None]


@dataclass(slots=True)
class Tally:
    """What became of one agency's incidents. Written by `post` alone."""

    now: int = 0
    before: int = 0
    refused: list[tuple[Incident, str]] = field(default_factory=list)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """What a file holds: incidents by issuing agency, and the rows that cannot be used."""

    incidents: dict[str, list[Incident]]
    rejects: list[Reject]

    @property
    def used(self) -> int:
        """The number of incidents."""
        return sum(len(each) for each in self.incidents.values())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("table", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--identities", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--passphrase-file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--hub", help="Address of the hub; the one in each identity without it.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first so many usable rows.")
@click.option("--rejects", type=click.Path(path_type=Path, dir_okay=False), help="Write the unusable rows to this CSV.")
def main(
    *, table: Path, identities: Path, passphrase_file: Path, hub: str | None, limit: int | None, rejects: Path | None
) -> None:
    """Post the incidents of TABLE, each from the maritime agency of its state.

    Interrupt it when you like and run it again: nothing is posted twice.
    Exit code 0 when the hub has every usable row, 1 when not, 2 for wrong usage.

    \b
    Example: python -m clients.scripts.report_incidents pirate_attacks.csv \\
               --identities hub/agencies --passphrase-file hub/passphrase --hub http://127.0.0.1:8470
    """
    try:
        found = read_table(table, limit=limit)
        if rejects is not None:
            write_rejects(rejects, found.rejects)
        tallies = post_all(found, identities, read_passphrase(passphrase_file), hub)
    except (BadTable, LintasError) as fault:
        raise click.ClickException(str(fault)) from fault
    click.echo(summary(found, tallies))
    if any(each.refused or each.waiting for each in tallies.values()):
        sys.exit(EXIT_INCOMPLETE)


def read_table(path: Path, *, limit: int | None = None) -> Table:
    """Read a file, and of it only the first `limit` usable rows; raise BadTable when it is not of the data set."""
    found = Table({}, [])
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for each in read_incidents(file, desks_of(vocabulary.load())):
                if isinstance(each, Reject):
                    found.rejects.append(each)
                elif limit is None or found.used < limit:
                    found.incidents.setdefault(each.issuer, []).append(each)
    except UnicodeDecodeError as fault:
        raise BadTable(f"{path} is not UTF-8 text: {fault.reason}.") from fault
    return found


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write rejected rows as CSV: line, reason, detail, then the row, safe to open in a spreadsheet."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("line", "reason", "detail", *COLUMNS))
        for each in rejects:
            cells = (inert(each.row.cells[name]) for name in COLUMNS)
            writer.writerow((each.row.line, each.reason, inert(each.detail), *cells))


def inert(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; numbers stay as they are."""
    if not cell.startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def post_all(table: Table, identities: Path, passphrase: bytes, hub: str | None) -> dict[str, Tally]:
    """Post every incident as its agency; nothing is sent before every identity is known to be there."""
    paths = {agency: identities / f"{agency}.json" for agency in sorted(table.incidents)}
    for agency, path in paths.items():
        if not path.is_file():
            raise click.UsageError(f"There is no identity of {agency} at {path}.")
    tallies = {}
    with click.progressbar(length=table.used, label="posting", file=sys.stderr) as bar:
        for agency, path in paths.items():
            with Client.open(path, passphrase, hub=hub, ca=read_ca()) as client:
                client.sync()
                tallies[agency] = post(client, table.incidents[agency], bar.update)
    return tallies


def post(client: Client, incidents: Sequence[Incident], advance: Advance) -> Tally:
    """Post incidents as one agency, a batch at a time: signed and kept in one transaction, then sent."""
    tally = Tally()
    rest = iter(incidents)
    while batch := list(islice(rest, BATCH_LINES_MAX)):
        sent_before = {each.tag for each in batch if _state(client, each.tag) == SENT}
        with client.session.state.transaction():
            for each in batch:
                client.enqueue(each.draft, tag=each.tag)
        client.flush()
        for each in batch:
            _count(client, each, tally, was_sent=each.tag in sent_before)
        advance(len(batch))
    return tally


def summary(table: Table, tallies: dict[str, Tally]) -> str:
    """Return what was posted by agency, and the rejected rows by reason."""
    rows = [("agency", "posted now", "before", "refused", "waiting")]
    rows += [
        (agency, f"{each.now:,}", f"{each.before:,}", f"{len(each.refused):,}", f"{each.waiting:,}")
        for agency, each in tallies.items()
    ]
    told = [f"{row[0]:16}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows]
    reasons = Counter(each.reason for each in table.rejects)
    concerned = table.used + sum(each.row.state is not None for each in table.rejects)
    told += ["", f"{concerned:,} rows concern ASEAN states; {table.used:,} of them used"]
    told += [f"{count:>8,} rejected: {reason}" for reason, count in sorted(reasons.items())]
    told += [
        f"line {incident.row.line}: {agency} refused: {problem}"
        for agency, each in tallies.items()
        for incident, problem in each.refused
    ]
    return "\n".join(told)


def _count(client: Client, incident: Incident, tally: Tally, *, was_sent: bool) -> None:
    kept = client.session.state.by_tag(incident.tag)
    assert kept is not None
    if kept.state == REFUSED:
        tally.refused.append((incident, kept.problem or "refused"))
    elif kept.state != SENT:
        tally.waiting += 1
    elif was_sent:
        tally.before += 1
    else:
        tally.now += 1


def _state(client: Client, tag: str) -> str | None:
    kept = client.session.state.by_tag(tag)
    return None if kept is None else kept.state


if __name__ == "__main__":
    main()

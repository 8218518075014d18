"""The command that drafts bulletins from files of other tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from clients.show import safe
from lintas import misp, stix, vocabulary
from lintas.errors import BadRequest
from lintas.imported import INPUT_BYTES_MAX, Choices, Import, read_members
from lintas.strict import Json

EXIT_INCOMPLETE = 5
"""Drafts were written, and something of the file is not in them."""

KNOWN = vocabulary.load()
DEFAULTS = Choices()


@click.command("draft")
@click.option("--from", "file", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", default=".", type=click.Path(path_type=Path, file_okay=False), help="Folder for the drafts.")
@click.option("--to", "release_to", multiple=True, help="An agency or community that shall receive it; repeat.")
@click.option("--topic", type=click.Choice(sorted(KNOWN.topics)), help="The topic; files of others name none.")
@click.option("--tlp", type=click.Choice(vocabulary.TLP), help="The marking, where the file has none or a wider one.")
@click.option("--kind", default=DEFAULTS.kind, show_default=True, type=click.Choice(sorted(KNOWN.kinds)))
@click.option("--urgency", default=DEFAULTS.urgency, show_default=True, type=click.Choice(sorted(KNOWN.urgencies)))
@click.option("--valid-for", default=DEFAULTS.valid_for, show_default=True, help="How long it stands: P30D, PT6H.")
@click.option("--title", help="The title, where the file has none that fits.")
def draft(*, file: Path, out: Path, release_to: tuple[str, ...], **chosen: str | None) -> None:
    """Draft bulletins from a STIX 2.1 bundle or a MISP event; list what could not be carried over.

    Read each draft before you publish it. Nothing is sent. Exit code 5 when something is left out, 0 when nothing is.

    \b
    Example: lintas draft --from report.json --topic cyber.scam --tlp AMBER --to cert-net
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    with file.open("rb") as source:
        # One byte past the limit is enough to know that it is past it.
        members = read_members(source.read(INPUT_BYTES_MAX + 1))
    found = read_any(members, Choices(release_to=release_to, **given))
    for each in found.omitted:
        click.echo(f"not carried over: {safe(each.where)}: {safe(each.why)}", err=True)
    if not found.drafts:
        raise BadRequest("Nothing in the file can stand in a bulletin. Write the draft by hand.", member=file.name)
    for path in write(found.drafts, file.name.partition(".")[0], out):
        click.echo(path)
    if found.omitted:
        click.echo(f"{len(found.omitted)} things are not in the drafts", err=True)
        sys.exit(EXIT_INCOMPLETE)


def read_any(members: Json, choices: Choices) -> Import:
    """Read a file of either format; raise BadRequest when it is neither."""
    if members.get("type") == "bundle":
        return stix.read_bundle(members, choices)
    if misp.is_event(members):
        return misp.read_events(members, choices)
    raise BadRequest("The file is neither a STIX bundle (`type` is `bundle`) nor a MISP event (`Event`).")


def write(drafts: tuple[Json, ...], name: str, out: Path) -> list[Path]:
    """Write drafts into a folder, never over a file that is there; return their paths."""
    suffixes = [f"-{number}" if len(drafts) > 1 else "" for number in range(1, len(drafts) + 1)]
    paths = [out / f"{name}{suffix}.draft.json" for suffix in suffixes]
    for path in paths:
        if path.exists():
            raise click.UsageError(f"{path} exists; a draft is never overwritten. Name another folder with --out.")
    out.mkdir(parents=True, exist_ok=True)
    for path, each in zip(paths, drafts, strict=True):
        path.write_text(json.dumps(each, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return paths

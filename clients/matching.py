"""The commands `lintas interest ...` with `lintas watch ...`: who else looks for the same, what of the feed has it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from clients.acting import acting
from clients.arguments import IdCommand
from clients.show import moment, print_received, print_table, received_members
from lintas.errors import MalformedPayload
from lintas.matching import Interest, Value
from lintas.orders import INTEREST_S_MAX, MODES
from lintas.strict import parse_object

DAY_S = 86_400
DAYS_DEFAULT = 90
DAYS_MAX = INTEREST_S_MAX // DAY_S

file_argument = click.argument(
    "file", required=False, type=click.Path(path_type=Path, allow_dash=True, exists=True, dir_okay=False)
)
indicator_option = click.option("--indicator", "given", multiple=True, help="TYPE:VALUE, such as phone:+6542995883.")


@click.group()
def interest() -> None:
    """Learn whether another agency looks for the same, without showing what you know.

    \b
    lintas interest add --indicator phone:+6542995883 --mode contact --case-ref SIM-26-7
    lintas interest list
    lintas interest end ID
    """


@interest.command()
@file_argument
@indicator_option
@click.option("--mode", required=True, type=click.Choice(sorted(MODES)), help="What others may be told of you.")
@click.option("--case-ref", required=True, help="Your case; told to others with mode `open` alone.")
@click.option("--days", default=DAYS_DEFAULT, show_default=True, type=click.IntRange(1, DAYS_MAX), help="It stands.")
def add(file: Path | None, given: tuple[str, ...], *, mode: str, case_ref: str, days: int) -> None:
    """Register an interest. The hub answers the same whatever others look for; results come within a minute.

    FILE has one TYPE:VALUE a line, or is a bulletin's draft, whose indicators are taken.

    \b
    Example: lintas interest add numbers.txt --mode contact --case-ref SIM-26-7 --days 30
    """
    values = _values(file, given)
    if not values:
        raise click.UsageError("Name at least one indicator: a FILE, or --indicator TYPE:VALUE.")
    with acting() as client:
        answer = client.register_interest(values, mode=mode, case_ref=case_ref, for_s=days * DAY_S)
    click.echo(f"registered at index {answer.seq}: results within a minute, see `lintas interest list`")
    click.echo(f"id  {answer.id}")


@interest.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_command(*, as_json: bool) -> None:
    """List your interests, and which agencies look for the same.

    \b
    Example: lintas interest list --json
    """
    with acting() as client:
        found = client.interests()
    for each in found:
        click.echo(json.dumps(interest_members(each), ensure_ascii=False)) if as_json else print_interest(each)
    if not found and not as_json:
        click.echo("no interest stands", err=True)


@interest.command(cls=IdCommand)
@click.argument("interest_id")
def end(interest_id: str) -> None:
    """End an interest: it matches no more, and its results are forgotten. What others were told stays.

    \b
    Example: lintas interest end dGhpcyBpcyBhbiBleGFtcGxl...
    """
    with acting() as client:
        answer = client.end_interest(interest_id)
    click.echo(f"ended at index {answer.seq}")


@click.group()
def watch() -> None:
    """Keep lists of indicators, and see which bulletins of your feed have them.

    \b
    lintas watch set case-26-7 numbers.txt
    lintas watch show case-26-7
    """


@watch.command("set")
@click.argument("name")
@file_argument
@indicator_option
@click.option("--remove", is_flag=True, help="Remove the list.")
def set_command(name: str, file: Path | None, given: tuple[str, ...], *, remove: bool) -> None:
    """Set a list; it replaces the former one.

    NAME is for your desk: name the case, never a person. FILE is as for `lintas interest add`.

    \b
    Example: lintas watch set case-26-7 --indicator phone:+6542995883
    """
    values = _values(file, given)
    if remove == bool(values):
        raise click.UsageError("Name the indicators of the list, or --remove it.")
    with acting() as client:
        answer = client.set_watch(name, values)
    click.echo(f"{name}: removed" if remove else f"{name}: set at index {answer.seq}")


@watch.command("list")
def watches_command() -> None:
    """List your watch lists.

    \b
    Example: lintas watch list
    """
    with acting() as client:
        found = client.watches()
    print_table(("watch list", "indicators"), [(name, str(count)) for name, count in found.items()])


@watch.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(name: str, *, as_json: bool) -> None:
    """Show the bulletins that you may read and that have an indicator of the list.

    \b
    Example: lintas watch show case-26-7
    """
    with acting() as client:
        for item in client.watched(name):
            if as_json:
                click.echo(json.dumps(received_members(item), ensure_ascii=False))
            else:
                print_received(item)


def interest_members(found: Interest) -> dict[str, Any]:
    """Return an interest as one JSON object for scripts."""
    return {
        "id": found.id,
        "mode": found.mode,
        "case_ref": found.case_ref,
        "until": moment(found.until),
        "checked": found.is_checked,
        "indicators": [{"type": kind, "value": value} for kind, value in found.values],
        "told": [
            {"type": each.type, "value": each.value, "agency": each.agency, "case_ref": each.case_ref}
            for each in found.told
        ],
    }


def print_interest(found: Interest) -> None:
    """Print an interest: what was asked, who has the same."""
    state = f"{len(found.told)} told" if found.is_checked else "results within a minute"
    click.echo(f"{found.id}  {found.mode}  {found.case_ref}  until {moment(found.until)}  {state}")
    rows = [(each.type, each.value, each.agency, each.case_ref or "ask them") for each in found.told]
    print_table(("  indicator", "value", "also", "case"), [(f"  {row[0]}", *row[1:]) for row in rows])


def _values(file: Path | None, given: Iterable[str]) -> list[Value]:
    lines = [*(_lines(file) if file is not None else ()), *given]
    return [_value(each) for each in lines]


def _lines(file: Path) -> list[str]:
    with click.open_file(str(file), encoding="utf-8") as text:
        data = text.read()
    if not data.lstrip().startswith("{"):
        return [line.strip() for line in data.splitlines() if line.strip()]
    try:
        draft = parse_object(data.encode(), floats=True)
        listed = draft.get("payload", draft)["indicators"]
        return [f"{each['type']}:{each['value']}" for each in listed]
    except (ValueError, KeyError, TypeError) as fault:
        raise MalformedPayload(f"{file} is neither a list of TYPE:VALUE nor a draft with indicators.") from fault


def _value(text: str) -> Value:
    kind, colon, value = text.partition(":")
    if not colon or not value:
        raise MalformedPayload(f"{text[:80]!r} is not TYPE:VALUE, such as phone:+6542995883.")
    return kind.strip(), value.strip()

"""The commands `lintas admin ...`: what administrators sign or read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from clients.acting import prompt
from clients.arguments import IdCommand
from clients.exchange import print_duties_as_json
from clients.settings import open_client, read_settings
from clients.show import confirm, moment, print_table, safe
from lintas.client import Client
from lintas.errors import NotFound, Unverified
from lintas.keys import write_private
from lintas.orders import REASONS, Order
from lintas.wire import Answer

TIME = click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"])
"""A time in UTC, as its commands say."""

_TIMES = ("before", "since")

DAY_S = 86_400
LOG_OVERLAP_DAYS = 14
"""Lintas clients cross by themselves at any time; this is for whoever checks checkpoints with a key in a script."""


@click.group()
def admin() -> None:
    """Invite, approve, revoke, suspend, grant; read the audit log.

    \b
    lintas admin invite my-police --out invite.json
    lintas admin approve my-police FINGERPRINT
    lintas admin pending
    lintas admin countersign ORDER
    lintas admin events --outcome refused
    """


@admin.command()
@click.argument("party")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where to write it (0600).")
def invite(party: str, out: Path) -> None:
    """Invite an agency (or admin/NAME) to enrol a key; hand the file over on a safe way.

    \b
    Example: lintas admin invite my-police --out invite.json
    """
    with _admin() as client:
        answer = client.order("invite", {"agency": party})
        if _needs_second(answer):
            return
        _write_letter(client, party, answer, out)


@admin.command(cls=IdCommand)
@click.argument("party")
@click.argument("kid")
def approve(party: str, kid: str) -> None:
    """Approve a key whose fingerprint you compared over another channel.

    \b
    Example: lintas admin approve my-police 0wXbAvVq...
    """
    _order("approve", agency=party, kid=kid)


@admin.command(cls=IdCommand)
@click.argument("party")
@click.argument("kid")
@click.option("--reason", required=True, type=click.Choice(sorted(REASONS)), help="Why (RFC 5280).")
@click.option("--since", type=TIME, help="UTC time since when the key may not be trusted; default now.")
def revoke(party: str, kid: str, reason: str, since: datetime | None) -> None:
    """Revoke the key of a party.

    \b
    Example: lintas admin revoke my-police 0wXbAvVq... --reason keyCompromise --since 2026-11-20T00:00:00Z
    """
    with _admin() as client:
        begun = client.session.now() if since is None else int(since.replace(tzinfo=UTC).timestamp())
        _report(client.order("revoke", {"agency": party, "kid": kid, "reason": reason, "since": begun}))


@admin.command()
@click.argument("party")
@click.option("--reason", required=True, help="Why, in a few words.")
def suspend(party: str, reason: str) -> None:
    """Suspend a partner: it can still send and fetch recalls, nothing else.

    \b
    Example: lintas admin suspend my-police --reason "desk closed"
    """
    _order("suspend", agency=party, reason=reason)


@admin.command()
@click.argument("party")
def resume(party: str) -> None:
    """End a suspension.

    \b
    Example: lintas admin resume my-police
    """
    _order("resume", agency=party)


@admin.command()
@click.argument("agency")
@click.option("--publish", multiple=True, help="A topic it may publish; repeat, or `*`.")
@click.option("--read", multiple=True, help="A topic it may read; repeat, or `*`.")
def grant(agency: str, publish: tuple[str, ...], read: tuple[str, ...]) -> None:
    """Set what an agency may publish and read; it replaces the former grant.

    \b
    Example: lintas admin grant my-cert --publish cyber --read "*"
    """
    _order("grant", agency=agency, publish=sorted({*publish}), read=sorted({*read}))


@admin.command()
@click.argument("agency")
@click.argument("tlp", type=click.Choice(["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]))
def ceiling(agency: str, tlp: str) -> None:
    """Set the highest marking an agency may publish and read.

    \b
    Example: lintas admin ceiling my-cert AMBER
    """
    _order("ceiling", agency=agency, tlp=tlp)


@admin.command()
@click.argument("name")
@click.argument("members", nargs=-1)
def community(name: str, members: tuple[str, ...]) -> None:
    """Set the members of a community; none removes it.

    \b
    Example: lintas admin community fiu-net id-fiu my-fiu sg-fiu
    """
    _order("community", name=name, members=sorted({*members}))


@admin.command()
@click.option("--before", type=TIME, required=True, help="UTC time; at least a day ago.")
def purge(before: datetime) -> None:
    """Order that the content of everything that ended before a time is purged; the log keeps its proofs.

    \b
    Example: lintas admin purge --before 2026-11-20T00:00:00Z
    """
    _order("purge", before=int(before.replace(tzinfo=UTC).timestamp()))


@admin.command("log-key")
@click.argument("key")
@click.option(
    "--overlap-days",
    default=LOG_OVERLAP_DAYS,
    show_default=True,
    type=click.IntRange(1, 30),
    help="The former key signs beside it for so long.",
)
def log_key(key: str, overlap_days: int) -> None:
    """Order that the log is signed with a new key, made with `lintas-broker log-key new`.

    Take its line from the hub's operator over another channel than the hub.

    \b
    Example: lintas admin log-key "$(cat new-log-key.txt)"
    """
    _order("log-key", log_key=key.strip(), overlap_s=overlap_days * DAY_S)


@admin.command()
def pending() -> None:
    """List keys that wait for approval and orders that wait for a second administrator.

    \b
    Example: lintas admin pending
    """
    with _admin() as client:
        client.sync()
        waiting = [key for key in client.admin_view("keys")["keys"] if key["state"] == "pending"]
        print_table(
            ("key of", "fingerprint", "to approve it"),
            [(key["party"], key["kid"], f"lintas admin approve {key['party']} {key['kid']}") for key in waiting],
        )
        orders = client.admin_view("orders")["orders"]
        for each in orders:
            order = _open_order(client, each["id"], each["line"])
            click.echo(f"order by {order.lines[-1].header.iss}: {_order_text(order)}")
            click.echo(f"  to sign it as second: lintas admin countersign {order.lines[0].id}")
    if not waiting and not orders:
        click.echo("nothing is waiting")


@admin.command(cls=IdCommand)
@click.argument("order_id")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write an invitation (0600).")
@click.option("--yes", is_flag=True, help="Do not ask before signing.")
def countersign(order_id: str, out: Path | None, *, yes: bool) -> None:
    """Sign another administrator's order as the second person; it then takes effect.

    What the signed order does is shown first.

    \b
    Example: lintas admin countersign dGhpcyBpcyBhbiBleGFtcGxl...
    """
    with _admin() as client:
        found = [each for each in client.admin_view("orders")["orders"] if each["id"] == order_id]
        if not found:
            raise NotFound("No such order is waiting.")
        client.sync()
        order = _open_order(client, order_id, found[0]["line"])
        click.echo(f"order by {order.lines[-1].header.iss}: {_order_text(order)}", err=True)
        if not yes:
            confirm("Sign it as the second person?")
        answer = client.countersign(order.lines[0].raw)
        if answer.code is not None:
            if out is None:
                raise click.UsageError("This order makes an invitation: say where to write it with --out.")
            _write_letter(client, str(order.args["agency"]), answer, out)
        else:
            _report(answer)


@admin.command()
@click.option("--since", help="RFC 3339 time, inclusive.")
@click.option("--until", help="RFC 3339 time, exclusive.")
@click.option("--kind", help="A kind of event, such as bulletin.refused.")
@click.option("--party", help="An agency, an administrator, `*` or `hub`.")
@click.option("--object", "object_id", help="The id of a line.")
@click.option("--outcome", type=click.Choice(["accepted", "refused", "failed", "done"]))
@click.option("--text", help="Text within index, party and object.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="Events at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def events(object_id: str | None, *, as_json: bool, **filters: Any) -> None:
    """Read the audit log, newest first. This read is itself logged.

    \b
    Example: lintas admin events --outcome refused --limit 20
    """
    with _admin() as client:
        page = client.admin_events(object=object_id, **filters)
    for each in page["events"]:
        if as_json:
            click.echo(json.dumps(each, ensure_ascii=False))
        else:
            detail = safe(json.dumps(each["detail"], ensure_ascii=False))
            click.echo(f"{each['seq']:>8}  {each['time']}  {each['kind']:<20} {each['party']:<16} {detail}")


@admin.command("open")
@click.option("--operator", is_flag=True, help="Sign in as operator: also how the hub runs.")
def open_command(*, operator: bool) -> None:
    """Print a link that signs your browser in to the hub's console, once, within a minute.

    \b
    Example: lintas admin open
    """
    with _admin() as client:
        click.echo(client.open_console("operator" if operator else "reviewer"))


@admin.command("keys")
def keys_command() -> None:
    """List every key with its state, the pending ones first.

    \b
    Example: lintas admin keys
    """
    with _admin() as client:
        found = client.admin_view("keys")["keys"]
    rows = [(key["kid"], key["party"], key["state"], key["not_after"], safe(key["holder"])) for key in found]
    print_table(("fingerprint", "party", "state", "not after", "holder"), rows)


@admin.command("partners")
def partners_command() -> None:
    """List partners with their grants and ceilings.

    \b
    Example: lintas admin partners
    """
    with _admin() as client:
        found = client.admin_view("partners")["partners"]
    rows = [
        (each["id"], each["state"], each["ceiling"], " ".join(each["publish"]), " ".join(each["read"]))
        for each in found
    ]
    print_table(("partner", "state", "ceiling", "may publish", "may read"), rows)


@admin.command("due")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def due_command(*, as_json: bool) -> None:
    """List recalls not acknowledged and requests not answered in time, of all agencies.

    \b
    Example: lintas admin due
    """
    with _admin() as client:
        late = client.admin_due()
    if as_json:
        print_duties_as_json(late)
        return
    rows = [(duty.due or "", duty.kind, duty.urgency, duty.agency, duty.issuer, duty.id) for duty in late]
    print_table(("due", "kind", "urgency", "late", "to", "bulletin"), rows)
    if not late:
        click.echo("nothing is overdue", err=True)


@admin.command()
def stats() -> None:
    """Show figures of the hub: size of the log, events by kind.

    \b
    Example: lintas admin stats
    """
    with _admin() as client:
        found = client.admin_view("stats")
    if not found["two_person"]:
        click.echo(click.style("WARNING one administrator alone decides here; enrol a second one.", fg="red"), err=True)
    rows = [(kind, str(number)) for kind, number in sorted(found["events"].items())]
    print_table(("events", str(found["size"])), rows)


def _order(act: str, **arguments: Any) -> None:
    with _admin() as client:
        _report(client.order(act, arguments))


def _open_order(client: Client, order_id: str, line: str) -> Order:
    order = client.open_order(line.encode())
    if order.lines[0].id != order_id:
        raise Unverified("The hub shows another order under this id.")
    return order


def _order_text(order: Order) -> str:
    shown = {name: moment(value) if name in _TIMES else value for name, value in sorted(order.args.items())}
    return safe(f"{order.act} " + " ".join(f"{name}={value}" for name, value in shown.items()))


def _report(answer: Answer) -> None:
    if not _needs_second(answer):
        click.echo(f"done at index {answer.seq}: {', '.join(answer.events)}")


def _needs_second(answer: Answer) -> bool:
    if answer.needs_second:
        click.echo(f"waits for a second administrator: lintas admin countersign {answer.id}")
    return answer.needs_second


def _write_letter(client: Client, party: str, answer: Answer, out: Path) -> None:
    hub = client.session.identity.hub
    if answer.code is None:
        raise NotFound("The hub gives an invitation's code only once; invite again.")
    members = {
        "party": party,
        "hub": hub.url,
        "name": hub.name,
        # A newcomer pins the key that signs now, and learns the former ones from the log.
        "log_key": client.session.log_keys.newest.text(),
        "invite": answer.invite,
        "code": answer.code,
        "expires": answer.expires,
    }
    write_private(out, json.dumps(members, indent=1).encode() + b"\n")
    click.echo(f"invitation for {party} in {out}: hand it over on a safe way; it is good for 72 hours and one use")


@contextmanager
def _admin() -> Iterator[Client]:
    with open_client(read_settings(prompt=prompt)) as client:
        if not client.party.startswith("admin/"):
            raise click.UsageError(f"{client.party} is no administrator; set LINTAS_IDENTITY to an admin's identity.")
        yield client

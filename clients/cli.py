"""The command `lintas`, for agencies.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the hub's evidence does not hold, 4 the hub is unreachable
(what was signed is kept in the outbox), 5 drafted, but not all of the file could be carried over, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from clients.acting import acting, prompt_new, settings_of_user
from clients.admin import admin
from clients.arguments import IdCommand
from clients.epoch import epoch
from clients.exchange import READING, print_said, said_members
from clients.gateway.command import gateway
from clients.importing import draft
from clients.keys import renew_if_due, reseal, rotate
from clients.matching import interest, watch
from clients.outbox import outbox, resend
from clients.purpose import purpose_options, with_purpose
from clients.read_tokens import read_token
from clients.readers import ack, status, tell_opened
from clients.settings import read_settings
from clients.show import (
    confirm,
    print_findings,
    print_keys,
    print_received,
    print_table,
    received_members,
    safe,
    show_recipients,
)
from clients.subscriptions import subscription
from clients.webhooks import webhook
from clients.witness import demanded_policy, evidence_command, standing, witness
from clients.workflow import SIGNING
from lintas import vocabulary
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import BadRequest, Evidence, HubUnreachable, LintasError, MalformedPayload
from lintas.feed import begin_again
from lintas.keys import Hub, Identity, SigningKey, fresh_opening, save_identity
from lintas.orders import REASONS
from lintas.receipt import origin_in
from lintas.state import State
from lintas.strict import parse_object

EXIT_REFUSED = 1
EXIT_EVIDENCE = 3
EXIT_UNREACHABLE = 4
EXIT_INTERRUPTED = 130
DAY_S = 86_400


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Publish and follow signed bulletins; verify everything.

    Set LINTAS_IDENTITY (your identity file) and LINTAS_PASSPHRASE_FILE; LINTAS_HUB overrides the hub's address.

    \b
    lintas publish bulletin.json
    lintas follow --once
    lintas verify bulletin.line --receipt bulletin.tlog-proof
    """


_GROUPS = (admin, subscription, interest, watch, webhook, read_token, witness, epoch)
_SINGLE = (draft, gateway, outbox, resend, ack, status, rotate, reseal, evidence_command)
for _command in (*_GROUPS, *_SINGLE, *READING, *SIGNING):
    cli.add_command(_command)


@cli.command()
@click.argument("letter", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--identity", type=click.Path(path_type=Path), help="Where to write the identity file (LINTAS_IDENTITY).")
@click.option("--holder", default="duty desk", show_default=True, help="The post that holds the key, never a name.")
def enrol(letter: Path, identity: Path | None, holder: str) -> None:
    """Make a key and ask for its admission, with the invitation an administrator sent.

    Tell the administrator the fingerprint over another channel; they approve it there.

    \b
    Example: lintas enrol invite.json --identity my-police.json
    """
    settings = read_settings(identity=identity, prompt=prompt_new)
    path = settings.identity
    if path.exists():
        raise click.UsageError(f"{path} exists; an identity is never overwritten.")
    members = parse_object(letter.read_bytes())
    try:
        hub = Hub(url=settings.hub or members["hub"], name=members["name"], log_key=members["log_key"])
        party, invite, code = members["party"], members["invite"], members["code"]
    except KeyError as fault:
        raise BadRequest(f"The invitation lacks {fault}.") from fault
    openings = () if party.startswith("admin/") else (fresh_opening(),)
    who = Identity(party=party, key=SigningKey.generate(), hub=hub, openings=openings)
    # Kept before it is sent: an admitted key must never be lost between the two.
    save_identity(path, who, settings.passphrase)
    with Client(who, State(path.with_suffix(".state"), log_key=hub.log_key), ca=settings.ca) as client:
        client.enrol(invite=invite, code=code, holder=holder)
    click.echo(f"{party}: key waits for approval; identity in {path}")
    click.echo(f"fingerprint  {who.key.kid}")


@cli.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True, exists=True, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask before signing.")
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), help="Keep lines and receipts here.")
def publish(files: tuple[Path, ...], *, yes: bool, save: Path | None) -> None:
    """Sign drafts and publish them, after showing who will receive each.

    A draft is one JSON object (docs/spec/bulletin.md); `-` reads it from standard input. Many files go in turn.

    \b
    Example: lintas publish alert.json
    Example: lintas publish --yes drafts/*.json
    """
    if not files:
        raise click.UsageError("Name at least one file, or `-` for standard input.")
    settings = settings_of_user()
    with acting(settings) as client:
        renew_if_due(client, settings)
        drafts = [(path, _read_draft(path)) for path in files]
        for path, draft in drafts:
            print_findings(str(path), client.lint(draft))
        signed = [(path, client.sign(draft)) for path, draft in drafts]
        for path, line in signed:
            show_recipients(line.header, str(path))
        if not yes:
            confirm(f"Sign and publish {len(signed)} bulletin(s)?")
        for path, line in _bar(signed, "publishing"):
            published = client.publish_line(line)
            click.echo(f"{published.id}  index {published.seq}  {path}")
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{line.id}.line").write_bytes(line.raw)
                (save / f"{line.id}.tlog-proof").write_bytes(published.receipt or b"")


@cli.command()
@click.option("--once", is_flag=True, help="Stop at the present instead of waiting for more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--from-start", is_flag=True, help="Begin again at the first bulletin.")
@click.option("--subscription", "name", help="Follow this subscription, whose place the hub keeps.")
@click.option("--poll", is_flag=True, help="Ask again and again instead of listening to the hub's stream.")
@purpose_options
def follow(*, once: bool, as_json: bool, from_start: bool, name: str | None, poll: bool, **reason: str | None) -> None:
    """Show verified bulletins as they come, each once; the place is kept beside the identity.

    They come over the hub's stream, or by long polls where a proxy lets no stream through. With --json, bulletins with
    person data come without their content unless --purpose and --case-ref are given.

    \b
    Example: lintas follow
    Example: lintas follow --once --json > today.jsonl
    """
    settings = settings_of_user()
    with acting(settings) as opened:
        renew_if_due(opened, settings)
        client = with_purpose(opened, **reason)
        if from_start and name is not None:
            client.move(name, -1)
        elif from_start:
            begin_again(client.session)
        count = 0
        for item in client.follow(once=once, poll=poll, subscription=name):
            count += 1
            if as_json:
                members = received_members(item, with_person_data=client.session.has_purpose)
                click.echo(json.dumps(members, ensure_ascii=False))
            else:
                print_received(item)
        if not as_json:
            click.echo(f"{count} new, all verified" if count else "nothing new", err=True)


@cli.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--superseded", is_flag=True, help="Show it even if it was replaced.")
@purpose_options
def show(line_id: str, *, as_json: bool, superseded: bool, **reason: str | None) -> None:
    """Fetch one bulletin, verify it, show it whole with what was said of it; tell its originator that you opened it.

    One with person data is given for a stated purpose and case only.

    \b
    Example: lintas show dGhpcyBpcyBhbiBleGFtcGxlIGlkIG9mIDMyIGJ5dGU
    Example: lintas show ID --purpose investigation --case-ref SIM-12
    """
    with acting() as opened:
        client = with_purpose(opened, **reason)
        item = client.fetch(line_id, superseded=superseded)
        said = client.thread(line_id).said()
        if as_json:
            click.echo(json.dumps(received_members(item) | {"said": said_members(said)}, ensure_ascii=False))
        else:
            print_received(item, whole=True)
            print_said(said)
        if item.unopened is None:
            if item.header.iss != client.party:
                tell_opened(client, line_id)
        elif not as_json:
            raise item.unopened


@cli.command(cls=IdCommand)
@click.argument("line_id")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here instead of printing.")
@click.option("--witnessed", is_flag=True, help="Under a checkpoint that your policy's witnesses cosigned.")
def receipt(line_id: str, out: Path | None, *, witnessed: bool) -> None:
    """Fetch the receipt of a bulletin and check it; keep it to prove the bulletin offline.

    \b
    Example: lintas receipt ID --out alert.tlog-proof
    Example: lintas receipt ID --witnessed --out alert.tlog-proof
    """
    with acting() as client:
        # Whoever proves it offline needs the keys as the log has them now.
        client.sync()
        found = client.receipt(line_id, demanded_policy(client) if witnessed else None)
    if out is None:
        click.echo(found.decode(), nl=False)
    else:
        out.write_bytes(found)


@cli.command()
@click.argument("line", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--receipt", "proof", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--witnessed", is_flag=True, help="Refuse a receipt that your policy's witnesses have not cosigned.")
def verify(line: Path, proof: Path, *, witnessed: bool) -> None:
    """Verify a saved line and its receipt offline: signature, place in the log, the log's own signature, witnesses.

    \b
    Example: lintas verify alert.line --receipt alert.tlog-proof
    """
    raw, receipt = line.read_bytes().removesuffix(b"\n"), proof.read_bytes()
    # Of a former epoch too: its memory stays beside the identity.
    with acting(origin=origin_in(receipt)) as client:
        logged = client.verify(raw, receipt)
        vouched = standing(client, receipt, demanded=witnessed)
    click.echo(f"verified: {logged.event['kind']} at index {logged.seq} of a log of {logged.size}")
    click.echo(f"root      {logged.root.hex()}")
    click.echo(f"standing  {vouched}")


@cli.command()
@click.option("--party", help="Only this agency or administrator.")
@click.option("--ours", metavar="FINGERPRINT", help="This key is another desk's of ours: alarm no more about it.")
def keys(party: str | None, ours: str | None) -> None:
    """List keys as proven from the log, with their state.

    \b
    Example: lintas keys --party sg-fiu
    """
    with acting() as client:
        client.sync()
        if ours is not None:
            client.session.state.put(f"ours:{ours}", 1)
        print_keys(client.directory, party, client.session.now())


@cli.command()
def partners() -> None:
    """List partners and communities as proven from the log.

    \b
    Example: lintas partners
    """
    with acting() as client:
        client.sync()
        known = vocabulary.load().agencies
        rows = [
            (
                partner.id,
                known[partner.id].name if partner.id in known else "",
                "suspended" if partner.suspended else "",
            )
            for partner in sorted(client.directory.partners.values(), key=lambda each: each.id)
        ]
        print_table(("partner", "name", "state"), rows)
        found = sorted(client.directory.communities.items())
        print_table(("community", "members"), [(name, " ".join(members)) for name, members in found])


@cli.command()
@click.option("--reason", required=True, type=click.Choice(sorted(REASONS)), help="Why (RFC 5280).")
@click.option("--since-hours", default=0.0, show_default=True, help="Hours ago since when it may not be trusted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def revoke(reason: str, since_hours: float, *, yes: bool) -> None:
    """End this identity's key at once. It cannot be undone.

    \b
    Example: lintas revoke --reason keyCompromise --since-hours 6
    """
    with acting() as client:
        if not yes:
            confirm(f"Revoke {client.session.identity.key.kid} of {client.party}?")
        answer = client.revoke(reason, client.session.now() - int(since_hours * 3600))
    click.echo(f"revoked at index {answer.seq}")


@cli.command()
@click.option("--scope", default="read", show_default=True, type=click.Choice(["read", "subscribe"]), help="For what.")
@purpose_options
def token(scope: str, **reason: str | None) -> None:
    """Print a token for curl and other tools, good for 300 seconds.

    \b
    Example: curl -H "Authorization: Bearer $(lintas token)" $LINTAS_HUB/v1/bulletins
    """
    with acting() as client:
        click.echo(with_purpose(client, **reason).token(scope))


@cli.command("open")
def open_command() -> None:
    """Print a link that signs your browser in to the hub's console, once, within a minute.

    \b
    Example: lintas open
    """
    with acting() as client:
        click.echo(client.open_console())


def main() -> None:
    """Run the command; a LintasError becomes one line on standard error and an exit code."""
    # What is written here is keys, bulletins, receipts: for this user alone.
    os.umask(0o077)
    try:
        cli(prog_name="lintas", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except OSError as fault:
        click.echo(f"lintas: {fault.filename}: {fault.strerror}", err=True)
        sys.exit(EXIT_REFUSED)
    except LintasError as fault:
        click.echo(f"lintas: {safe(_explain(fault))}", err=True)
        sys.exit(_exit_code(fault))


def _explain(fault: LintasError) -> str:
    text = fault.title() if not fault.detail else f"{fault.detail} {fault.title()}"
    said = fault.extra if fault.member is None else {"member": fault.member, **fault.extra}
    return f"{fault.code}: {text}" + "".join(f" ({name}: {value})" for name, value in said.items())


def _exit_code(fault: LintasError) -> int:
    if isinstance(fault, Evidence):
        return EXIT_EVIDENCE
    return EXIT_UNREACHABLE if isinstance(fault, HubUnreachable) else EXIT_REFUSED


def _read_draft(path: Path) -> Draft:
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        members = parse_object(data, floats=True)
    except ValueError as fault:
        raise MalformedPayload(f"{path} {fault}.") from fault
    return read_draft(members)


def _bar(items: list[Any], label: str) -> Iterable[Any]:
    if len(items) < 2 or not sys.stderr.isatty():  # noqa: PLR2004 - one item needs no bar
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar

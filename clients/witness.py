"""The commands of a witness, who watches a log for everybody.

A witness has a key and a memory of its own, side by side (``w.key``, ``w.key.state``). It only ever asks the hub, so it
works from behind a firewall, and it stops at the first thing that does not hold: evidence written, exit code 3.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import click

from clients.acting import prompt
from clients.settings import read_policy, read_settings
from clients.show import safe
from lintas import Client
from lintas.errors import BadSettings, Evidence, HubUnreachable, LintasError, NotWitnessed, Refusal
from lintas.evidence import Conflict, Verdict, judge_conflict, judge_dates
from lintas.keys import SEED_BYTES, Identity, load_identity, write_private
from lintas.note import ALGORITHM_COSIGNATURE, SignerKey, VerifierKey, parse_signer_key, parse_vkey
from lintas.quorum import Policy, parse_policy
from lintas.state import State, pinned_in
from lintas.sync import kept_conflict

EXIT_UNPROVEN = 1

EVERY_S = 60
"""A look a minute: receipts are witnessed soon, and the hub keeps some 300 bytes for each look that found news."""

CONFLICT = {"known": "known.checkpoint", "shown": "shown.checkpoint", "proof": "shown.add-checkpoint"}
WITNESSED, RECEIPT = "witnessed.checkpoint", "event.tlog-proof"

KEY_FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--init", "new", type=KEY_FILE, help="Make this key file, with the memory beside it, then stop.")
@click.option("--name", help="With --init: name of the key (default: from the hub and the party).")
@click.option("--key", type=KEY_FILE, help="Cosign with this key.")
@click.option("--once", is_flag=True, help="Look once instead of for ever.")
@click.option(
    "--every", default=EVERY_S, show_default=True, type=click.IntRange(1, 86_400), help="Seconds between looks."
)
@click.option("--evidence", type=FOLDER, help="Where to keep evidence (default: KEY.evidence).")
def witness(new: Path | None, name: str | None, key: Path | None, evidence: Path | None, **look: int) -> None:
    """Watch the log and cosign every checkpoint that extends what was seen before.

    Uses the identity of any party to ask (LINTAS_IDENTITY) and the log key pinned in it.

    \b
    Example: lintas witness --init w.key
    Example: lintas witness --key w.key
    """
    if (new is None) == (key is None):
        raise click.UsageError("Name either --init KEYFILE or --key KEYFILE.")
    settings = read_settings(prompt=prompt)
    identity = load_identity(settings.identity, settings.passphrase)
    if settings.hub is not None:
        identity = identity.with_url(settings.hub)
    if new is not None:
        _init(new, identity, name or f"{identity.hub.name}/witness/{identity.party}")
        return
    assert key is not None
    signer = _read_key(key)
    with Client(identity, _open_memory(key, identity), ca=settings.ca) as client:
        try:
            _watch(client, signer, every_s=look["every"], once=bool(look["once"]))
        except Evidence:
            _save(client.session.state, evidence or _beside(key, ".evidence"))
            raise


@click.command("evidence")
@click.argument("folder", type=FOLDER)
@click.option(
    "--log-key",
    "log_keys",
    multiple=True,
    help="The log's verifier key line, from whoever you trust for it; again for each key it had. Judges the folder.",
)
@click.option("--policy", type=KEY_FILE, help="Whose cosignatures count, for evidence about a date (a tlog-policy).")
@click.option("--export", is_flag=True, help="Write what the client of LINTAS_IDENTITY kept into the folder.")
def evidence_command(folder: Path, log_keys: tuple[str, ...], policy: Path | None, *, export: bool) -> None:
    """Judge evidence against a hub offline, or export what your client kept when it raised an alarm.

    Exit code 0 when it is proven by itself, 1 when the hub has to be asked.

    \b
    Example: lintas evidence found/1f0c... --log-key "$(cat log.vkey)"
    Example: lintas evidence mine --export
    """
    if export == bool(log_keys):
        raise click.UsageError("Name either --log-key VKEY to judge, or --export to write.")
    if export:
        settings = read_settings(prompt=prompt)
        with Client.open(settings.identity, settings.passphrase, ca=settings.ca) as client:
            _save(client.session.state, folder)
        return
    verdict = _judge(folder, [parse_vkey(each.strip()) for each in log_keys], policy)
    click.echo(f"{'proven' if verdict.is_proven else 'not proven'}: {verdict.text}")
    if not verdict.is_proven:
        sys.exit(EXIT_UNPROVEN)


def demanded_policy(client: Client) -> Policy:
    """Return the policy of this agency; raise BadSettings when it has none."""
    policy = read_policy(client.session.log_keys)
    if policy is None:
        raise BadSettings("LINTAS_POLICY is not set: name the file that says whose cosignatures you demand.")
    return policy


def standing(client: Client, receipt: bytes, *, demanded: bool) -> str:
    """Say who vouches for the checkpoint of a verified receipt; raise NotWitnessed when too few do though demanded."""
    policy = demanded_policy(client) if demanded else read_policy(client.session.log_keys)
    if policy is None:
        return "logged"
    found = client.judge(receipt, policy)
    by = f"{len(found.names)} of {found.of} (policy)"
    if found.is_enough:
        return f"witnessed by {by}: {safe(', '.join(found.names))}"
    if demanded:
        raise NotWitnessed(f"Cosigned by {by}.")
    return f"logged; cosigned by {by}, which is not enough"


def _init(path: Path, identity: Identity, name: str) -> None:
    if path.exists() or _beside(path, ".state").exists():
        raise click.UsageError(f"{path} or its memory exists; the key of a witness is never overwritten.")
    try:
        key = SignerKey.from_seed(name, secrets.token_bytes(SEED_BYTES), ALGORITHM_COSIGNATURE)
    except ValueError as fault:
        raise click.UsageError(f"This is no name for a witness: {fault}.") from fault
    State(_beside(path, ".state"), log_key=identity.hub.log_key).close()
    write_private(path, key.text().encode() + b"\n")
    click.echo("for the policy of the hub and of everybody who relies on this witness:", err=True)
    click.echo(f"witness {identity.party} {key.verifier.text()}")


def _read_key(path: Path) -> SignerKey:
    if path.stat().st_mode & 0o077:
        raise BadSettings(f"{path} can be read by others: run `chmod 600` on it, and consider the key known.")
    return parse_signer_key(path.read_text().strip(), ALGORITHM_COSIGNATURE)


def _open_memory(key: Path, identity: Identity) -> State:
    path = _beside(key, ".state")
    if not path.exists():
        # Without memory anything extends what was seen: such a witness would cosign any fork.
        raise BadSettings(f"The memory of this witness is gone ({path}); put it back, or make a new key with --init.")
    pinned, seen = identity.hub.log_key.partition("+")[0], (pinned_in(path) or "").partition("+")[0]
    if pinned != seen:
        raise BadSettings(f"This witness has seen the log {seen}; for {pinned} make a new key with --init.")
    return State(path, log_key=identity.hub.log_key)


def _watch(client: Client, key: SignerKey, *, every_s: int, once: bool) -> None:
    while True:
        try:
            seen = client.attend(key)
        except (HubUnreachable, Refusal) as fault:
            if once:
                raise
            # The hub may be back, or its operator may add this witness, at the next look.
            click.echo(f"lintas: {safe(_text(fault))}", err=True)
        else:
            if seen.is_cosigned or once:
                click.echo(f"{seen.size}  {_done(seen.is_cosigned, seen.is_witnessed)}")
        if once:
            return
        time.sleep(every_s)


def _done(is_cosigned: bool, is_witnessed: bool) -> str:  # noqa: FBT001 - two facts of one look
    return "nothing new" if not is_cosigned else "cosigned, witnessed" if is_witnessed else "cosigned"


def _save(state: State, folder: Path) -> None:
    """Write the kept conflict into a folder of its own, named by its content, so that the same is written once."""
    kept = kept_conflict(state)
    if kept is None:
        click.echo("no evidence was kept", err=True)
        return
    place = folder / sha256(kept.known + kept.shown).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    for name, file in CONFLICT.items():
        write_private(place / file, getattr(kept, name))
    click.echo(f"evidence  {place}", err=True)


def _judge(folder: Path, keys: Sequence[VerifierKey], policy: Path | None) -> Verdict:
    if (folder / RECEIPT).exists():
        if policy is None:
            raise click.UsageError("A date is judged by witnesses: name a policy with --policy.")
        witnesses = parse_policy(policy.read_bytes()).witnesses.values()
        return judge_dates((folder / WITNESSED).read_bytes(), (folder / RECEIPT).read_bytes(), witnesses, *keys)
    return judge_conflict(Conflict(**{name: (folder / file).read_bytes() for name, file in CONFLICT.items()}), *keys)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _text(fault: LintasError) -> str:
    return f"{fault.code}: {fault.detail} {fault.title()}"

"""The command `lintas gateway`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from clients.acting import settings_of_user
from clients.gateway.place import Place, beside
from clients.gateway.process import Gateway
from clients.gateway.rules import Rules
from clients.gateway.tending import Tending
from clients.purpose import purpose_options, with_purpose
from clients.settings import Settings, open_client
from clients.show import safe
from lintas import vocabulary
from lintas.client import Client
from lintas.errors import BadSettings
from lintas.imported import Choices
from lintas.memory import open_state

KNOWN = vocabulary.load()
DEFAULTS = Choices()


def _addressing(command: click.decorators.FC) -> click.decorators.FC:
    """Add what posted things do not say themselves; the options are those of `lintas draft`."""
    for option in (
        click.option(
            "--valid-for", default=DEFAULTS.valid_for, show_default=True, help="How long it stands: P30D, PT6H."
        ),
        click.option(
            "--urgency", default=DEFAULTS.urgency, show_default=True, type=click.Choice(sorted(KNOWN.urgencies))
        ),
        click.option("--kind", default=DEFAULTS.kind, show_default=True, type=click.Choice(sorted(KNOWN.kinds))),
        click.option(
            "--tlp", type=click.Choice(vocabulary.TLP), help="The marking; what is marked narrower is refused."
        ),
        click.option("--topic", type=click.Choice(sorted(KNOWN.topics)), help="The topic of what names none of ours."),
        click.option("--to", "release_to", multiple=True, help="An agency or community that shall receive it; repeat."),
    ):
        command = option(command)
    return command


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; only this machine's own addresses."
)
@click.option("--port", default=8490, show_default=True, type=click.IntRange(0, 65_535), help="Port to listen on.")
@click.option("--spool", type=click.Path(path_type=Path, file_okay=False), help="Take files from this folder as well.")
@click.option("--publish", is_flag=True, help="Publish what is posted with a marking at once, without an officer.")
@click.option("--red", is_flag=True, help="Give the tools RED bulletins as well.")
@_addressing
@purpose_options
def gateway(  # noqa: PLR0913 - each is an option
    *,
    host: str,
    port: int,
    spool: Path | None,
    publish: bool,
    red: bool,
    release_to: tuple[str, ...],
    purpose: str | None,
    case_ref: str | None,
    officer: str | None,
    **chosen: str | None,
) -> None:
    """Let the tools that you already run give and take bulletins, through this machine.

    Holds your identity, follows and verifies the feed, opens what is sealed to you, and serves it to OpenCTI, MISP,
    Splunk or any script on this machine: TAXII 2.1 at /taxii2/, JSON at /v1/. What they post there, or put into the
    spool folder, becomes drafts. Unless --publish is given, these wait until an officer approves them with
    `lintas outbox`; what has no marking of its own waits even then.

    Bulletins with person data are given to tools for a stated --purpose and --case-ref only, RED with --red only.
    The tools' tokens stand in a file beside the identity, which is named at the start.

    \b
    Example: lintas gateway --spool /srv/lintas/spool --topic cyber.malware --to regional-cert --tlp AMBER
    """
    settings = settings_of_user()
    given = {name: value for name, value in chosen.items() if value is not None}
    rules = Rules(
        choices=Choices(release_to=release_to, **given),
        publishes=publish,
        serves_red=red,
        has_purpose=purpose is not None,
    )
    place = Place(identity=settings.identity, host=host, port=port, spool=spool)
    sending = _agency(settings)
    following = with_purpose(_another(sending, settings), purpose, case_ref, officer)
    tend = Tending(settings, (sending, following), _say)
    run(Gateway(place, rules, (following, sending), report=_say, tend=tend), place)


def run(gateway: Gateway, place: Place) -> None:
    """Run until it is told to stop; raise what ended it."""
    gateway.start()
    _say(f"TAXII 2.1  {gateway.url}/taxii2/")
    _say(f"JSON       {gateway.url}/v1/status")
    _say(f"tokens     {beside(place.identity, '.tokens')}")
    try:
        with _stopped_by_signal():
            gateway.wait()
    finally:
        gateway.stop()


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Turn the signal by which systemd stops a service into the interrupt that a terminal sends."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def _agency(settings: Settings) -> Client:
    client = open_client(settings)
    if client.party.startswith("admin/"):
        raise BadSettings("A gateway acts for an agency: name its identity in LINTAS_IDENTITY.")
    return client


def _another(client: Client, settings: Settings) -> Client:
    """Return a second client of an identity that is unlocked already, on the same memory."""
    identity = client.session.identity
    return Client(identity, open_state(settings.identity, identity), ca=settings.ca)


def _say(text: str) -> None:
    click.echo(safe(text), err=True)
    sys.stderr.flush()

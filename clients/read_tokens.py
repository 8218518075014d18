"""The commands `lintas read-token ...`: secrets for programs that read by TAXII or a MISP feed."""

from __future__ import annotations

import click

from clients.acting import acting
from clients.show import moment, print_table
from lintas.orders import INTEREST_S_MAX
from lintas.read_token import CEILINGS, EVERY_AREA, areas
from lintas.read_tokens import FOR_S_DEFAULT, OwnToken

DAY_S = 86_400


@click.group("read-token")
def read_token() -> None:
    """Let a tool of yours read by TAXII or as a MISP feed, with a secret that can do nothing else.

    \b
    lintas read-token issue --label "MISP of the fusion desk" --days 180
    lintas read-token list
    lintas read-token revoke ID
    """


@read_token.command()
@click.option("--label", required=True, help="Which tool it is for; never a person's name.")
@click.option(
    "--ceiling", default=CEILINGS[-1], show_default=True, type=click.Choice(CEILINGS), help="Nothing narrower."
)
@click.option(
    "--area", "areas_", multiple=True, type=click.Choice(sorted(areas())), help="These areas alone; repeat it."
)
@click.option(
    "--days",
    default=FOR_S_DEFAULT // DAY_S,
    show_default=True,
    type=click.IntRange(1, INTEREST_S_MAX // DAY_S),
    help="How long it is good.",
)
@click.option("--address", "addresses", multiple=True, help="From this address or network alone; repeat it.")
def issue(*, label: str, ceiling: str, areas_: tuple[str, ...], days: int, addresses: tuple[str, ...]) -> None:
    """Make a read token and print it, this once: the hub and this computer keep no copy.

    It reads what others released to your agency, within its ceiling and areas, never what is sealed, RED or
    AMBER+STRICT.

    \b
    Example: lintas read-token issue --label "MISP of the fusion desk" --area cyber --address 203.0.113.7/32
    """
    with acting() as client:
        made = client.issue_read_token(
            label, ceiling=ceiling, areas=areas_ or EVERY_AREA, for_s=days * DAY_S, addresses=addresses
        )
        hub = client.session.identity.hub.url
    click.echo(made.text)
    click.echo(
        f"read token {made.id}, good until {moment(made.until)}; it is shown this once\n"
        f"as Basic   any user name, the token as password: curl -u lintas:TOKEN {hub}/misp/manifest.json\n"
        f'as Bearer  curl -H "Authorization: Bearer TOKEN" {hub}/taxii2/\n'
        f"to end it  lintas read-token revoke {made.id}",
        err=True,
    )


@read_token.command("list")
def list_command() -> None:
    """List the read tokens of your agency that were not revoked, as the log proves them.

    \b
    Example: lintas read-token list
    """
    with acting() as client:
        found = client.read_tokens()
    print_table(("read token", "state", "until", "ceiling", "areas", "from", "label"), [_row(each) for each in found])
    if not found:
        click.echo("no read token", err=True)


@read_token.command()
@click.argument("token_id")
def revoke(token_id: str) -> None:
    """End a read token at once. What was read with it stays read; who read what stands in the log.

    \b
    Example: lintas read-token revoke k3v5q2xatz7m
    """
    with acting() as client:
        answer = client.end_read_token(token_id)
    click.echo(f"revoked at index {answer.seq}")


def _row(found: OwnToken) -> tuple[str, ...]:
    token = found.token
    return (
        token.id,
        "expired" if found.is_over else "active",
        moment(token.until),
        token.ceiling,
        " ".join(token.areas),
        " ".join(token.addresses) or "anywhere",
        found.label,
    )

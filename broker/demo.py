"""The demonstration behind `make demo`: the whole mission in small, over real HTTP.

A hub process is started on a free port; every publishing, reading and refused attempt goes through the real client or,
where a client would not do such a thing, through raw HTTP. Each expectation is a check that can fail.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import httpx

from broker import exercise as exercises
from broker.fsck import check_everything
from broker.hub import read_log_key
from broker.scenes import show_exchange
from broker.settings import Settings, read_settings
from broker.stage import ACCEPTED, Agencies, Tally, refusal
from broker.store.engine import Store
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import LintasError, NotFound
from lintas.header import BULLETIN, EVERYONE
from lintas.keys import Identity
from lintas.line import Line
from lintas.problems import from_problem
from lintas.readers import STEPS
from lintas.strict import parse_object
from lintas.wire import Published

START_S_MAX = 30.0
READER = "my-police"
UNKNOWN_ID = "A" * 43

Status = Callable[[str], None]


def run_demo(data: Path | None, *, keep_serving: bool, status: Status) -> int:
    """Run the demonstration; return 0 only if every check held."""
    with tempfile.TemporaryDirectory(prefix="lintas-demo-") as scratch:
        settings = read_settings(data=str(data or Path(scratch) / "hub"), port=_free_port(), host="127.0.0.1")
        identities = exercises.run(settings, progress=status)
        with serving(settings) as url:
            agencies = Agencies(settings.data, identities, url)
            try:
                tally = _show(agencies, settings, status)
            finally:
                agencies.close()
            _check_database(settings, tally)
            status("")
            _print_summary(tally, settings)
            if keep_serving:
                _print_invitation(settings, url, _console_link(settings, identities, url))
    return 0 if tally.all_held else 1


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Run `lintas-broker serve` as a process of its own; yield its URL once it is ready."""
    command = [sys.executable, "-m", "broker", "serve", "--data", str(settings.data)]
    command += ["--host", settings.host, "--port", str(settings.port)]
    url = f"http://{settings.host}:{settings.port}"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603 - ourselves
    try:
        _wait_ready(process, url)
        yield url
    finally:
        process.terminate()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def samples() -> list[dict[str, Any]]:
    """Return the fictional sample bulletins: slug, issuer, draft."""
    found: list[dict[str, Any]] = json.loads((files("lintas") / "samples.json").read_text())["bulletins"]
    return found


def sample_draft(sample: dict[str, Any], ids: dict[str, str]) -> Draft:
    """Return a sample's draft with references to other samples replaced by their ids."""
    draft = dict(sample["draft"])
    if "refs" in draft:
        pairs = [ref.split(":sample:", 1) for ref in draft["refs"]]
        draft["refs"] = [f"{relation}:{ids[slug]}" for relation, slug in pairs]
    return read_draft(draft)


def _show(agencies: Agencies, settings: Settings, status: Status) -> Tally:
    tally = Tally()
    status("publishing the sample bulletins")
    lines = _publish_samples(agencies, tally)
    status("every agency pulls and verifies")
    _receive(agencies, lines, tally)
    status("attempts that must be refused")
    tally.chapter = "Refused"
    _attempt(agencies, lines, tally)
    status("agencies work together")
    database = Path(settings.database.removeprefix("sqlite:///"))
    # With its write-ahead log, where the newest rows are.
    show_exchange(agencies, database.parent.glob(f"{database.name}*"), tally)
    status("receipts and log")
    tally.chapter = "Log"
    _check_log(agencies, lines, tally)
    return tally


def _publish_samples(agencies: Agencies, tally: Tally) -> dict[str, tuple[Line, Published]]:
    done: dict[str, tuple[Line, Published]] = {}
    for sample in samples():
        issuer = sample["issuer"]
        client = agencies.client(issuer)
        draft = sample_draft(sample, {slug: line.id for slug, (line, _) in done.items()})
        line = client.sign(draft)
        done[sample["sample"]] = line, client.publish_line(line)
        tally.published[issuer] += 1
    return done


def _receive(agencies: Agencies, lines: dict[str, tuple[Line, Published]], tally: Tally) -> None:
    partners = sorted(agencies.client(READER).directory.partners)
    for line, _ in lines.values():
        header = line.header
        to = partners if header.release_to == EVERYONE else header.release_to
        tally.expected.update(agency for agency in to if agency != header.iss)
    opened: defaultdict[str, set[str]] = defaultdict(set)
    for agency in partners:
        for item in agencies.client(agency).follow(once=True):
            tally.received[agency] += 1
            # `follow` yields nothing it has not verified; a withdrawn one would come as a state.
            tally.verified[agency] += item.line is not None
            if item.is_sealed and item.content is not None:
                opened[item.id].add(agency)
    sealed = {line.id: {*line.header.release_to} for line, _ in lines.values() if line.header.enc is not None}
    tally.check("RED is sealed, and opened by exactly its recipients", held=sealed == opened != {})
    tally.check("each recipient got exactly what was released to it", held=tally.received == +tally.expected)
    tally.check("each received bulletin verified end to end", held=tally.verified == tally.received)


def _attempt(agencies: Agencies, lines: dict[str, tuple[Line, Published]], tally: Tally) -> None:
    agencies.order("grant", {"agency": "bn-cert", "publish": ["cyber"], "read": ["*"]})
    agencies.order("ceiling", {"agency": "bn-cert", "tlp": "AMBER"})
    for text, party, raw, code in _bad_lines(agencies, lines):
        answer = agencies.http.post("/v1/bulletins", content=raw, headers={"Content-Type": f"application/{BULLETIN}"})
        members = parse_object(answer.content, floats=True) if answer.status_code >= 400 else {}  # noqa: PLR2004
        found = from_problem(members, answer.status_code).code if members else ACCEPTED
        tally.refused[party] += found == code
        tally.check(f"{text} ({code})", held=found == code)
    outsider, hidden = agencies.client("tl-customs"), lines["scam-compound"][0].id
    unreleased, unknown = refusal(lambda: outsider.fetch(hidden)), refusal(lambda: outsider.fetch(UNKNOWN_ID))
    tally.refused["tl-customs"] += unreleased == NotFound.code
    same = unreleased == unknown == NotFound.code
    tally.check("what is not released looks exactly like what does not exist", held=same)


def _bad_lines(agencies: Agencies, lines: dict[str, tuple[Line, Published]]) -> Iterator[tuple[str, str, bytes, str]]:
    """Yield what is attempted, by whom, the bytes, and the code of the refusal that must come."""
    narrow, reader = agencies.client("bn-cert").session, agencies.client(READER).session
    plain = read_draft(samples()[1]["draft"])
    payload = plain.payload()
    members: dict[str, Any] = {
        "exp": reader.now() + 3600,
        "kind": plain.kind,
        "topic": "cyber.scam",
        "tlp": "GREEN",
        "release_to": ["*"],
        "urgency": "routine",
    }
    topic = narrow.sign_line(BULLETIN, payload, **(members | {"topic": "drugs"})).raw
    red = members | {"tlp": "RED", "release_to": ["sg-police"]}
    yield "RED in clear", READER, reader.sign_line(BULLETIN, payload, **red).raw, "red-needs-sealing"
    yield "a topic beyond the grant", "bn-cert", topic, "topic-not-granted"
    strict = members | {"tlp": "AMBER+STRICT", "release_to": [READER]}
    yield (
        "a marking above the ceiling",
        "bn-cert",
        narrow.sign_line(BULLETIN, payload, **strict).raw,
        "tlp-above-ceiling",
    )
    stranger = members | {"release_to": ["xx-police"]}
    yield (
        "a recipient who is no partner",
        READER,
        reader.sign_line(BULLETIN, payload, **stranger).raw,
        "unknown-recipient",
    )
    stolen = reader.sign_line(BULLETIN, payload, **members, iss="sg-police").raw
    yield "a valid key in another agency's name", READER, stolen, "unknown-key"
    old = members | {"iat": reader.now() - 2 * 86_400}
    yield "a line signed two days ago", READER, reader.sign_line(BULLETIN, payload, **old).raw, "stale"
    foreign = reader.sign_line(BULLETIN, payload, **members, aud="other.example-aaaaaaaa").raw
    yield "a line signed for another hub", READER, foreign, "foreign-line"
    head, body, signature = reader.sign_line(BULLETIN, payload, **members).raw.split(b".")
    other = lines["scam-compound"][0].raw.split(b".")[1]
    yield "a payload exchanged after signing", READER, b".".join((head, other, signature)), "bad-signature"
    yield "a read token sent as a bulletin", READER, reader.token().encode(), "wrong-type"
    yield "bytes that are no line", READER, b".".join((head, body)), "malformed-line"


def _check_log(agencies: Agencies, lines: dict[str, tuple[Line, Published]], tally: Tally) -> None:
    proven = []
    for line, published in lines.values():
        client = agencies.client(line.header.iss)
        proven.append(client.verify(line.raw, published.receipt or b"").seq == published.seq)
    tally.check(f"the receipts of all {len(proven)} samples prove their place in the log, offline", held=all(proven))
    seen = [_grown(agencies.client(party)) for party in (READER, exercises.SECOND_ADMIN)]
    sizes = " and ".join(str(size) for size, _ in seen)
    held = all(grown for _, grown in seen)
    tally.check(f"the log only grew, as a recipient and an administrator prove (to {sizes} events)", held=held)


def _grown(client: Client) -> tuple[int, bool]:
    """Sync, which raises unless the log is consistent with the one seen before; return its size, whether it grew."""
    before = client.session.state.get("checkpoint")
    size = client.sync().size
    return size, client.session.state.get("checkpoint") != before


def _check_database(settings: Settings, tally: Tally) -> None:
    store = Store(settings.database)
    try:
        report = check_everything(store, read_log_key(settings.log_key_file).verifier, lambda _done, _all: None)
    except LintasError as fault:
        tally.check(f"fsck: {fault}", held=False)
    else:
        tally.log = f"{report.size} events, {report.checkpoints} signed checkpoints, root {report.root.hex()}"
        tally.check("fsck re-derives every row of the log", held=True)
    finally:
        store.close()


def _print_summary(tally: Tally, settings: Settings) -> None:
    click.echo("Lintas: all agencies and bulletins are SIMULATED\n")
    _print_countries(tally)
    _print_readers(tally)
    chapter = ""
    for each in tally.checks:
        if each.chapter != chapter:
            chapter = each.chapter
            click.secho(chapter, bold=True)
        click.echo((click.style("ok    ", fg="green") if each.held else click.style("FAIL  ", fg="red")) + each.text)
    held_count = sum(each.held for each in tally.checks)
    click.echo(f"\nlog: {tally.log}")
    click.echo(f"{held_count} of {len(tally.checks)} checks held; the hub's data was at {settings.data}")


def _print_countries(tally: Tally) -> None:
    columns = (tally.published, tally.received, tally.verified, tally.refused)
    desks = {agency for column in columns for agency in column}
    click.echo(f"{'country':<10}{'desks':>7}{'published':>11}{'received':>10}{'verified':>10}{'refused':>9}")
    for country in sorted({agency[:2] for agency in desks}):
        own = [agency for agency in desks if agency.startswith(f"{country}-")]
        counts = [sum(column[agency] for agency in own) for column in columns]
        cells = [f"{count or '.':>{width}}" for count, width in zip(counts, (11, 10, 10, 9), strict=True)]
        click.echo(f"{country:<10}{len(own):>7}" + "".join(cells))
    click.echo()


def _print_readers(tally: Tally) -> None:
    if not tally.readers:
        return
    click.echo("One bulletin as its originator sees it:")
    click.echo(f"{'recipient':<12}" + "".join(f"{step:<14}" for step in STEPS).rstrip())
    for each in sorted(tally.readers, key=lambda each: each.agency):
        times = [each.steps[step].time[11:19] if step in each.steps else "." for step in STEPS]
        if each.state not in STEPS:
            times[0] = each.state
        click.echo(f"{each.agency:<12}" + "".join(f"{time:<14}" for time in times).rstrip())
    click.echo()


def _console_link(settings: Settings, identities: Iterable[Identity], url: str) -> str:
    agencies = Agencies(settings.data, identities, url)
    try:
        return agencies.client(exercises.SECOND_ADMIN).open_console("operator")
    finally:
        agencies.close()


def _print_invitation(settings: Settings, url: str, link: str) -> None:
    who = f"LINTAS_HUB={url} LINTAS_IDENTITY={settings.data}/agencies/{READER}.json"
    admin = f"LINTAS_HUB={url} LINTAS_IDENTITY={settings.data}/admins/auditor.json"
    secret = f"LINTAS_PASSPHRASE_FILE={settings.data}/passphrase"
    lintas = Path(sys.executable).with_name("lintas")
    click.echo(f"\nThe hub is still serving at {url} ({url}/docs lists every endpoint). Try in another terminal:\n")
    click.echo(f"  {who} {secret} {lintas} follow --once --from-start\n")
    click.echo(f"  {admin} {secret} {lintas} admin events --outcome refused\n")
    click.echo(f"  {admin} {secret} {lintas} admin open --operator\n")
    click.echo("Ctrl-C ends it and removes its data. See it in a browser by this link, good once within a minute:\n")
    click.echo(f"  {link}\n")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("\nstopped")


def _wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + START_S_MAX
    with httpx.Client(base_url=url, timeout=1) as http:
        while time.monotonic() < end:
            if process.poll() is not None:
                assert process.stderr is not None
                raise LintasError(f"The hub did not start: {process.stderr.read().decode(errors='replace')[-500:]}")
            try:
                if http.get("/readyz").status_code == 200:  # noqa: PLR2004
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise LintasError("The hub did not become ready in time.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

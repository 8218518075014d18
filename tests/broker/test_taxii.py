"""Objects over TAXII: who finds what, what became of it, what is on record."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, update

from broker import filling
from broker import taxii as giving
from broker.additions import STEPS_MAX, areas, next_slice
from broker.cli import cli
from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.read_tokens import ReadCaller
from broker.reindex import reindex
from broker.settings import read_settings
from broker.store import tables, taxii, taxii_tables
from broker.store.engine import Store
from broker.taxii import collection_of, read_objects
from lintas.errors import BadRequest, LogBehind, LogHalted
from lintas.header import BULLETIN, KEY
from lintas.stix.fixed import TLP_MARKINGS
from lintas.stix.ids import report_id
from lintas.strict import canonical
from lintas.taxii import MEDIA, read
from tests.broker.conftest import PAYLOAD, Desks, Template
from tests.broker.test_http_sealed import keys_of, sealed
from tests.broker.tools import Tool
from tests.conftest import ShiftedClock, served, wait_until

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
NUMBERS = itertools.count(1)
DAY_S = 86_400
EXTENSION = "extension-definition"

Members = dict[str, Any]


class Fresh:
    """Indicators of which no other test knows."""

    def __init__(self) -> None:
        number = next(NUMBERS)
        self.phone = {"type": "phone", "value": f"+6012{number:07}", "role": "dispatcher"}
        self.ip = {"type": "ip", "value": f"198.18.{number // 250}.{number % 250 + 1}", "role": "hosting"}
        self.domain = {"type": "domain", "value": f"golden-lotus-{number}.example", "role": "hosting"}
        value = f"FICTIONAL<<ARJUNA|{1900 + number}-04-01|UTO"
        self.person = {"type": "person", "value": value, "role": "seller", "person_role": "suspect"}


def content(*indicators: Members, **more: Any) -> bytes:
    """Return a payload with these indicators."""
    return canonical(PAYLOAD | {"indicators": list(indicators)} | more)


def publish(desks: Desks, *indicators: Members, to: tuple[str, ...] = (READER,), **changes: Any) -> str:
    """Publish a bulletin with these indicators, each another; return its id."""
    payload = content(*indicators, case_ref=f"SIM-{secrets.token_hex(8)}")
    return desks.publish(ISSUER, to, payload=payload, **changes).id


@pytest.fixture(scope="module")
def together(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """Desks at a served hub that tests share which publish, and change nothing else."""
    clock = ShiftedClock()
    hub = open_hub(read_settings({}, data=str(few.copy(tmp_path_factory.mktemp("together") / "hub"))), clock)
    hub.start()
    with served(hub) as url:
        found = Desks(hub, few.identities.__getitem__, clock, url)
        yield found
        found.close()
    hub.stop()


def types(found: list[Members]) -> list[str]:
    """Return the types of objects, revoked ones with a mark, in alphabetical order."""
    return sorted(("-" if each.get("revoked") else "") + each["type"] for each in found)


def test_new_bulletin(together: Desks) -> None:
    """A bulletin is found as report, observables, indicators, once, with whatever they refer to."""
    new = Fresh()
    tool = Tool(together)
    publish(together, new.phone, new.ip)

    assert ["indicator", "ipv4-addr", "phone-number", "report"] == types(tool.poll())
    assert [] == tool.poll()
    ids = {each["id"] for each in tool.get("collections/all/objects/").json()["objects"]}
    refs = {ref for each in tool.held for ref in [each.get("created_by_ref"), *each.get("object_refs", [])] if ref}
    assert refs | {ref for each in tool.held for ref in each.get("object_marking_refs", [])} <= ids


@pytest.mark.parametrize(("agency", "to"), [(OTHER, (READER,)), (ISSUER, (READER,))])
def test_not_for_everybody(together: Desks, agency: str, to: tuple[str, ...]) -> None:
    """Who is not addressed finds nothing of a bulletin; nor does its issuer, who has it."""
    new = Fresh()
    tool = Tool(together, agency)
    publish(together, new.phone, to=to)

    assert ([], False) == (tool.poll(), new.phone["value"] in tool.said())


def test_for_every_partner(together: Desks) -> None:
    """What is released to every partner is found by all but its issuer."""
    new = Fresh()
    tools = [Tool(together, each) for each in (READER, ISSUER)]
    publish(together, new.phone, to=("*",), tlp="GREEN")

    assert [2, 0] == [len(tool.poll()) for tool in tools]


def test_marking_of_the_token(together: Desks) -> None:
    """A token opens what is marked as widely as its ceiling, or wider."""
    new = Fresh()
    tool = Tool(together, token="a" * 12, ceiling="GREEN")
    publish(together, new.phone, tlp="AMBER")
    wide = publish(together, new.ip, tlp="GREEN")

    assert [report_id(wide)] == [each["id"] for each in tool.of("report")]


def test_marking_that_no_token_opens(together: Desks) -> None:
    """AMBER+STRICT, and whatever is sealed, is in no collection; nor is a trace of it."""
    new = Fresh()
    tool, before = Tool(together), together.hub.writer.size
    together.publish(ISSUER, [READER], tlp="AMBER+STRICT", payload=content(new.phone))
    for tlp in ("RED", "AMBER"):
        assert 201 == together.post(sealed(together, keys_of(together, ISSUER, READER), tlp=tlp), BULLETIN).status_code

    assert [] == tool.poll()
    seq = taxii_tables.taxii_addition.c.seq
    with together.hub.store.read() as conn:
        assert [] == conn.scalars(select(seq).where(seq >= before)).all()


def test_areas(together: Desks) -> None:
    """A bulletin stands in its area and in the collection of everything, in no other."""
    new = Fresh()
    tool = Tool(together)
    publish(together, new.phone)

    found = {each["alias"] for each in tool.get("collections/").json()["collections"]}
    late = {"match_type": "report", "added_after": tool.last}
    holding = {name for name in found if tool.get(f"collections/{name}/objects/", **late).json()}
    assert ({"all", *areas()}, {"all", "cyber"}) == (found, holding)


def test_areas_of_the_token(together: Desks) -> None:
    """A token for some areas opens their collections, and of everything what lies in them; others do not exist."""
    new = Fresh()
    tool = Tool(together, token="b" * 12, areas=("drugs",))
    publish(together, new.phone)
    mine = publish(together, new.ip, topic="drugs.precursors")

    assert [report_id(mine)] == [each["id"] for each in tool.of("report")]
    assert ["all", "drugs"] == [each["alias"] for each in tool.get("collections/").json()["collections"]]
    assert [404, 404] == [tool.get(f"collections/{name}/").status_code for name in ("cyber", "nonsense")]


def test_grants_narrow(desks: Desks) -> None:
    """Who lost a grant finds nothing more of what it was for."""
    new = Fresh()
    tool = Tool(desks)
    publish(desks, new.phone)
    desks.order("grant", agency=READER, publish=["*"], read=["drugs"])

    assert ([], False) == (tool.poll(), new.phone["value"] in tool.said())


def test_suspended(desks: Desks) -> None:
    """A suspended agency learns of recalls and of nothing else, if it still has a token."""
    new = Fresh()
    line = publish(desks, new.phone, new.ip)
    publish(desks, new.domain)
    desks.order("suspend", agency=READER, reason="test")
    token = {"Authorization": f"Bearer {desks.session(READER).token()}"}
    path = "/taxii2/api/collections/all/objects/?match[type]=report,indicator,note,phone-number,domain-name"
    before = desks.get(path, **token).json()
    desks.post(desks.recall(ISSUER, line, [READER]))

    after = desks.get(path, **token).json().get("objects", [])
    assert ({}, ["-indicator", "-report", "note"]) == (before, types(after))


def test_correction(together: Desks) -> None:
    """What supersedes has the ids of what it replaces in a newer version; what it lacks is revoked; the old is gone."""
    new = Fresh()
    tool = Tool(together)
    old = publish(together, new.phone, new.ip)
    tool.poll()
    publish(together, new.phone, new.domain, refs=[f"supersedes:{old}"])

    found = tool.poll()
    assert ["-indicator", "domain-name", "indicator", "phone-number", "report"] == types(found)
    by_id = {each["id"]: each for each in tool.held[:4]}
    same = [each for each in found if each["id"] in by_id and "modified" in each]
    assert ["-indicator", "report"] == types(same)
    assert all(each["modified"] > by_id[each["id"]]["modified"] for each in same)
    assert new.ip["value"] not in tool.said()
    report = report_id(old)
    assert [found[-1]["modified"]] == tool.get(f"collections/all/objects/{report}/versions/").json()["versions"]


def test_correction_of_a_correction(together: Desks) -> None:
    """A chain of corrections is one report, and what any of them had is revoked for who begins late, too."""
    new = Fresh()
    tool = Tool(together)
    first = publish(together, new.ip)
    second = publish(together, new.domain, refs=[f"supersedes:{first}"])
    publish(together, new.phone, refs=[f"supersedes:{second}"])

    assert ["-indicator", "-indicator", "phone-number", "report"] == types(tool.poll())
    assert [report_id(first)] == [each["id"] for each in tool.of("report")]


@pytest.mark.parametrize(("token", "changes"), [("c" * 12, {"tlp": "AMBER+STRICT"}), ("d" * 12, {"topic": "drugs"})])
def test_correction_beyond_the_token(together: Desks, token: str, changes: Members) -> None:
    """Who may not have the correction learns that what it has is gone."""
    new = Fresh()
    tool = Tool(together, token=token, areas=("cyber",))
    old = publish(together, new.ip)
    tool.poll()
    publish(together, new.ip, new.domain, refs=[f"supersedes:{old}"], **changes)

    assert ["-indicator", "-report"] == types(tool.poll())
    assert not [value for value in (new.ip["value"], new.domain["value"]) if value in tool.said()]


def test_recall(together: Desks) -> None:
    """A recalled bulletin is revoked, a note says why, and its content is at no endpoint."""
    new = Fresh()
    tool = Tool(together)
    line = publish(together, new.phone, new.ip, new.person)
    tool.poll()
    together.post(together.recall(ISSUER, line, [READER]))

    assert ["-identity", "-indicator", "-report", "note"] == types(tool.poll())
    assert not [each for each in (new.phone, new.ip, new.person) if each["value"] in tool.said()]


def test_partial_recall(together: Desks) -> None:
    """What was recalled in part comes anew without that."""
    new = Fresh()
    tool = Tool(together)
    line = publish(together, new.phone, new.ip, new.domain)
    before = {each["id"]: each for each in tool.poll()}
    together.post(together.recall(ISSUER, line, [READER], indicators=[new.ip]))

    found = tool.poll()
    assert ["-indicator", "domain-name", "indicator", "note", "phone-number", "report"] == types(found)
    (report,) = (each for each in found if each["type"] == "report")
    assert report["modified"] > before[report["id"]]["modified"]
    assert new.ip["value"] not in tool.said()


def test_partial_recall_beyond_the_token(together: Desks) -> None:
    """What was recalled in part is out, even if the recall itself is not for tools."""
    new = Fresh()
    tool = Tool(together)
    line = publish(together, new.ip, new.domain)
    together.post(together.recall(ISSUER, line, [READER], indicators=[new.ip], tlp="AMBER+STRICT"))

    assert ["-indicator", "domain-name", "indicator", "report"] == types(tool.poll())
    assert new.ip["value"] not in tool.said()


def test_recall_after_a_partial_one(together: Desks) -> None:
    """After the rest was recalled too nothing of it is left."""
    new = Fresh()
    tool = Tool(together)
    line = publish(together, new.ip, new.domain)
    together.post(together.recall(ISSUER, line, [READER], indicators=[new.ip]))
    together.post(together.recall(ISSUER, line, [READER]))

    assert ["-indicator", "-indicator", "-report", "note", "note"] == types(tool.poll())
    assert not [each for each in (new.ip, new.domain) if each["value"] in tool.said()]


def test_expiry(desks: Desks) -> None:
    """What has ended is not served from that second on, and revoked once the log says so."""
    new = Fresh()
    tool = Tool(desks)
    publish(desks, new.ip, exp=desks.session(ISSUER).now() + 600)
    tool.poll()
    desks.clock.advance(601)
    at_once = tool.said()
    desks.hub.writer.submit(lambda _batch: None).result()

    assert new.ip["value"] not in at_once
    assert ["-indicator", "-report"] == types(tool.poll())


def test_recall_outlives_its_own_end(desks: Desks) -> None:
    """The note on a recall stays for as long as what it recalls would have stood."""
    new = Fresh()
    tool = Tool(desks)
    now = desks.session(ISSUER).now()
    line = publish(desks, new.ip, exp=now + 5 * DAY_S)
    desks.post(desks.recall(ISSUER, line, [READER], exp=now + 600))
    desks.clock.advance(700)
    standing = len(tool.of("note"))
    desks.clock.advance(5 * DAY_S)

    assert (1, 0) == (standing, len(tool.of("note")))


def test_purge(desks: Desks) -> None:
    """A purge takes what collections held of a bulletin, with all that was said of it, its ids too."""
    new = Fresh()
    tool = Tool(desks)
    old = publish(desks, new.phone, new.person, exp=desks.session(ISSUER).now() + DAY_S)
    newer = publish(desks, new.domain, refs=[f"supersedes:{old}"], exp=desks.session(ISSUER).now() + 60 * DAY_S)
    tool.poll()
    desks.clock.advance(33 * DAY_S)
    for _ in range(3):
        desks.clock.advance(61)
        desks.hub.writer.submit(lambda _batch: None).result()

    assert 1 == len([each for each in desks.details(kind="bulletin.purged", party=ISSUER) if old in each["ids"]])
    with desks.hub.store.read() as conn:
        held = {row.id: row.body for row in conn.execute(select(taxii_tables.taxii_object))}
    assert report_id(old) in held
    assert not [name for name in held if name.startswith(("identity--", "phone")) and b"Withdrawn" in held[name]]
    secrets_of_it = (new.phone["value"].encode(), b"ARJUNA")
    assert [] == [name for name, body in held.items() for each in secrets_of_it if each in body]
    assert newer not in str(desks.details(kind="bulletin.purged"))


def test_purged_before_it_was_asked_for(desks: Desks) -> None:
    """What was purged before anybody read by TAXII is not in the collections."""
    new = Fresh()
    publish(desks, new.phone, exp=desks.session(ISSUER).now() + 600)
    desks.clock.advance(33 * DAY_S)
    for _ in range(3):
        desks.clock.advance(61)
        desks.hub.writer.submit(lambda _batch: None).result()

    assert [] == Tool(desks, is_new=True).poll()


def test_shared_observable(together: Desks) -> None:
    """An observable of several bulletins is found once, as marked most narrowly, by what still stands."""
    new = Fresh()
    tool = Tool(together)
    markings = []
    publish(together, new.phone, tlp="GREEN")
    narrow = publish(together, new.phone, tlp="AMBER")
    publish(together, new.phone, tlp="CLEAR")
    markings += [each["object_marking_refs"] for each in tool.of("phone-number")]
    together.post(together.recall(ISSUER, narrow, [READER]))
    markings += [each["object_marking_refs"] for each in tool.of("phone-number")]

    assert [[TLP_MARKINGS["AMBER"]], [TLP_MARKINGS["GREEN"]]] == markings


def test_shared_observable_of_another(together: Desks) -> None:
    """An observable is found through a bulletin that one may read, however many others have it."""
    new = Fresh()
    tool = Tool(together)
    publish(together, new.phone, to=(OTHER,))
    publish(together, new.phone, tlp="GREEN")
    publish(together, new.phone, to=(OTHER,), tlp="CLEAR")

    assert [[TLP_MARKINGS["GREEN"]]] == [each["object_marking_refs"] for each in tool.of("phone-number")]


def test_suspect(desks: Desks) -> None:
    """What was signed with a key after it was compromised is not served: no tool could show the mark."""
    new = Fresh()
    tool = Tool(desks)
    publish(desks, new.phone)
    session = desks.session(ISSUER)
    desks.post(session.sign_revocation("keyCompromise", session.now() - 60), KEY)

    assert [] == tool.poll()


def test_no_reader_no_work(desks: Desks) -> None:
    """A hub that nobody reads by TAXII keeps no objects."""
    new = Fresh()
    publish(desks, new.phone)

    with desks.hub.store.read() as conn:
        assert (taxii.State(), []) == (taxii.state(conn), conn.scalars(select(taxii_tables.taxii_object.c.id)).all())


def test_backlog(desks: Desks) -> None:
    """A reader who does not wait gets what is there, in order, and the rest later; nothing twice, nothing missed."""
    new = Fresh()
    tool = Tool(desks, is_new=True)
    lines = [publish(desks, new.phone | {"value": f"+6012345{number:04}"}) for number in range(STEPS_MAX * 2 + 3)]

    found = [each["id"] for _ in range(20) for each in tool.poll(limit=7) if each["type"] == "report"]
    assert [report_id(each) for each in lines] == found


def test_does_not_wait_for_ever(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request waits a moment for what the log has; what is not there by then comes with a later one, once."""
    new = Fresh()
    monkeypatch.setattr(filling.Filling.catch_up, "__defaults__", (0.0,))
    tool = Tool(desks, is_new=True)
    publish(desks, new.phone)

    wait_until(lambda: bool(tool.poll()))
    assert ["phone-number", "report"] == types(tool.held)


def test_made_anew(desks: Desks) -> None:
    """Collections that are made anew have the same at later times: readers get it once more and miss nothing."""
    new = Fresh()
    tool = Tool(desks)
    gone = publish(desks, new.ip)
    publish(desks, new.phone)
    tool.poll()
    desks.post(desks.recall(ISSUER, gone, [READER]))
    key, now = desks.hub.secret.index_key, desks.hub.now()
    desks.hub.writer.submit(lambda batch: reindex(batch.conn, key, now=now, progress=lambda _seq: None)).result()

    assert ["-indicator", "-report", "note", "phone-number", "report"] == types(tool.poll())


def forged(desks: Desks) -> tuple[int, int]:
    """Publish a bulletin and let a tool read it; return its index and that of its addition."""
    publish(desks, Fresh().phone)
    Tool(desks)
    addition = taxii_tables.taxii_addition
    with desks.hub.store.read() as conn:
        assert taxii.misplaced(conn) is None
        row = conn.execute(select(addition.c.seq, addition.c.last).where(addition.c.seq >= 0)).one()
    return int(row.seq), int(row.last)


def test_fsck(desks: Desks) -> None:
    """What stands in a collection for somebody it was not released to is found."""
    seq, last = forged(desks)
    with desks.hub.store.write() as conn:
        conn.execute(insert(taxii_tables.taxii_reader), {"agency": OTHER, "collection": "all", "last": last})

    with pytest.raises(LogHalted, match=f"index {seq}: TAXII gives out"):
        check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)


def test_left_by_a_purge(desks: Desks) -> None:
    """What stands in a collection of a bulletin whose content is gone is found."""
    seq, _ = forged(desks)
    with desks.hub.store.write() as conn:
        conn.execute(update(tables.line).where(tables.line.c.seq == seq).values(raw=None))

    with desks.hub.store.read() as conn:
        assert seq == taxii.misplaced(conn)


def test_mended_by_migrating(opened: Hub, few: Template, clock: ShiftedClock) -> None:
    """What stands there without right is gone after `lintas-broker migrate`; the right things come anew."""
    opened.start()
    with served(opened) as url:
        desks = Desks(opened, few.identities.__getitem__, clock, url)
        seq, last = forged(desks)
        desks.close()
    with opened.store.write() as conn:
        conn.execute(insert(taxii_tables.taxii_reader), {"agency": OTHER, "collection": "all", "last": last})
    opened.stop()
    ran = [CliRunner().invoke(cli, ["migrate", "--data", str(opened.settings.data)]) for _ in range(2)]

    assert [0, 0] == [each.exit_code for each in ran]
    assert ["are in the index", "already"] == [
        word for each, word in zip(ran, ("are in the index", "already"), strict=True) if word in each.output
    ]
    store = Store(opened.settings.database)
    with store.read() as conn:
        assert [] == conn.scalars(select(taxii_tables.taxii_addition.c.last)).all()
        assert taxii.state(conn).added >= last
    store.close()
    assert seq > 0


def test_on_record(together: Desks) -> None:
    """A page is on record before it leaves, with the bulletins in it; its issuer sees who had it by which token."""
    new = Fresh()
    tool = Tool(together, token="e" * 12)
    line = publish(together, new.phone)
    other = publish(together, new.phone)
    tool.page(match_type="report")

    sent = together.details(kind="bulletin.sent", party=READER)[0]
    assert ([line, other], 2, "all", f"taxii/{tool.token}") == (
        sent["ids"],
        sent["count"],
        sent["collection"],
        sent["way"],
    )
    (shown,) = together.get(f"/v1/bulletins/{line}/readers", ISSUER).json()["readers"]
    assert [f"taxii/{tool.token}"] == shown["sent"]["ways"]


def test_nothing_on_record(together: Desks) -> None:
    """A poll that gives nothing, and what has no content of a bulletin, is no sending."""
    new = Fresh()
    tool = Tool(together)
    publish(together, new.phone)
    tool.poll()
    before = len(together.events(party=READER))
    tool.poll()
    assert before == len(together.events(party=READER))

    tool.page("manifest")
    report = tool.of("report")[0]["id"]
    tool.get(f"collections/all/objects/{report}/versions/")
    tool.get("collections/all/objects/", match_type="marking-definition")
    views = [each["view"] for each in together.details(kind="view.read", party=READER)]
    assert ["taxii/objects", "taxii/versions", "taxii/manifest"] == views[:3]


def test_withdrawn_but_not_yet_taken_out(together: Desks) -> None:
    """What the log has withdrawn is not served, even if the collections do not know of it yet."""
    new = Fresh()
    tool = Tool(together)
    lines = [publish(together, each) for each in (new.phone, new.ip, new.domain)]
    tool.poll()
    together.post(together.recall(ISSUER, lines[0], [READER]))
    together.post(together.recall(ISSUER, lines[1], [READER], indicators=[new.ip]))
    publish(together, refs=[f"supersedes:{lines[2]}"])
    asked = read("GET", "/taxii2/api/collections/all/objects/", f"added_after={tool.since}", {})
    caller = ReadCaller(READER, "AMBER", ("*",))
    everything = collection_of(together.hub, caller, "all")
    with together.hub.store.read() as conn:
        page = read_objects(conn, together.hub.directory, caller, asked, everything, now=together.hub.now())

    assert [] == [each.id for each in page.records if each.type not in {"identity", "marking-definition", EXTENSION}]


def test_correction_for_more_readers(together: Desks) -> None:
    """Who has a correction alone learns nothing of what it corrects, not even from ids."""
    new = Fresh()
    tool = Tool(together, OTHER)
    old = publish(together, new.ip, new.person)
    publish(together, new.domain, to=(READER, OTHER), refs=[f"supersedes:{old}"])

    assert ["domain-name", "indicator", "report"] == types(tool.poll())


def test_gone_for_every_partner(desks: Desks) -> None:
    """That something for every partner is gone is told to those who could read it."""
    new = Fresh()
    tools = [Tool(desks, READER), Tool(desks, OTHER)]
    desks.order("grant", agency=OTHER, publish=["*"], read=["drugs"])
    line = publish(desks, new.ip, to=("*",), tlp="GREEN")
    desks.post(desks.recall(ISSUER, line, ["*"], tlp="GREEN"))

    assert [["-indicator", "-report", "note"], ["note"]] == [types(tool.poll()) for tool in tools]


def test_read_only(desks: Desks) -> None:
    """A hub that accepts nothing gives nothing that it could not record, and says so in the form of TAXII."""
    new = Fresh()
    tool = Tool(desks, is_new=True)
    publish(desks, new.phone)
    tool.poll()
    desks.hub.writer._halted = LogBehind("The log lacks rows.")
    answers = [tool.get("collections/all/objects/"), tool.get("collections/all/objects/", match_type="unheard-of")]
    desks.hub.writer._halted = None

    assert [503, 200] == [answer.status_code for answer in answers]
    assert ("read-only", MEDIA) == (answers[0].json()["error_code"], answers[0].headers["content-type"])
    assert new.phone["value"] not in answers[0].text
    assert new.phone["value"] in tool.said()


@pytest.mark.parametrize("fault", [BadRequest("Not a bulletin."), ValueError("a bug")])
def test_what_cannot_be_filled(desks: Desks, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """A fault in the filling keeps nobody waiting, and is over when its cause is."""
    new = Fresh()
    tool = Tool(desks)
    first = publish(desks, new.phone)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(filling, "next_slice", fail)
        assert [] == tool.poll()

    assert [report_id(first)] == [each["id"] for each in tool.poll() if each["type"] == "report"]


def test_crash(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is told in the form of TAXII too, without a trace of the code."""
    bearer = {"Authorization": f"Bearer {desks.session(READER).token()}"}

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(desks.hub.store, "read", fail)
        # A connection of its own: the server closes it.
        answer = httpx.get(f"{desks.url}/taxii2/api/collections/all/objects/", headers=bearer)

    assert (500, "internal-error", MEDIA) == (
        answer.status_code,
        answer.json()["error_code"],
        answer.headers["content-type"],
    )
    assert "bug" not in answer.text


def test_large_objects(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends before it is too large to hold, with one object at least; the next goes on there."""
    monkeypatch.setattr(giving, "PAGE_BYTES_MAX", 1_500)
    tool = Tool(desks, is_new=True)
    lines = [publish(desks, Fresh().phone) for _ in range(3)]
    pages = [tool.page(match_type="report")]
    while pages[-1]["more"]:
        pages.append(tool.page(match_type="report", next=pages[-1]["next"]))

    assert [[report_id(each)] for each in lines] == [[each["id"] for each in page["objects"]] for page in pages]


def test_filled_by_another_replica(desks: Desks) -> None:
    """A slice that another replica added in the meantime is not added again."""
    publish(desks, Fresh().phone)
    hub = desks.hub
    with hub.store.read() as conn:
        found = next_slice(conn, hub.directory.partners, now=hub.now())
    for _ in range(2):
        hub.writer.submit(lambda batch: filling.add(batch, found)).result()

    assert ["phone-number", "report"] == types(Tool(desks, is_new=True).poll())

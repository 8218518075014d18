"""The pages of bulletins: who sees what of them, and what is recorded of it."""

from __future__ import annotations

import re

import httpx
import pytest

from broker.web.console.rendering import environment
from lintas import vocabulary
from lintas.bulletin import Bulletin
from lintas.header import BULLETIN
from lintas.line import Line, make_head, parse, sign_under
from lintas.misp.export import uuid_of
from lintas.sealed import seal
from lintas.strict import canonical
from tests.console.conftest import AUDITOR, Console
from tests.console.reading import Reading, sign_in, words

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
SECRET = "Fictional secret title"
UNKNOWN = "A" * 43
PERSONAL = {
    "title": SECRET,
    "summary": "FICTIONAL.",
    "indicators": [{"type": "email", "value": "somebody@example.org", "role": "sender"}],
}


@pytest.fixture(scope="module")
def officer(console: Console) -> Reading:
    """An officer of the agency that issues."""
    return sign_in(console, ISSUER)


@pytest.fixture(scope="module")
def reader(console: Console) -> Reading:
    """An officer of an agency that receives."""
    return sign_in(console, READER)


@pytest.fixture(scope="module")
def other(console: Console) -> Reading:
    """An officer of an agency that has nothing to do with it."""
    return sign_in(console, OTHER)


@pytest.fixture(scope="module")
def admin(console: Console) -> Reading:
    """A reviewing administrator."""
    return sign_in(console, AUDITOR)


@pytest.fixture(scope="module")
def line(console: Console) -> Line:
    """A bulletin of the issuer for the reader."""
    return console.publish(ISSUER, [READER], payload={"title": SECRET, "summary": "FICTIONAL. One.\nTwo."})


def address(line: Line, query: str = "") -> str:
    """Return the address of a bulletin's page."""
    return f"/console/bulletins/{line.id}{query}"


def test_admin_sees_header_alone(admin: Reading, line: Line) -> None:
    """An administrator sees header, signature, readers; no title, no payload, in no page."""
    page = admin.words(address(line))

    assert "No content here" in page
    assert f"{READER} released" in page
    assert "good checked by the hub" in page
    for path in (address(line), "/console/bulletins", "/console/"):
        assert SECRET not in admin.page(path)


def test_issuer_reads_its_own(officer: Reading, line: Line) -> None:
    """The issuer's officer sees the content, and who has it."""
    page = officer.words(address(line))

    assert SECRET in page
    assert "One. Two." in page
    assert f"{READER} released" in page


def test_reader_reads_what_was_released(console: Console, reader: Reading, line: Line) -> None:
    """A recipient's officer sees the content, not the readers; the sending is recorded by its way."""
    page = reader.words(address(line))

    assert SECRET in page
    assert "Acknowledged" not in page
    sent = console.events(kind="bulletin.sent", party=READER, object=line.id)
    assert "console" == sent[0]["way"]


def test_issuer_sees_the_way(officer: Reading, reader: Reading, line: Line) -> None:
    """That a recipient read it in the console stands in the issuer's table of readers."""
    reader.page(address(line))

    assert re.search(rf"{READER} released yes, [\w :]+ \u2013 \u2013 \u2013 console", officer.words(address(line)))


def test_issuer_sees_the_tool(console: Console, officer: Reading) -> None:
    """What a tool of an agency fetched is named so to the issuer, with the agency."""
    mine = console.publish(ISSUER, [READER], payload={"title": SECRET, "summary": "FICTIONAL."})
    token = f"Bearer {console.session(READER).token()}"
    assert 200 == httpx.get(f"{console.url}/misp/{uuid_of(mine.id)}.json", headers={"Authorization": token}).status_code
    page = officer.page(address(mine))

    assert "MISP feed" in words(page)
    assert f'title="delivered by MISP feed to {READER}"' in page


@pytest.mark.parametrize("query", ["", "?purpose=audit&case_ref=SIM-1"])
def test_unreleased_is_like_unknown(other: Reading, line: Line, query: str) -> None:
    """What was not released is answered, to the byte of its words, like what does not exist."""
    hidden, unknown = other.get(address(line, query)), other.get(f"/console/bulletins/{UNKNOWN}{query}")

    assert (404, 404) == (hidden.status_code, unknown.status_code)
    assert words(unknown.text) == words(hidden.text)
    assert line.id not in hidden.text


def test_unreleased_is_in_no_list(other: Reading, line: Line) -> None:
    """What was not released stands in no list, under no filter, in no figure's live list."""
    for path in ("/console/bulletins", f"/console/bulletins?from={ISSUER}", "/console/"):
        assert line.id not in other.page(path)


def test_withheld_says_why(console: Console, officer: Reading) -> None:
    """A recipient that may not have it is shown to the issuer with the reason that the API gives."""
    console.order("grant", agency="vn-police", publish=["*"], read=["drugs"])
    line = console.publish(ISSUER, [READER, "vn-police"])

    assert "vn-police withheld: not-entitled" in officer.words(address(line))


def test_person_data_needs_a_purpose(console: Console, reader: Reading) -> None:
    """Content with person data is shown for a purpose and a case alone, and both stand in the record."""
    line = console.publish(ISSUER, [READER], payload=PERSONAL)
    closed = reader.page(address(line))
    before = console.events(kind="bulletin.sent", party=READER, object=line.id)

    opened = reader.page(address(line, "?purpose=investigation&case_ref=SIM+77"))

    assert SECRET not in closed
    assert "somebody@example.org" not in closed
    assert f"lintas show {line.id} --purpose PURPOSE --case-ref CASE" in words(closed)
    assert [] == before
    assert SECRET in opened
    sent = console.events(kind="bulletin.sent", party=READER, object=line.id)
    assert ("investigation", "SIM 77") == (sent[0]["purpose"], sent[0]["case_ref"])


@pytest.mark.parametrize("query", ["purpose=investigation", "case_ref=SIM-1", "purpose=fun&case_ref=SIM-1"])
def test_half_a_purpose_is_none(reader: Reading, line: Line, query: str) -> None:
    """A purpose without a case, a case without a purpose, or a purpose that is none, is refused."""
    assert 400 == reader.get(address(line, f"?{query}")).status_code


def test_issuer_needs_no_purpose(console: Console, officer: Reading) -> None:
    """An issuer reads its own person data without one."""
    line = console.publish(ISSUER, [READER], payload=PERSONAL)

    assert SECRET in officer.page(address(line))


def test_sealed_stays_closed(console: Console, reader: Reading) -> None:
    """Sealed content is not opened here: the page says so with the command, and nothing is sent."""
    line = sealed(console, ISSUER, READER)
    page = reader.words(address(line, "?purpose=audit&case_ref=SIM-1"))

    assert f"lintas show {line.id} --purpose PURPOSE --case-ref CASE" in page
    assert "sealed end to end" in page
    assert [] == console.events(kind="bulletin.sent", party=READER, object=line.id)


def sealed(console: Console, issuer: str, reader: str) -> Line:
    """Publish a sealed bulletin."""
    session = console.session(issuer)
    now, directory = session.now(), console.hub.directory
    keys = [directory.opening_key(agency, now) for agency in (issuer, reader)]
    members = {
        "typ": BULLETIN,
        "iss": issuer,
        "aud": directory.hub,
        "iat": now,
        "exp": now + 86_400,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "release_to": [reader],
        "urgency": "routine",
        "enc": "hpke",
    }
    signer = session.identity.key
    head = make_head(members, signer)
    content = canonical({"title": SECRET, "summary": "FICTIONAL."})
    payload = seal(content, head=head, to={key.kid: key.public for key in keys if key}, content_key=b"\x07" * 32)
    line = parse(sign_under(head, payload, signer))
    console.post(line, BULLETIN, "/v1/bulletins")
    return line


def test_recalled_shows_no_content(console: Console, officer: Reading, reader: Reading) -> None:
    """What was recalled says so with the recall, shows no content any more, and reading it sends nothing."""
    line = console.publish(ISSUER, [READER], payload={"title": SECRET, "summary": "FICTIONAL."})
    payload = {"title": "Recall", "summary": "FICTIONAL.", "reason": "false-positive"}
    recall = console.publish(ISSUER, [READER], kind="recall", refs=[f"recalls:{line.id}"], payload=payload)

    for each in (officer, reader):
        markup = each.page(address(line))
        assert "This bulletin is recalled" in words(markup)
        assert SECRET not in markup
        assert address(recall) in markup
    assert [] == console.events(kind="bulletin.sent", party=READER, object=line.id)
    assert f"lintas ack {recall.id}" in reader.words("/console/bulletins")


def test_thread_as_far_as_one_may_see(console: Console, reader: Reading, admin: Reading, line: Line) -> None:
    """A comment to the issuer alone is in the administrator's thread, and not in another reader's."""
    both = console.publish(ISSUER, [READER, OTHER])
    payload = {"title": "Only for the issuer", "summary": "FICTIONAL."}
    comment = console.publish(OTHER, [ISSUER], kind="comment", refs=[f"comments:{both.id}"], payload=payload)

    assert address(comment) in admin.page(address(both))
    assert comment.id not in reader.page(address(both))


def test_request_is_due_with_its_command(console: Console, reader: Reading) -> None:
    """An open request stands on the reader's list with the command that answers it."""
    payload = {
        "title": "Who?",
        "summary": "FICTIONAL.",
        "questions": ["Who is it?"],
        "purpose": {"code": "investigation", "statement": "FICTIONAL"},
        "case_ref": "SIM-1",
    }
    line = console.publish(ISSUER, [READER], kind="rfi", payload=payload)

    assert f"lintas answer {line.id} --result negative" in reader.words("/console/bulletins")
    assert f"lintas answer {line.id} --result negative" in reader.words(address(line))


def test_pages_go_on_by_index(console: Console, officer: Reading) -> None:
    """A list goes on before the last index it showed; nothing is shown twice, nothing left out."""
    for _ in range(52):
        console.publish("tl-customs", [ISSUER], topic="wildlife")
    first = officer.page("/console/bulletins?from=tl-customs")
    shown = re.findall(r'href="/console/bulletins/([\w-]{43})"', first)
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found is not None

    second = officer.page(found[1].replace("&amp;", "&"))

    assert 50 == len(set(shown))
    rest = re.findall(r'href="/console/bulletins/([\w-]{43})"', second)
    assert 2 == len(set(rest))
    assert set(shown).isdisjoint(rest)


def test_filters_narrow_and_can_be_taken_away(console: Console, officer: Reading) -> None:
    """Every row fits the filters, each filter is a chip that leads to the list without it."""
    console.publish(ISSUER, [READER], topic="drugs", tlp="AMBER+STRICT", urgency="urgent")
    page = officer.page("/console/bulletins?topic=drugs&tlp=AMBER%2BSTRICT")

    assert 'href="/console/bulletins?tlp=AMBER%2BSTRICT"' in page
    assert 'href="/console/bulletins?topic=drugs"' in page
    assert {"TLP:AMBER+STRICT"} == set(re.findall(r">(TLP:[A-Z+]+)</span>", page.partition("<tbody")[2]))


@pytest.mark.parametrize(
    "query", ["topic=none", "tlp=BLUE", "from=x", "before=-1", "urgency=", "offset=3", "topic=drugs&topic=tip"]
)
def test_filter_that_is_none_is_refused(officer: Reading, query: str) -> None:
    """A filter that is unknown, malformed or given twice is refused; an empty one asks for nothing."""
    assert (200 if query == "urgency=" else 400) == officer.get(f"/console/bulletins?{query}").status_code


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        ("/console/bulletins?topic=drugs", {"view": "bulletins", "topic": "drugs"}),
        ("/console/bulletins/{id}", {"view": "bulletin", "asked": "{id}"}),
    ],
)
def test_views_are_events(
    console: Console, admin: Reading, officer: Reading, line: Line, *, path: str, facts: dict[str, str]
) -> None:
    """Each view is an event of who looked, with what was asked for."""
    expected = {name: value.format(id=line.id) for name, value in facts.items()} | {"by": "console"}

    for each, kind, party in ((admin, "admin.viewed", AUDITOR), (officer, "view.read", ISSUER)):
        each.page(path.format(id=line.id))
        assert expected == console.events(kind=kind, party=party)[0]


def test_turned_text_is_named() -> None:
    """Text that would turn or hide what follows is shown by the names of its characters, in an isolate of its own.

    The hub refuses such a bulletin; a page does not rely on that.
    """
    turned = "a\u202eb\u2066c\u200bd\x00"
    content = Bulletin(kind="alert", title=turned, summary=turned, caveats=(turned,), references=(turned,))
    template = '{% import "bulletin_macros.html" as b %}{% include "bulletin_content.html" %}'

    page = environment().from_string(template).render(content=content, known=vocabulary.load(), facts=None, now=0)

    assert not set(page) & set("\u202e\u2066\u200b\x00")
    assert 4 == page.count("U+202E")
    assert 4 <= page.count("<bdi>")

"""The console without a browser: who gets a link, what a session is refused for, what every answer forbids."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from broker.sessions import IDLE_S, KEPT_S, LINK_S
from broker.web.console.session import COOKIE
from broker.web.console.static import read_files
from tests.broker.conftest import AUDITOR, REGISTRAR, Desks, problem_of

OWN = {"Sec-Fetch-Site": "same-origin"}
FORM = OWN | {"Content-Type": "application/x-www-form-urlencoded"}


def ask(desks: Desks, party: str, **body: Any) -> httpx.Response:
    """Ask for a link."""
    headers = {"Authorization": f"Bearer {desks.session(party).token()}", "Content-Type": "application/json"}
    return desks.http.post(f"{desks.url}/v1/console/links", content=json.dumps(body).encode(), headers=headers)


def link(desks: Desks, party: str, **body: Any) -> str:
    """Return the address of a link that must be given."""
    answer = ask(desks, party, **body)
    assert answer.status_code == 201, answer.text
    return desks.url + str(answer.json()["path"])


def enter(desks: Desks, party: str, **body: Any) -> dict[str, str]:
    """Sign in; return the headers of a browser that did."""
    answer = httpx.post(link(desks, party, **body), headers=FORM)
    assert answer.status_code == 303, answer.text
    return OWN | {"Cookie": answer.headers["set-cookie"].split(";", 1)[0]}


def reasons(desks: Desks) -> list[str]:
    """Return why sessions were refused, newest first."""
    return [detail["reason"] for detail in desks.details(kind="session.refused")]


@pytest.mark.parametrize(
    ("party", "role", "found"),
    [
        (REGISTRAR, None, "reviewer"),
        (REGISTRAR, "operator", "operator"),
        ("my-police", None, "officer"),
        (REGISTRAR, "officer", None),
        ("my-police", "operator", None),
        ("my-police", "root", None),
    ],
)
def test_role_fits_the_key(desks: Desks, party: str, role: str | None, found: str | None) -> None:
    """Administrators sign in as reviewer or operator, agencies as officer, nobody as anything else."""
    answer = ask(desks, party, **({} if role is None else {"role": role}))

    if found is None:
        assert (403, "not-allowed", "role") == problem_of(answer)
    else:
        assert (201, found) == (answer.status_code, answer.json()["role"])
        assert {"role": found, "kid": desks.session(party).identity.key.kid} == desks.details(kind="session.offered")[0]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"role":1}', b'{"role":"reviewer","as":"me"}'])
def test_asked_wrongly(desks: Desks, body: bytes) -> None:
    """A link is asked for with an object that has a role or nothing."""
    headers = {"Authorization": f"Bearer {desks.session(REGISTRAR).token()}", "Content-Type": "application/json"}

    answer = desks.http.post(f"{desks.url}/v1/console/links", content=body, headers=headers)

    assert 400 == answer.status_code


def test_nothing_secret_is_kept(desks: Desks) -> None:
    """Neither the code of a link nor a cookie stands in the database."""
    address = link(desks, "my-police")
    answer = httpx.post(address, headers=FORM)

    secrets_ = (address.rpartition("/")[2], answer.headers["set-cookie"].split(";", 1)[0].partition("=")[2])
    with desks.hub.store.read() as conn:
        tables = [conn.exec_driver_sql(f"SELECT * FROM {name}").all() for name in ("link", "session", "event")]
    assert all(len(secret) == 43 and secret not in str(tables) for secret in secrets_)


def test_link_is_late(desks: Desks) -> None:
    """After a minute a link signs nobody in; that it was tried is on record once, later tries are a stranger's."""
    address = link(desks, "my-police")
    desks.clock.advance(LINK_S)

    answers = [httpx.post(address, headers=FORM) for _ in range(2)]

    assert [401, 401] == [answer.status_code for answer in answers]
    assert ["late"] == reasons(desks)


def test_old_links_are_forgotten(desks: Desks) -> None:
    """Links and sessions that are long over are swept when the next link is made."""
    enter(desks, "my-police")
    desks.clock.advance(KEPT_S + 9 * 3_600)
    link(desks, "sg-fiu")

    with desks.hub.store.read() as conn:
        counts = [conn.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() for name in ("link", "session")]
    assert [1, 0] == counts


def test_session_ends_with_its_key(desks: Desks) -> None:
    """When the key that signed in is revoked, its session is refused at once, on record; its links too."""
    browser, address = enter(desks, "my-police"), link(desks, "my-police")
    kid = desks.session("my-police").identity.key.kid
    reason = {"reason": "keyCompromise", "since": desks.session(REGISTRAR).now()}
    assert desks.order("revoke", agency="my-police", kid=kid, **reason).is_success

    answers = [httpx.get(f"{desks.url}/console/audit", headers=browser), httpx.post(address, headers=FORM)]

    assert [401, 401] == [answer.status_code for answer in answers]
    assert ["key", "key"] == reasons(desks)


def test_session_ends_with_a_suspension(desks: Desks) -> None:
    """A suspended agency has no console; its officers' sessions have ended when it is resumed."""
    browser = enter(desks, "my-police")
    assert desks.order("suspend", agency="my-police", reason="desk closed").is_success
    suspended = httpx.get(f"{desks.url}/console/audit", headers=browser).status_code
    assert desks.order("resume", agency="my-police").is_success

    assert (403, 401) == (suspended, httpx.get(f"{desks.url}/console/audit", headers=browser).status_code)
    assert ["suspended"] == reasons(desks)


def test_idle_session_ends_quietly(desks: Desks) -> None:
    """A session that is over by time is an end, no refusal."""
    browser = enter(desks, "my-police")
    desks.clock.advance(IDLE_S)

    assert 401 == httpx.get(f"{desks.url}/console/audit", headers=browser).status_code
    assert ([], "expired") == (reasons(desks), desks.details(kind="session.ended")[0]["reason"])


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
@pytest.mark.parametrize("path", ["/console/audit", "/console/sign-out", "/console/sign-in/{code}"])
def test_other_sites_cannot_ask(desks: Desks, site: str | None, path: str) -> None:
    """What another site made a browser ask is refused before anything else, with a good cookie and a good link too."""
    browser = enter(desks, REGISTRAR)
    code = link(desks, AUDITOR).rpartition("/")[2]
    headers = {**browser, **FORM} | ({"Sec-Fetch-Site": site} if site else {})
    if site is None:
        del headers["Sec-Fetch-Site"]

    method = "GET" if path == "/console/audit" else "POST"
    answer = httpx.request(method, desks.url + path.format(code=code), headers=headers)

    assert 403 == answer.status_code
    assert 200 == httpx.get(f"{desks.url}/console/audit", headers=browser).status_code
    assert 303 == httpx.post(f"{desks.url}/console/sign-in/{code}", headers=FORM).status_code


@pytest.mark.parametrize("path", ["/console/", "/console/audit", "/console/static/console.css", "/console/nothing"])
def test_every_answer_forbids_what_pages_do_not_need(desks: Desks, path: str) -> None:
    """Pages, files, refusals carry the policy and its companions; nothing of it is kept by caches."""
    found = httpx.get(desks.url + path, headers=OWN).headers

    policy = found["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert ("nosniff", "no-referrer") == (found["x-content-type-options"], found["referrer-policy"])
    assert ("same-origin", "same-origin") == tuple(
        found[f"cross-origin-{name}-policy"] for name in ("opener", "resource")
    )
    assert ("no-cache" if "static" in path else "no-store") == found["cache-control"]


def test_browsers_stay_with_tls(desks: Desks) -> None:
    """An answer that goes out over TLS, as the proxy says, tells the browser to use nothing else; others do not."""
    name = "strict-transport-security"
    found = [
        httpx.get(f"{desks.url}/console/", headers=OWN | more).headers.get(name)
        for more in ({"X-Forwarded-Proto": "https"}, {})
    ]

    assert ["max-age=31536000", None] == found


def test_files_have_strong_tags(desks: Desks) -> None:
    """A file that the browser has is not sent again; another version of it is."""
    (name, file), *_ = read_files().items()
    address = f"{desks.url}/console/static/{name}"

    assert (200, file.data, file.tag) == (
        (answer := httpx.get(address)).status_code,
        answer.content,
        answer.headers["etag"],
    )
    assert [304, 200] == [
        httpx.get(address, headers={"If-None-Match": tag}).status_code for tag in (file.tag, '"other"')
    ]
    assert 404 == httpx.get(f"{desks.url}/console/static/..%2Fheaders.py").status_code


def test_cookie_that_never_was(desks: Desks) -> None:
    """An invented cookie is as good as none."""
    answer = httpx.get(f"{desks.url}/console/audit", headers=OWN | {"Cookie": f"{COOKIE}={'A' * 43}"})

    assert 401 == answer.status_code
    assert "lintas open" in answer.text

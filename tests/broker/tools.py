"""Tools of agencies for tests: they know TAXII and a read token, nothing of Lintas."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from lintas.header import ORDER
from lintas.read_token import digest_of, write_token
from lintas.stix.fixed import TLP_MARKINGS
from lintas.stix.ids import FIXED_TIME
from tests.broker.conftest import Desks

SECRET = "c2VjcmV0IG9mIDMyIGJ5dGVzIGluIGJhc2U2NHVybCE"
API = "/taxii2/api/"


@dataclass
class Tool:
    """A program of an agency that polls a collection: by a read token if it has the id of one, else by its own.

    It knows nothing of what was there before it began.
    """

    desks: Desks
    agency: str = "sg-fiu"
    token: str | None = None
    collection: str = "all"
    ceiling: str = "AMBER"
    areas: tuple[str, ...] = ("*",)
    held: list[dict[str, Any]] = field(default_factory=list)
    last: str | None = None
    is_new: bool = False
    """It reads what was there before it began, too."""

    def __post_init__(self) -> None:
        if self.token is not None:
            answer = self.desks.post(self.desks.session(self.agency).sign_order("read-token", self._order()), ORDER)
            assert answer.status_code == 201, answer.text
        if not self.is_new:
            self.poll()
            self.held.clear()
        self.since = self.last

    def _order(self) -> dict[str, Any]:
        return {
            "token": self.token,
            "digest": digest_of(SECRET),
            "ceiling": self.ceiling,
            "areas": list(self.areas),
            "until": self.desks.session(self.agency).now() + 30 * 86_400,
            "addresses": [],
            "label": "TAXII client of a test",
        }

    @property
    def auth(self) -> tuple[str, str]:
        """User and password for Basic."""
        assert self.token is not None
        return self.agency, write_token(self.token, SECRET)

    def get(self, path: str, **params: Any) -> httpx.Response:
        """Read a path below the API root; `match_type` is `match[type]`."""
        names = {name: f"match[{name[6:]}]" if name.startswith("match_") else name for name in params}
        found = {names[name]: value for name, value in params.items()}
        url = f"{self.desks.url}{API}{path}"
        if self.token is not None:
            return self.desks.http.get(url, params=found, auth=self.auth)
        bearer = {"Authorization": f"Bearer {self.desks.session(self.agency).token()}"}
        return self.desks.http.get(url, params=found, headers=bearer)

    def page(self, path: str = "objects", **params: Any) -> dict[str, Any]:
        """Read a page of the collection that must be given."""
        if self.since is not None and "next" not in params:
            params = {"added_after": self.since} | params
        answer = self.get(f"collections/{self.collection}/{path}/", **params)
        assert answer.status_code == 200, answer.text
        members: dict[str, Any] = answer.json()
        return members

    def everything(self, path: str = "objects", **params: Any) -> list[dict[str, Any]]:
        """Read all pages from the beginning, without what every partner knows."""
        found: list[dict[str, Any]] = []
        following: dict[str, str] = {}
        while True:
            page = self.page(path, **params, **following)
            found += page.get("objects", [])
            if not page.get("more"):
                return [each for each in found if not is_common(each)]
            following = {"next": page["next"]}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the objects of a type."""
        return [each for each in self.everything() if each["type"] == kind]

    def poll(self, **params: Any) -> list[dict[str, Any]]:
        """Read what was added since the last poll, as tools do; return it without what every partner knows."""
        new: list[dict[str, Any]] = []
        asked = params | ({"added_after": self.last} if self.last else {})
        while True:
            answer = self.get(f"collections/{self.collection}/objects/", **asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            new += page.get("objects", [])
            self.last = answer.headers.get("x-taxii-date-added-last", self.last)
            if not page.get("more"):
                break
            asked["next"] = page["next"]
        kept = [each for each in new if not is_common(each)]
        self.held += kept
        return kept

    def said(self) -> str:
        """Return all that every endpoint tells it now, as one text."""
        base = f"collections/{self.collection}/"
        params = {"match_version": "all"} | ({"added_after": self.since} if self.since else {})
        texts = [self.get(f"{base}{path}/", **params).text for path in ("objects", "manifest")]
        for each in json.loads(texts[-1]).get("objects", ()):
            if not is_common(each):
                one = f"{base}objects/{each['id']}/"
                texts += [self.get(one, match_version="all").text, self.get(f"{one}versions/").text]
        return "\n".join(texts)


def is_common(each: dict[str, Any]) -> bool:
    """Tell whether an object, or its record in a manifest, is one of those that every partner knows."""
    times = {each.get("modified"), each.get("version")}
    return FIXED_TIME in times or each["id"] in TLP_MARKINGS.values()

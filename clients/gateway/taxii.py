"""TAXII 2.1 for the agency's own tools: one collection that gives, one that takes.

`received` holds what the agency may read, as far as its rules let tools have it. `publish` takes objects, which become
drafts as a file in the spool does; the status of a post says object by object what became of it.
Spec: OASIS TAXII 2.1; docs/spec/gateway.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clients.gateway.intake import Intake
from clients.gateway.objects import Objects, Served
from clients.gateway.postings import PUBLISHED, Posting
from clients.gateway.server import Asked
from lintas import taxii
from lintas.errors import NotAllowed, NotFound
from lintas.imported import INPUT_BYTES_MAX
from lintas.strict import Json
from lintas.taxii import Answer, Collection, Endpoint, Outcome, Record
from lintas.taxii.filters import SPEC_VERSION

PAGE_OBJECTS_MAX = 1_000
RECEIVED, PUBLISH = "received", "publish"
READING = frozenset({Endpoint.MANIFEST, Endpoint.OBJECTS, Endpoint.OBJECT, Endpoint.VERSIONS})


class Taxii:
    """Answers what begins with ``/taxii2/``. `url` is where tools reach the gateway."""

    def __init__(self, objects: Objects, intake: Intake, *, party: str, hub: str, url: str) -> None:
        """Give these objects, take in by this door."""
        self._objects = objects
        self._intake = intake
        self._party = party
        self._url = url
        server = f"{hub}/gateway/{party}"
        self._received = Collection(
            id=taxii.collection_id(server, RECEIVED),
            alias=RECEIVED,
            title="Lintas received",
            description=f"Verified bulletins that {party} may read.",
        )
        self._publish = Collection(
            id=taxii.collection_id(server, PUBLISH),
            alias=PUBLISH,
            title="Lintas publish",
            description=f"What is posted here is published by {party}, as the gateway's rules say.",
            can_read=False,
            can_write=True,
        )

    def answer(self, asked: Asked) -> Answer:
        """Answer a request; raise a Refusal."""
        read = taxii.read(asked.method, asked.path, asked.query, _forgiven(asked.headers))
        match read.endpoint:
            case Endpoint.DISCOVERY:
                return taxii.discovery(title="Lintas gateway", description=self._received.description, url=self._url)
            case Endpoint.API_ROOT:
                return taxii.api_root(
                    title=f"Lintas for {self._party}",
                    description="Verified bulletins out, drafts in.",
                    content_bytes_max=INPUT_BYTES_MAX,
                )
            case Endpoint.STATUS:
                return self._status(read.status_id)
            case Endpoint.COLLECTIONS:
                return taxii.collections((self._received, self._publish))
        return self._in_collection(read, asked.body)

    def _in_collection(self, read: taxii.Asked, body: bytes) -> Answer:
        found = next(
            (each for each in (self._received, self._publish) if read.collection in (each.id, each.alias)), None
        )
        if found is None:
            raise NotFound
        if read.endpoint is Endpoint.COLLECTION:
            return taxii.collection(found)
        if read.endpoint in READING and found.can_read:
            records, is_more = self._records(read)
            return taxii.page(read, records, is_more=is_more)
        if read.endpoint is Endpoint.ADD and found.can_write:
            posted = taxii.read_envelope(body)
            bundle: Json = {"type": "bundle", "objects": [each.members for each in posted]}
            return taxii.status(status_of(self._intake.take(bundle, channel="taxii")))
        raise NotAllowed(f"`{found.alias}` is not for this. Read from `{RECEIVED}`, post to `{PUBLISH}`.")

    def _records(self, read: taxii.Asked) -> tuple[Sequence[Record], bool]:
        wanted = read.wanted
        if wanted.spec_versions and SPEC_VERSION not in wanted.spec_versions:
            return (), False
        ids = sorted({read.object_id} if read.object_id else wanted.ids)
        limit = wanted.limit_within(PAGE_OBJECTS_MAX)
        # One more than a page shows that there are more; versions named by their times are told apart only below.
        found = self._objects.select(
            after=wanted.after_us,
            ids=ids,
            types=sorted(wanted.types),
            limit=-1 if wanted.versions else limit + 1,
        )
        return wanted.chosen(map(_record, found), limit)

    def _status(self, uuid: str) -> Answer:
        posting = self._intake.postings.by_uuid(uuid)
        if posting is None:
            raise NotFound
        return taxii.status(status_of(posting))


def status_of(posting: Posting) -> taxii.Status:
    """Return what became of each object of a posting: in a bulletin, not carried over, refused, or waiting."""
    left = {each.where: each.why for each in posting.omitted}
    problem = posting.problem or "; ".join(
        f"draft {each.number}: {each.problem}" for each in posting.drafts if each.problem
    )
    failures = [Outcome(each_id, version, left[each_id]) for each_id, version in posting.objects if each_id in left]
    rest = [(each_id, version) for each_id, version in posting.objects if each_id not in left]
    told: dict[str, list[Outcome]] = {"successes": [], "pendings": []}
    if not posting.is_over:
        told["pendings"] = [Outcome(each_id, version) for each_id, version in rest]
    elif posting.state == PUBLISHED:
        told["successes"] = [Outcome(each_id, version) for each_id, version in rest]
    else:
        failures += [Outcome(each_id, version, problem or f"It was {posting.state}.") for each_id, version in rest]
    return taxii.Status(id=posting.uuid, requested_us=posting.at_us, failures=failures, **told)


def _forgiven(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers with a bundle called an envelope: a connector of OpenCTI posts it by the name of STIX."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return {**headers, "content-type": taxii.MEDIA} if media == "application/stix+json" else headers


def _record(served: Served) -> Record:
    return Record(served.id, served.added, served.version, served.body)

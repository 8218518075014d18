"""The TAXII 2.1 protocol as values, for every server of ours.

A server does four things with a request, in this order:

- `read(method, path, query, headers)` gives an `Asked` or raises a Refusal: which endpoint, of which collection, object
  or status, with which filters (`asked.wanted`). Paths begin with `/taxii2/`; `query` is as it came, headers have
  lower-case names. An `ADD` goes on with `read_envelope(body)`.
- it looks up what is asked for: whose collections, which records. `wanted.chosen(records, limit)` applies all filters
  to records in the order they were added; a database may do the same by the members of `wanted`. How many:
  `wanted.limit_within(limit_max)`.
- it answers: `discovery`, `api_root`, `collections`, `collection`, `status`, or `page(asked, records, is_more=...)` for
  objects, one object, a manifest or versions, all as an `Answer` of status, headers and bytes.
- it answers a Refusal, its own too, with `refused(error)`.

A `Record` holds the bytes of an object, which leave as they are; `added_us` rises strictly within a collection and is
where `next` goes on, so that a server remembers nothing of its readers. `collection_id` gives a collection its id.

Not here: who may read or write, what is stored, when anything happened.
Spec: OASIS TAXII 2.1; docs/spec/taxii.md.
"""

from lintas.taxii.accepting import MEDIA
from lintas.taxii.adding import Posted, read_envelope
from lintas.taxii.answers import (
    STIX_MEDIA,
    Answer,
    Collection,
    Outcome,
    Status,
    api_root,
    collection,
    collection_id,
    collections,
    discovery,
    page,
    refused,
    status,
)
from lintas.taxii.asking import API_ROOT_PATH, DISCOVERY_PATH, Asked, Endpoint, read
from lintas.taxii.filters import Record, Wanted

__all__ = [
    "API_ROOT_PATH",
    "DISCOVERY_PATH",
    "MEDIA",
    "STIX_MEDIA",
    "Answer",
    "Asked",
    "Collection",
    "Endpoint",
    "Outcome",
    "Posted",
    "Record",
    "Status",
    "Wanted",
    "api_root",
    "collection",
    "collection_id",
    "collections",
    "discovery",
    "page",
    "read",
    "read_envelope",
    "refused",
    "status",
]

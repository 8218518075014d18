"""Lintas: signed threat bulletins between agencies, over a hub that can be checked.

The public face, complete: everything else is internal and may change.

>>> from lintas import Client, read_draft
"""

from lintas.async_client import AsyncClient
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import Evidence, LintasError, Refusal, Trouble
from lintas.feed import Received
from lintas.keys import Hub, Identity, SigningKey, fresh_opening, load_identity, save_identity
from lintas.line import Line
from lintas.lint import Finding
from lintas.matching import Interest
from lintas.opening import OpeningKey
from lintas.quorum import Policy, Witnessed, parse_policy
from lintas.receipt import Logged
from lintas.webhooks import Call, open_webhook
from lintas.wire import Answer, Published

__all__ = [
    "Answer",
    "AsyncClient",
    "Call",
    "Client",
    "Draft",
    "Evidence",
    "Finding",
    "Hub",
    "Identity",
    "Interest",
    "Line",
    "LintasError",
    "Logged",
    "OpeningKey",
    "Policy",
    "Published",
    "Received",
    "Refusal",
    "SigningKey",
    "Trouble",
    "Witnessed",
    "fresh_opening",
    "load_identity",
    "open_webhook",
    "parse_policy",
    "read_draft",
    "save_identity",
]

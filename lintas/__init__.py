"""Lintas: signed threat bulletins between agencies, over a hub that can be checked.

The public face, complete: everything else is internal and may change.

>>> from lintas import Client, read_draft
"""

from lintas.async_client import AsyncClient
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import Evidence, LintasError, Refusal, Trouble
from lintas.feed import Received
from lintas.keys import Hub, Identity, SigningKey, load_identity, save_identity
from lintas.line import Line
from lintas.quorum import Policy, Witnessed, parse_policy
from lintas.receipt import Logged
from lintas.wire import Answer, Published

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "Draft",
    "Evidence",
    "Hub",
    "Identity",
    "Line",
    "LintasError",
    "Logged",
    "Policy",
    "Published",
    "Received",
    "Refusal",
    "SigningKey",
    "Trouble",
    "Witnessed",
    "load_identity",
    "parse_policy",
    "read_draft",
    "save_identity",
]

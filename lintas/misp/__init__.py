"""Bulletins as MISP events, the way out with its way back.

A feed of MISP needs `write_event` for each bulletin that a caller may read and that stands, `withdrawn_event` for what
was recalled or has ended, `hashes_csv` over those same events, and `manifest` over what header and log say of them
(`lintas.misp.feed.Listed`). `read_events` makes drafts of a file.
Spec: docs/spec/misp.md.
"""

from lintas.misp.export import event_uuid, withdrawn_event, write_event
from lintas.misp.feed import hashes_csv, manifest
from lintas.misp.reading import is_event, read_events

__all__ = ["event_uuid", "hashes_csv", "is_event", "manifest", "read_events", "withdrawn_event", "write_event"]

"""Bulletins as STIX 2.1, the way out with its way back.

A server of STIX objects needs, for each bulletin that a caller may read, in the order of the log:

- `clear_export(line, time_us)`: the line with the time the log has for it; it refuses sealed content. What else the log
  says (`withdrawn`, `changed_us`, `origins`, `url`) is put on top with `dataclasses.replace`.
- `objects(export)`: every object as a dict, those it depends on first.
- after a recall of the whole, or when it ends: `revoked(export, at_us)` in its place. After a partial recall:
  `objects` again with `withdrawn` and `changed_us` set. What supersedes has its predecessor's ids with a newer
  `modified`, given `origins`; indicators that the newer one lacks go into `withdrawn`. A recall itself is a note.
- `common(agencies, tlps)`: what objects of any bulletin refer to, and nobody need be kept from.
- per object: `id`; `version_of(object)`, which is None for observables, whose version is when they were added; the
  date added, which is the server's own: identities, markings, extension definitions and observables come with many
  bulletins, and the first time counts.

An observable has one id whatever bulletin it stands in, and the marking of the bulletin it came with; a server that
merges copies keeps the narrowest.

`bundle` makes a file of objects; `read_bundle` makes drafts of a file.
Spec: docs/spec/stix.md; OASIS STIX 2.1.
"""

from lintas.stix.export import Export, Origin, bundle, clear_export, objects, revoked, version_of
from lintas.stix.fixed import common
from lintas.stix.reading import read_bundle

__all__ = ["Export", "Origin", "bundle", "clear_export", "common", "objects", "read_bundle", "revoked", "version_of"]

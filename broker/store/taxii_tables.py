"""The tables behind the collections of TAXII: objects as they are served, derived from lines with their log.

Everything here may be emptied and made again (`broker.additions`), except for the last time that was given away:
readers go on from times, so none is given twice.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Named, Table, Text, TypedColumns

from broker.store.tables import metadata

_INDEX = BigInteger().with_variant(Integer(), "sqlite")


class _AdditionColumns(TypedColumns):
    """Objects that one event added together: those added from time `first` to `last` (Unix microseconds).

    `seq` is the bulletin they are of, whose readers may have them, None for what every partner knows. `is_gone`: they
    say that it was withdrawn. From second `until` on they are not served any more. The others are as in its line.
    """

    last: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    first: Named[int] = Column(BigInteger)
    seq: Named[int | None] = Column(BigInteger)
    iss: Named[str] = Column(Text)
    kind: Named[str] = Column(Text)
    topic: Named[str] = Column(Text)
    tlp_rank: Named[int] = Column(BigInteger)
    withdraws: Named[bool]
    is_gone: Named[bool]
    until: Named[int | None] = Column(BigInteger)


taxii_addition = Table("taxii_addition", metadata, _AdditionColumns, Index(None, "seq"))


class _ReaderColumns(TypedColumns):
    """An addition in a collection (an area, or ``all``), as one agency, or everyone (``*``), may find it there."""

    agency: Named[str] = Column(Text, primary_key=True)
    collection: Named[str] = Column(Text, primary_key=True)
    last: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)


taxii_reader = Table("taxii_reader", metadata, _ReaderColumns, Index(None, "last"))


class _ObjectColumns(TypedColumns):
    """An object of an addition (`last`), with when it was added, the bytes it is served as.

    `version` is None for an observable. Its type is the beginning of its id.
    """

    added: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    last: Named[int] = Column(BigInteger)
    id: Named[str] = Column(Text)
    version: Named[str | None] = Column(Text)
    body: Named[bytes] = Column(LargeBinary)


taxii_object = Table("taxii_object", metadata, _ObjectColumns, Index(None, "id", "added"))


class _FilledColumns(TypedColumns):
    """How many events of the log are in, with the newest time that an object was given: one row, `id` 0."""

    id: Named[int] = Column(_INDEX, primary_key=True, autoincrement=False)
    size: Named[int] = Column(BigInteger)
    added: Named[int] = Column(BigInteger)


taxii_filled = Table("taxii_filled", metadata, _FilledColumns)

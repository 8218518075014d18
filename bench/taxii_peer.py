"""OpenTAXII with objects in it, served on a port: `PYTHON taxii_peer.py ROWS FOLDER PORT`.

Run by the Python that has `opentaxii` and `waitress`: nothing of ours is imported there, nothing of theirs here. ROWS
is a file of JSON Lines: time added in microseconds, id, version, object. Everything is public, nothing is recorded.
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert, text

ROOT = uuid.UUID("00000000-0000-4000-8000-000000000001")
COLLECTION = uuid.UUID("00000000-0000-4000-8000-000000000002")
ROWS_AT_ONCE = 2_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
THREADS = 4


def main(rows: Path, folder: Path, port: int) -> None:
    """Fill a database, serve it until somebody ends it."""
    config_of, create_app, server_of, serve = (
        getattr(import_module(module), name)
        for module, name in (
            ("opentaxii.config", "ServerConfig"),
            ("opentaxii.middleware", "create_app"),
            ("opentaxii.server", "TAXIIServer"),
            ("waitress", "serve"),
        )
    )
    database = f"sqlite:///{folder / 'peer.db'}"
    _fill(database, rows)
    parameters = {"db_connection": database, "create_tables": True}
    config = {
        "taxii1": None,
        "auth_api": {
            "class": "opentaxii.auth.sqldb.SQLDatabaseAPI",
            "parameters": parameters | {"db_connection": f"sqlite:///{folder / 'auth.db'}", "secret": "bench"},
        },
        "taxii2": {
            "persistence_api": {
                "class": "opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI",
                "parameters": parameters,
            },
            "title": "peer",
            "max_content_length": 1_000_000,
            "public_discovery": True,
        },
    }
    app = create_app(server_of(config_of(extra_configs=[config])))
    print("ready", flush=True)
    serve(app, host="127.0.0.1", port=port, threads=THREADS, _quiet=True)


def _fill(database: str, rows: Path) -> None:
    models = import_module("opentaxii.persistence.sqldb.taxii2models")
    engine = create_engine(database)
    models.Base.metadata.create_all(engine)
    with engine.begin() as conn, rows.open() as file:
        conn.execute(insert(models.ApiRoot), {"id": ROOT, "default": True, "title": "peer", "is_public": True})
        collection = {"id": COLLECTION, "api_root_id": ROOT, "title": "all", "alias": "all"}
        conn.execute(insert(models.Collection), collection | {"is_public": True, "is_public_write": False})
        rest = map(_row, file)
        while part := list(islice(rest, ROWS_AT_ONCE)):
            conn.execute(insert(models.STIXObject), part)
    with engine.begin() as conn:
        conn.execute(text("ANALYZE"))
    engine.dispose()


def _row(line: str) -> dict[str, Any]:
    added, name, version, members = json.loads(line)
    added_at = EPOCH + timedelta(microseconds=added)
    return {
        "pk": uuid.uuid4(),
        "id": name,
        "collection_id": COLLECTION,
        "type": name.partition("--")[0],
        "spec_version": "2.1",
        "date_added": added_at,
        "version": datetime.fromisoformat(version) if version else added_at,
        "serialized_data": {key: each for key, each in members.items() if key not in {"id", "type", "spec_version"}},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

"""Short programs over the client library, to be read, run, changed.

Each runs as ``python -m clients.scripts.NAME`` and takes LINTAS_HUB, LINTAS_IDENTITY and LINTAS_PASSPHRASE_FILE.
"""

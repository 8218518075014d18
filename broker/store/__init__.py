"""The hub's database: every SQL statement lives in this package.

Functions take a `Connection`, never open or commit one, and return frozen values. Transactions begin in the writer and
in the readers of ``broker.web``; only ``broker.store.engine`` commits.
"""

# Whoever asks for the schema gets these tables too.
from broker.store import taxii_tables as taxii_tables

"""`python -m broker` is `lintas-broker`."""

from broker.cli import main

main()

"""Measurements of the hub on this machine, always beside the limit they are compared with."""

"""The gateway, a process beside an agency's own tools that speaks for the agency at the hub.

Spec: docs/spec/gateway.md.
"""

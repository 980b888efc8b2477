"""The sections of `line.toml`, one module a group: network, compute, records, health.

Each key is declared once, with its type, range, default and description (units included).
"""

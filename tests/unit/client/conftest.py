"""Fixtures: an endpoint that nobody uses, and connected sockets that are closed after each test."""

from tests.unit.made.line_sockets import connect, endpoint

__all__ = ["connect", "endpoint"]

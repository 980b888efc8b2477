"""Counts of an adapter since the gateway's start; its health message and `/metrics` show the same numbers."""

from typing import Final

from cmfm_gateway.gateway import Gateway

NAMES: Final = (
    "connections",
    "failures",
    "sent",
    "acknowledged",
    "repeated",
    "refused",
    "skipped",
    "dropped",
    "pictures",
    "requests_refused",
)
"""Names of the counts; `payloads.HealthMessage` gives the meaning of each."""


class Counts:
    """The counts of one adapter, kept by the gateway, so that they outlive a restart of the adapter."""

    def __init__(self, gateway: Gateway, adapter: str) -> None:
        self._gateway = gateway
        self._adapter = adapter
        for name in NAMES:
            self.add(name, 0)

    def add(self, name: str, by: int = 1) -> None:
        """Count something of `NAMES`."""
        self._gateway.count(self._adapter, name, by)

    def of(self, name: str) -> int:
        """The count of `name`."""
        return self._gateway.counts[self._adapter, name]

    def all(self) -> dict[str, int]:
        """Every count by its name."""
        return {name: self.of(name) for name in NAMES}

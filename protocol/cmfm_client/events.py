"""Events of a result subscriber: what `ResultSubscriber.poll` and its iterator give."""

from dataclasses import dataclass
from enum import StrEnum

from cmfm_client.received_ids import Missing
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerState

Key = tuple[str, int]
"""Identity of a trigger, shared with its result: stream_uuid and seq."""


@dataclass(frozen=True, slots=True)
class Received:
    """A result. `received_ns` is CLOCK_REALTIME at its arrival, None for a result that was recovered later."""

    result: Result
    received_ns: int | None

    @property
    def key(self) -> Key:
        """Identity of the trigger that the result belongs to."""
        return self.result.stream_uuid, self.result.seq


class LossCause(StrEnum):
    """Why missed results could not be recovered."""

    NO_RECOVERY = "no_recovery"  # the subscriber was given no recovery endpoint
    NO_REPLY = "no_reply"  # the worker was asked again and again and did not reply
    TOO_OLD = "too_old"  # the worker no longer holds them (`results.history`); its ledger has them
    NEW_BOOT = "new_boot"  # they are of an earlier boot of the worker; its ledger has them


@dataclass(frozen=True, slots=True)
class Lost:
    """Results that were published and that this subscriber will not get."""

    missing: Missing
    cause: LossCause


@dataclass(frozen=True, slots=True)
class NewBoot:
    """The worker was restarted: results of `boot_id` follow, counted from 1.

    Of the former boot the results up to `former_newest_id` were received or reported `Lost`. Later ones may have been
    published and not heard; the worker's ledger has them.
    """

    boot_id: str
    former_boot_id: str
    former_newest_id: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """A message that is not of this protocol, or of another major version; nothing in it is used."""

    detail: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The connection to the worker's results was made, or has gone: closed, or silent for 750 ms."""

    alive: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """Neither results nor heartbeats came for `seconds`: no worker inspects. Reported once until the next message."""

    seconds: float


Event = Received | Lost | NewBoot | WorkerState | AnomalyMaps | Damaged | LinkChanged | Silence

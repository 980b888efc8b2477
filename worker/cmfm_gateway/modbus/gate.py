"""Which trigger's part stands at the reject gate: by position in the sequence, or by the encoder. Pure."""

from collections import OrderedDict
from typing import Final

MAX_TRACKED: Final = 10_000
"""Announced triggers whose encoder counts are kept, a camera."""

WRAP: Final = 2**32


def by_position(gate_trigger: int, parts_between: int) -> int | None:
    """Return the `seq` of the part at the gate; `gate_trigger` counts from 1. None before the first part is there."""
    number = gate_trigger - parts_between
    return number - 1 if number >= 1 else None


class EncoderTrack:
    """The encoder counts at which one camera's triggers fired, as a PLC announced them.

    A 32-bit counter that wraps is followed. After a restart of the gateway nothing is known of earlier parts: they have
    no result at the gate, so that the PLC rejects them.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[int, int] = OrderedDict()  # seq → encoder

    def announced(self, seq: int, encoder: int) -> None:
        """Note a trigger."""
        self._counts[seq] = encoder
        while len(self._counts) > MAX_TRACKED:
            self._counts.popitem(last=False)

    def at_gate(self, encoder: int, counts_between: int, tolerance: int) -> int | None:
        """Return the `seq` of the part nearest to the gate; None if none is within `tolerance` counts."""
        distances = {
            seq: abs(_difference(encoder, fired + counts_between)) for seq, fired in self._counts.items()
        }
        nearest = min(distances, key=lambda seq: distances[seq], default=None)
        return nearest if nearest is not None and distances[nearest] <= tolerance else None


def _difference(first: int, second: int) -> int:
    """first - second on a 32-bit counter, from -2^31 to 2^31 - 1."""
    return (first - second + WRAP // 2) % WRAP - WRAP // 2

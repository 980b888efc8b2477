"""Streams that are not tracked: those of the ledger, and those of this boot that were forgotten for newer ones."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from cmfm_worker.line.intake.used_numbers import PastNumbers

MAX_PAST: Final = 100_000
"""Streams of this boot that are kept, about 400 bytes each; those of the ledger are as many as it has."""


class PastStreams:
    """The used numbers of streams that may come again. Nothing of them is answered a second time."""

    def __init__(self, recorded: Mapping[str, PastNumbers] | None = None) -> None:
        self._recorded = dict(recorded or {})
        self._forgotten: OrderedDict[str, PastNumbers] = OrderedDict()

    def put(self, stream_uuid: str, past: PastNumbers) -> None:
        """Keep the numbers of a stream that is tracked no more; the oldest such stream makes room."""
        if past.numbers:
            self._forgotten[stream_uuid] = past
            if len(self._forgotten) > MAX_PAST:
                self._forgotten.popitem(last=False)

    def take(self, stream_uuid: str) -> PastNumbers | None:
        """Remove and return the numbers of a stream that comes again, None if nothing is known of it."""
        recorded = self._recorded.pop(stream_uuid, None)
        return self._forgotten.pop(stream_uuid, recorded)

"""The score of a nominal part by networks that were not fitted on it."""

from dataclasses import dataclass
from typing import Literal

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.mapping.pair import MappingPair

Seen = Literal["validation", "out of fold", "nominal"]
"""Where a nominal score comes from: a validation part, a training part out of fold, or a part given to `calibrate`."""


@dataclass(frozen=True, slots=True)
class NominalScore:
    """A nominal part, its score, and the networks that gave it."""

    part: PartFiles
    score: float
    seen: Seen
    mapping: MappingPair

    @property
    def name(self) -> str:
        """The part's id."""
        return self.part.id

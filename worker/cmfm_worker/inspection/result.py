"""The result of an inspection: as a batch on the device, as a pending copy to the host, and per part on the host."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmfm_protocol.pictures.overlay import as_scored
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.cfm.fast.read_back import ReadBack
from cmfm_worker.inspection.measures import PartMeasures, measure


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a frame was not inspected: NO_VALID_3D, TOO_FEW_POINTS, IMPLAUSIBLE_3D or OTHER_GEOMETRY."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """The inspection result of one frame on the host.

    `psi`, `psi_2d`, `psi_3d` (224, 224) float32; `rgb` (224, 224, 3) uint8; `xyz` (3, 224, 224) float32 metres, 0
    outside the foreground; `foreground`, `valid` (224, 224) bool; `measures` tells how the part lies in its frame.
    `peak_px` (row, column) is the pixel of the highest Ψ, `peak_xyz_m` the nearest foreground point. With a `problem`
    the maps are 0, the score is NaN and there is no peak.
    """

    psi: NDArray[np.float32]
    psi_2d: NDArray[np.float32]
    psi_3d: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    measures: PartMeasures
    score: float
    level: float
    coverage: float | None
    peak_px: tuple[int, int] | None
    peak_xyz_m: tuple[float, float, float] | None
    problem: Problem | None

    @property
    def depth(self) -> NDArray[np.float32]:
        """Distance along z, (224, 224) metres, 0 outside the foreground."""
        z: NDArray[np.float32] = self.xyz[2]
        return z

    @property
    def psi_as_scored(self) -> NDArray[np.float32]:
        """Ψ scaled to the unit of the score: its maximum is the score."""
        return as_scored(self.psi, self.score)


@dataclass(frozen=True, slots=True)
class InspectedBatch:
    """The inspection results of B frames on the device: the fields of `InspectedPart` with a leading B; unknown is NaN.

    `coverage` (B,): foreground pixels over those of the recipe's median nominal part. It is about 1 for a normal
    part; missing 3D lowers it. `level` (B,): the mean of Ψ over the part, before the recipe divided Ψ by it.
    `surroundings` (B, 4): those of `PreparedFrames`.
    """

    psi: Tensor
    psi_2d: Tensor
    psi_3d: Tensor
    rgb: Tensor
    xyz: Tensor
    foreground: Tensor
    valid: Tensor
    surroundings: Tensor
    score: Tensor
    level: Tensor
    coverage: Tensor
    peak_px: Tensor
    peak_xyz_m: Tensor
    problems: tuple[Problem | None, ...]

    def __len__(self) -> int:
        return len(self.problems)

    def parts(self) -> list[InspectedPart]:
        """Return every frame on the host. Waits for this batch, not for work issued after it."""
        return self.start_read_back().parts()

    def start_read_back(self) -> "BatchReadBack":
        """Start copying to the host. Work issued after this call may reuse the device's memory."""
        names = [field.name for field in fields(self) if field.name != "problems"]
        return BatchReadBack(tuple(names), ReadBack(*(getattr(self, name) for name in names)), self.problems)

    def _part(self, i: int) -> InspectedPart:
        problem, coverage = self.problems[i], float(self.coverage[i])
        row, column = self.peak_px[i].tolist()
        x, y, z = self.peak_xyz_m[i].tolist()
        return InspectedPart(
            psi=self.psi[i].numpy(),
            psi_2d=self.psi_2d[i].numpy(),
            psi_3d=self.psi_3d[i].numpy(),
            rgb=self.rgb[i].numpy(),
            xyz=self.xyz[i].numpy(),
            foreground=self.foreground[i].numpy(),
            valid=self.valid[i].numpy(),
            measures=measure(self.foreground[i].numpy(), self.surroundings[i].tolist()),
            score=float(self.score[i]),
            level=float(self.level[i]),
            coverage=None if np.isnan(coverage) else coverage,
            peak_px=None if problem else (row, column),
            peak_xyz_m=None if problem or np.isnan(x) else (x, y, z),
            problem=problem,
        )


@dataclass(frozen=True, slots=True)
class BatchReadBack:
    """A batch of results that is being copied to the host."""

    names: tuple[str, ...]
    copies: ReadBack
    problems: tuple[Problem | None, ...]

    def parts(self) -> list[InspectedPart]:
        """Wait for the copies and return every frame on the host."""
        tensors = dict(zip(self.names, self.copies.wait(), strict=True))
        host = InspectedBatch(**tensors, problems=self.problems)
        return [host._part(i) for i in range(len(host))]

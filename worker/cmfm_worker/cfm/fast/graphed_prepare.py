"""`prepare` as CUDA graphs, which replace 800 launches for one frame and 1100 for sixteen."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cmfm_worker.cfm.fast.graphs import Graphed, GraphRecorder, Tensors
from cmfm_worker.cfm.prepare import COMPUTED, BackgroundOptions, PreparedFrames, prepare


class GraphedPrepare:
    """`prepare` with one graph for each `BackgroundOptions`.

    With a recorder, the returned frames are valid until the next call (`graphs.py`).
    """

    def __init__(self, recorder: GraphRecorder | None) -> None:
        self._recorder = recorder
        self._of: dict[BackgroundOptions, Graphed] = {}

    def __call__(self, rgb: Tensor, xyz: Tensor, background: BackgroundOptions) -> PreparedFrames:
        """Prepare B frames. Raises ValueError as `prepare` does."""
        if background not in self._of:
            self._of[background] = Graphed(_prepare_with(background), self._recorder)
        computed = dict(zip(COMPUTED, self._of[background](rgb, xyz), strict=True))
        return PreparedFrames(**computed, picture=rgb)


def _prepare_with(background: BackgroundOptions) -> Callable[[Tensor, Tensor], Tensors]:
    """Return `prepare` as a function from tensors to tensors."""

    def prepared(rgb: Tensor, xyz: Tensor) -> Tensors:
        frames = prepare(rgb, xyz, background)
        return tuple(getattr(frames, name) for name in COMPUTED)

    return prepared

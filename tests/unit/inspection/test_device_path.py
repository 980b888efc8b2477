"""The inspection of a batch waits for the device only in its read-backs, tested on tensors without values.

On torch's device "meta" nothing can be read, counted or branched on, so a path that runs there issues everything
without waiting. Only the read-backs may wait; the tests supply their numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest
import torch
from tests.unit.made.recipes import saved
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.bench.seeded import seeded_mapping, write_seeded_weights
from cmfm_worker.cfm.fast import frame_sizes, merged_rows
from cmfm_worker.cfm.mapping.token_sampling import known_rows
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.inspection import result
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.sections import BackgroundSection

META = torch.device("meta")
POINTS, PIXELS = 20_000, 24_000


@dataclass
class Told:
    """Read-backs whose numbers the test supplies; `asked` records how many numbers each one wanted."""

    numbers: list[Any] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def read_back(self, *tensors: Tensor) -> ToldNumbers:
        self.asked.append(sum(tensor.numel() for tensor in tensors))
        return ToldNumbers(self)


class ToldNumbers(NamedTuple):
    told: Told

    def wait(self) -> tuple[Tensor, ...]:
        return (torch.tensor(self.told.numbers.pop(0)),)


class NothingBetween(TorchDispatchMode):
    """Fails if numbers are copied to the device other than by `on_device`, or if a mask's pixels would be counted."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if "index" in str(func) and any(t.dtype == torch.bool for t in tensors[1:2]):
            raise AssertionError(f"{func} with a mask counts its pixels")
        out = func(*args, **(kwargs or {}))
        devices = {t.device.type for t in tensors if t.ndim}
        made = {t.device.type for t in tree_leaves(out) if isinstance(t, Tensor)}
        if devices and len(devices | made) > 1 and not _inside("on_device"):
            raise AssertionError(f"{func} goes from {devices} to {made}")
        return out


class NothingMadeOnTheHost(TorchFunctionMode):
    """Fails if a list becomes a tensor on the device, which is a copy that the host waits for."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        device = torch.device((kwargs or {}).get("device") or "cpu")
        if func in (torch.tensor, torch.as_tensor) and device.type != "cpu":
            raise AssertionError("a tensor is made from numbers of the host")
        if func in (Tensor.__getitem__, Tensor.__setitem__) and any(
            isinstance(index, list | Tensor) and torch.as_tensor(index).device.type == "cpu"
            for index in (args[1] if isinstance(args[1], tuple) else (args[1],))
        ):
            raise AssertionError("an index comes from the host")
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_waits() -> Iterator[None]:
    """Fail if code inside the context would make the host wait for a CUDA device."""
    with NothingMadeOnTheHost(), NothingBetween():  # type: ignore[no-untyped-call]  # so torch has it
        yield


def _inside(function: str) -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    write_seeded_weights(folder, 1)
    return folder


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Replace every read-back of the path by one whose numbers the test supplies."""
    told = Told()
    for module in (frame_sizes, merged_rows, result):
        monkeypatch.setattr(module, "ReadBack", told.read_back)
    return told


@pytest.fixture
def line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Inspector, Callable[[str], LoadedModel]]:
    """Return an inspector on the device, and a function that makes a model with a background method."""
    inspector = Inspector(PaperExtractor(weights, 1, 32, META))
    d2, d3 = inspector.extractor.d2, inspector.extractor.d3
    # Both networks are transformed once on the host, but a device without values has nothing to copy there.
    monkeypatch.setattr(Tensor, "cpu", lambda t: torch.zeros(t.shape, dtype=t.dtype))

    def model(background: str) -> LoadedModel:
        mapping = seeded_mapping(d2, d3).to(META)
        assert mapping.at_tokens is not None
        recipe = saved(tmp_path / background, background=BackgroundSection(method=background)).recipe
        return LoadedModel(recipe, mapping, "m")

    return inspector, model


def frames(count: int) -> tuple[Tensor, Tensor]:
    size = (count, 300, 400, 3)
    return torch.empty(size, dtype=torch.uint8, device=META), torch.empty(size, device=META)


def sizes(points: list[int]) -> list[list[int]]:
    return [[max(n, 1) for n in points], points, [PIXELS if n else 0 for n in points]]


WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "list": lambda x: x.tolist(),
    "branch": lambda x: bool(x[0] > 0),
    "count": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "into a mask": lambda x: x.__setitem__(x > 0, x[:1]),
    "sparse": lambda x: torch.sparse_coo_tensor(x.long()[None], x, (9,), check_invariants=False).coalesce(),
    "copy": lambda x: torch.ones(3).to(x.device),
    "numbers": lambda x: torch.tensor([1, 2], device=x.device),
    "index": lambda x: x[[0, 2]],
    "host index": lambda x: x[torch.tensor([0, 2])],
}


@pytest.mark.parametrize("waiting", WAITING.values(), ids=WAITING.keys())
def test_what_waits_is_found(waiting: Callable[[Tensor], object]) -> None:
    """Each operation that makes the host wait for CUDA, and that this method once used, fails in these tests."""
    x = torch.empty(5, device=META)
    with pytest.raises((AssertionError, RuntimeError)), nothing_waits():
        waiting(x)


def test_a_batch_waits_for_two_small_read_backs_and_its_results(
    line: tuple[Inspector, Callable[[str], LoadedModel]], told: Told
) -> None:
    """The host reads three sizes a frame, then where the mapping's pieces begin; all else is issued without waiting."""
    inspector, model = line
    ransac, count = model("ransac"), 4
    pieces = known_rows(count * PIXELS)
    told.numbers.extend(2 * [sizes([POINTS] * count), [7 * row for row in pieces]])
    with torch.inference_mode():
        inspector.inspect(*frames(count), [ransac] * count)  # makes the tables that are made once a device
        told.asked.clear()
        with nothing_waits():
            found = inspector.inspect(*frames(count), [ransac] * count)
            found.start_read_back()
    assert told.asked[:2] == [3 * count, len(pieces)], "where pieces of the mapping begin, and the end"
    assert len(told.asked) == 3
    assert found.problems == (None,) * count
    assert found.psi.shape == (count, 224, 224)


def test_frames_that_cannot_be_inspected_cost_no_more_waiting(
    line: tuple[Inspector, Callable[[str], LoadedModel]], told: Told
) -> None:
    """With one frame that has too few points there are still two read-backs before the results."""
    inspector, model = line
    ransac, points = model("ransac"), [POINTS, 5, POINTS]
    pieces = known_rows(2 * PIXELS)
    told.numbers.extend(2 * [sizes(points), [7 * row for row in pieces]])
    with torch.inference_mode():
        inspector.inspect(*frames(3), [ransac] * 3)
        told.asked.clear()
        with nothing_waits():
            found = inspector.inspect(*frames(3), [ransac] * 3)
    assert told.asked == [9, len(pieces)]
    reasons = [problem and problem.reason for problem in found.problems]
    assert reasons == [None, Reason.TOO_FEW_POINTS, None]

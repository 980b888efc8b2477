"""Compares the method with the literal program of tests/parity, on the same frame in the same run."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from cmfm_worker.bench.memory import device_peak_bytes, host_peak_bytes, reset_peaks
from cmfm_worker.bench.options import Variant
from cmfm_worker.bench.provenance import source_tree
from cmfm_worker.bench.rates import synchronise
from cmfm_worker.bench.stages import Setup, Stopwatch, run_watched
from cmfm_worker.cfm.image.models import DINO
from cmfm_worker.cfm.mapping.networks import MappingNetwork
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare
from cmfm_worker.cfm.weights import find_weights, read_state_dict

_TWIN = Path("tests") / "parity" / "literal.py"
_FAST_RUNS = 3


def twin_file() -> Path | None:
    """Return the literal program's file, or None outside a source tree."""
    root = source_tree()
    return root / _TWIN if root is not None and (root / _TWIN).is_file() else None


def compare(setup: Setup, variant: Variant, weights: Path, rgb: Tensor, xyz: Tensor) -> dict[str, Any]:
    """Run both programs on one frame (H, W, 3): seconds, peaks, ratios and the relative L2 of the maps.

    The frame is prepared before, once for both. If the variant has no literal program, `skipped` says why.
    """
    if not variant.is_papers_mapping:
        return {"skipped": "it has only the main paper's mapping networks"}
    if variant.image != DINO:
        return {"skipped": f"{_TWIN} has only the 2D extractor {DINO}"}
    file = twin_file()
    if file is None:
        return {"skipped": f"{_TWIN} is missing: the literal program is in the source tree only"}
    device = setup.extractor.device
    prepared = prepare(rgb[None].to(device), xyz[None].to(device), setup.background)
    rgb_224 = (prepared.rgb[0].permute(1, 2, 0) * 255).round().byte()  # 3 H W -> H W 3
    xyz_224 = prepared.xyz[0].permute(1, 2, 0).contiguous()
    fast = _fast(setup, rgb_224, xyz_224)
    literal = _literal(_load(file), setup, variant, weights, rgb_224, xyz_224)
    errors = {
        name: _relative_l2(getattr(fast["maps"], name)[0], getattr(literal["maps"], name))
        for name in ("psi_2d", "psi_3d", "psi")
    }
    for one in (fast, literal):
        del one["maps"]
    ratios = {f"ratio_{key}": literal[key] / fast[key] for key in ("wall_s", "cpu_s")}
    return {"literal": literal, "fast": fast, **ratios, "relative_l2": errors}


def _fast(setup: Setup, rgb: Tensor, xyz: Tensor) -> dict[str, Any]:
    prepared = Setup(setup.extractor, setup.mapping, BackgroundOptions(method="none"))
    reset_peaks(setup.extractor.device)
    passes = []
    for _ in range(_FAST_RUNS):
        watch = Stopwatch(setup.extractor.device)
        maps, _ = run_watched(prepared, rgb[None], xyz[None], watch)
        passes.append((sum(map(sum, watch.wall_s.values())), sum(map(sum, watch.cpu_s.values()))))
    wall_s, cpu_s = (sorted(column)[len(column) // 2] for column in zip(*passes, strict=True))
    return {"maps": maps, "wall_s": wall_s, "cpu_s": cpu_s, **_peaks(setup.extractor.device)}


def _literal(
    twin: Any, setup: Setup, variant: Variant, weights: Path, rgb: Tensor, xyz: Tensor
) -> dict[str, Any]:
    """Run the literal program once, because it is slow. Its constants are made on the device."""
    device = setup.extractor.device
    state = twin.Weights(
        dino=_on(device, read_state_dict(find_weights(weights, "dino"))),
        point_mae=_on(device, _without_prefix(read_state_dict(find_weights(weights, "pointmae")))),
        map_2d3d=_state(setup.mapping.to_3d),
        map_3d2d=_state(setup.mapping.to_2d),
    )
    reset_peaks(device)
    synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.device(device):
        maps = twin.run(rgb, xyz, state, blocks=variant.blocks, group_size=variant.group_size)
    synchronise(device)
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return {"maps": maps, "wall_s": wall_s, "cpu_s": cpu_s, **_peaks(device)}


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("cmfm_literal_twin", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file}: cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _peaks(device: torch.device) -> dict[str, int | None]:
    return {"host_peak_bytes": host_peak_bytes(), "device_peak_bytes": device_peak_bytes(device)}


def _on(device: torch.device, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.to(device) for key, value in state.items()}


def _state(network: MappingNetwork) -> dict[str, Tensor]:
    return dict(network.state_dict())


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("module.").removeprefix("MAE_encoder."): value for key, value in state.items()}


def _relative_l2(found: Tensor, expected: Tensor) -> float:
    reference = expected.double()
    return float((found.double() - reference).norm() / reference.norm())

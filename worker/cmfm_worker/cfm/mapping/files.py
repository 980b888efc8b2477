"""Reading and writing mapping networks: the published files, and a recipe's `mapping.safetensors`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import torch
from torch import Tensor

from cmfm_worker.cfm.classic.residual_metric import ResidualMetric
from cmfm_worker.cfm.mapping.networks import MappingNetwork
from cmfm_worker.cfm.mapping.pair import NETWORKS, MappingPair, Standardiser
from cmfm_worker.cfm.variants import Architecture, Modality
from cmfm_worker.cfm.weights import WeightsError, read_metadata, read_state_dict, require_shapes

_VARIANT: Final = "mapping"
_PAPERS: Final[tuple[Architecture, Modality]] = ("mlp", "cross")
"""The networks of a file without metadata. The paper's are still written so."""


def load_published(
    path_2d3d: Path, path_3d2d: Path, *, d2: int | None = None, d3: int | None = None
) -> MappingPair:
    """Read a pair from files in the published naming (`CFM_2Dto3D_<name>_<epochs>ep_<batch>bs.pth` and 3Dto2D).

    `d2` and `d3` are the extractor's widths, which are checked if given. Raises `WeightsError` naming file, key and
    shapes.
    """
    to_3d = _network_from(path_2d3d, read_state_dict(path_2d3d), "", d_in=d2, d_out=d3)
    to_2d = _network_from(path_3d2d, read_state_dict(path_3d2d), "", d_in=to_3d.d_out, d_out=to_3d.d_in)
    return MappingPair(to_3d.eval(), to_2d.eval())


def load_safetensors(path: Path) -> MappingPair:
    """Read a recipe's `mapping.safetensors`: keys `to_3d.*`, `to_2d.*` and, if learned, `standardise.*` and `metric.*`.

    The file's metadata name architecture and modality. Without metadata the networks are the paper's. Raises
    `WeightsError` naming file, key and shapes.
    """
    state = read_state_dict(path)
    architecture, modality = _variant_in(path)
    to_3d = _network_from(path, state, "to_3d.", architecture)
    to_2d = _network_from(path, state, "to_2d.", architecture)
    pair = MappingPair(to_3d.eval(), to_2d.eval(), modality=modality)
    for name, network, width in (("to_3d", to_3d, pair.d3), ("to_2d", to_2d, pair.d2)):
        if network.d_out > width:
            raise WeightsError(
                f"{path}: declared as {modality}modal, but '{name}' predicts {network.d_out} channels of features "
                f"that have {width}"
            )
    if any(key.startswith("standardise.") for key in state):
        pair = replace(pair, standardise=_standardiser_from(path, state, pair.d2, pair.d3))
    if any(key.startswith("metric.") for key in state):
        pair = replace(pair, metric=_metric_from(path, state, to_2d.d_out, to_3d.d_out))
    return pair


def save_safetensors(pair: MappingPair, path: Path) -> None:
    """Write a pair for `load_safetensors`. The same pair always gives the same bytes."""
    from safetensors.torch import save_file  # late, because a machine with CUDA may lack it

    state = {f"to_3d.{k}": v for k, v in pair.to_3d.state_dict().items()}
    state |= {f"to_2d.{k}": v for k, v in pair.to_2d.state_dict().items()}
    if pair.standardise is not None:
        state |= {f"standardise.{k}": v for k, v in pair.standardise.state_dict().items()}
    if pair.metric is not None:
        state |= {f"metric.{k}": v for k, v in pair.metric.state_dict().items()}
    partial = path.with_name(path.name + ".part")
    numbers = {k: v.detach().cpu().float().contiguous() for k, v in state.items()}
    save_file(numbers, partial, metadata=_metadata_of(pair))
    partial.replace(path)


def _metadata_of(pair: MappingPair) -> dict[str, str] | None:
    """Return the metadata. There is one key, because safetensors writes several in a varying order."""
    variant = pair.architecture, pair.modality
    return None if variant == _PAPERS else {_VARIANT: " ".join(variant)}


def _variant_in(path: Path) -> tuple[Architecture, Modality]:
    stated = read_metadata(path).get(_VARIANT)
    if stated is None:
        return _PAPERS
    for architecture in get_args(Architecture):
        for modality in get_args(Modality):
            if stated == f"{architecture} {modality}":
                return architecture, modality
    raise WeightsError(f"{path}: holds mapping networks that this version of cmfm does not know: {stated!r}")


def _network_from(
    path: Path,
    state: dict[str, Tensor],
    prefix: str,
    architecture: Architecture = "mlp",
    *,
    d_in: int | None = None,
    d_out: int | None = None,
) -> MappingNetwork:
    """Build a network of the widths found in `state`, or of `d_in` and `d_out` if they are given."""
    kind = NETWORKS[architecture]
    first, last = state.get(f"{prefix}input.weight"), state.get(f"{prefix}output.weight")
    if first is None or last is None or first.dim() != kind.weight_axes or last.dim() != kind.weight_axes:
        raise WeightsError(
            f"{path}: expected a mapping network ({architecture}) with the matrices '{prefix}input.weight' and "
            f"'{prefix}output.weight', found the keys {', '.join(sorted(state)[:3])}, …"
        )
    width_in = first.shape[1] if d_in is None else d_in
    width_out = last.shape[kind.output_axis] if d_out is None else d_out
    with torch.device("meta"):  # shapes only; the numbers come from the file
        spread = f"{prefix}spread.weight" in state
        network = kind(width_in, width_out, hidden=first.shape[0], spread=spread)
    own = network.state_dict()
    require_shapes(path, state, {f"{prefix}{k}": tuple(v.shape) for k, v in own.items()})
    network.load_state_dict({k: state[f"{prefix}{k}"].float().clone() for k in own}, assign=True)
    return network.requires_grad_(False)


def _standardiser_from(path: Path, state: dict[str, Tensor], d2: int, d3: int) -> Standardiser:
    shapes = {"mean_2d": (d2,), "std_2d": (d2,), "mean_3d": (d3,), "std_3d": (d3,)}
    require_shapes(path, state, {f"standardise.{k}": shape for k, shape in shapes.items()})
    return Standardiser(**{k: state[f"standardise.{k}"].float().clone() for k in shapes})


def _metric_from(path: Path, state: dict[str, Tensor], c2: int, c3: int) -> ResidualMetric:
    shapes = {"on_2d": (c2 + c3, c2), "on_3d": (c2 + c3, c3)}
    require_shapes(path, state, {f"metric.{k}": shape for k, shape in shapes.items()})
    return ResidualMetric(**{k: state[f"metric.{k}"].float().clone() for k in shapes})

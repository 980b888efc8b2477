"""The crossmodal feature mappings M_2D→3D and M_3D→2D (paper § 3.2, Eq. 1) and their files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmfm_worker.cfm.precision import Precision, products
from cmfm_worker.cfm.token_mapping import TokenMapping
from cmfm_worker.cfm.weights import WeightsError, read_state_dict, require_shapes

LOG_SPREAD: Final = (-4.0, 3.0)
"""log σ is kept in here; features have a standard deviation of 1 over all."""


class Mapping(nn.Module):
    """One mapping network: Linear → GELU → Linear → GELU → Linear, at every pixel on its own (DESIGN § 5).

    Features (…, `d_in`) become features (…, `d_out`); `hidden` is (d_in + d_out) / 2 unless given. With `spread` a
    second output layer says by how much nominal features spread around what is predicted (`classic`; not in the paper).
    """

    def __init__(self, d_in: int, d_out: int, hidden: int | None = None, *, spread: bool = False) -> None:
        super().__init__()
        width = (d_in + d_out) // 2 if hidden is None else hidden
        self.d_in, self.d_out, self.hidden = d_in, d_out, width
        # The attribute names are the key names of the published files.
        self.input = nn.Linear(d_in, width)
        self.projection = nn.Linear(width, width)
        self.output = nn.Linear(width, d_out)
        self.spread = nn.Linear(width, d_out) if spread else None

    def forward(self, E: Tensor) -> Tensor:
        """Ê = M(E): (…, d_in) → (…, d_out)."""
        E_hat: Tensor = self.output(self._hidden(E))
        return E_hat

    def with_log_spread(self, E: Tensor) -> tuple[Tensor, Tensor]:
        """Ê and log σ, the standard deviation of every channel around it: (…, d_in) → twice (…, d_out).

        σ is bounded, so that no place is taken for certain and none for hopeless. Raises ValueError without spreads.
        """
        if self.spread is None:
            raise ValueError("this mapping network was fitted without spreads")
        h = self._hidden(E)
        return self.output(h), self.spread(h).clamp(*LOG_SPREAD)

    def _hidden(self, E: Tensor) -> Tensor:
        return F.gelu(self.projection(F.gelu(self.input(E))))


class Standardiser(nn.Module):
    """Per-channel mean and standard deviation of both modalities, taken on nominal parts (`classic` only)."""

    mean_2d: Tensor
    std_2d: Tensor
    mean_3d: Tensor
    std_3d: Tensor

    def __init__(self, mean_2d: Tensor, std_2d: Tensor, mean_3d: Tensor, std_3d: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_2d", mean_2d)
        self.register_buffer("std_2d", std_2d)
        self.register_buffer("mean_3d", mean_3d)
        self.register_buffer("std_3d", std_3d)

    def forward(self, e2d: Tensor, e3d: Tensor) -> tuple[Tensor, Tensor]:
        """Standardise features (P, D_2D) and (P, D_3D)."""
        return (e2d - self.mean_2d) / self.std_2d, (e3d - self.mean_3d) / self.std_3d


@dataclass(frozen=True, eq=False)
class MappingPair:
    """Both mapping networks of a recipe. Where there is a standardiser, features pass it first and the
    distance (Eq. 3) is taken between standardised features. `precision` is that of products at the pixels
    where features come as tokens.
    """

    to_3d: Mapping
    to_2d: Mapping
    standardise: Standardiser | None = None
    precision: Precision = "fp32"

    @property
    def d2(self) -> int:
        """Width of a 2D feature."""
        return self.to_3d.d_in

    @property
    def d3(self) -> int:
        """Width of a 3D feature."""
        return self.to_3d.d_out

    @property
    def has_spreads(self) -> bool:
        """Whether the networks say how far nominal features spread around their predictions."""
        return self.to_3d.spread is not None and self.to_2d.spread is not None

    @cached_property
    def at_tokens(self) -> TokenMapping | None:
        """The same networks for features that come as tokens, made on first use and kept (some 0.2 s).

        None with a standardiser: what it subtracts is not linear in the tokens.
        """
        if self.standardise is not None:
            return None
        return TokenMapping(self.to_3d, self.to_2d, products(self.precision).mapping)

    def to(self, device: torch.device | str) -> MappingPair:
        """The same pair on another device (modules move in place, as torch modules do)."""
        standardise = None if self.standardise is None else self.standardise.to(device)
        return MappingPair(self.to_3d.to(device), self.to_2d.to(device), standardise, self.precision)


def load_published(
    path_2d3d: Path, path_3d2d: Path, *, d2: int | None = None, d3: int | None = None
) -> MappingPair:
    """A pair from files in the published naming (`CFM_2Dto3D_<name>_<epochs>ep_<batch>bs.pth` and 3Dto2D).

    `d2` and `d3` are the extractor's widths, checked where given. Raises `WeightsError` naming file, key and
    shapes.
    """
    to_3d = _mapping_from(path_2d3d, read_state_dict(path_2d3d), "", d_in=d2, d_out=d3)
    to_2d = _mapping_from(path_3d2d, read_state_dict(path_3d2d), "", d_in=to_3d.d_out, d_out=to_3d.d_in)
    return MappingPair(to_3d.eval(), to_2d.eval())


def load_safetensors(path: Path) -> MappingPair:
    """A recipe's `mapping.safetensors`: keys `to_3d.*`, `to_2d.*` and, with a standardiser, `standardise.*`.

    Raises `WeightsError` naming file, key and shapes.
    """
    state = read_state_dict(path)
    to_3d = _mapping_from(path, state, "to_3d.")
    to_2d = _mapping_from(path, state, "to_2d.", d_in=to_3d.d_out, d_out=to_3d.d_in)
    standardise = None
    if any(key.startswith("standardise.") for key in state):
        standardise = _standardiser_from(path, state, to_3d.d_in, to_3d.d_out)
    return MappingPair(to_3d.eval(), to_2d.eval(), standardise)


def save_safetensors(pair: MappingPair, path: Path) -> None:
    """Write a pair for `load_safetensors`; the same pair always gives the same bytes."""
    from safetensors.torch import save_file  # here, because a machine with CUDA may come without it

    state = {f"to_3d.{k}": v for k, v in pair.to_3d.state_dict().items()}
    state |= {f"to_2d.{k}": v for k, v in pair.to_2d.state_dict().items()}
    if pair.standardise is not None:
        state |= {f"standardise.{k}": v for k, v in pair.standardise.state_dict().items()}
    partial = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().float().contiguous() for k, v in state.items()}, partial)
    partial.replace(path)


def _mapping_from(
    path: Path, state: dict[str, Tensor], prefix: str, d_in: int | None = None, d_out: int | None = None
) -> Mapping:
    """Build a network of the widths found in `state`, or of `d_in` and `d_out` where they are asked for."""
    first, last = state.get(f"{prefix}input.weight"), state.get(f"{prefix}output.weight")
    if first is None or last is None or first.dim() != 2 or last.dim() != 2:
        raise WeightsError(
            f"{path}: expected a mapping network with the matrices '{prefix}input.weight' and "
            f"'{prefix}output.weight', found the keys {', '.join(sorted(state)[:3])}, …"
        )
    width_in = first.shape[1] if d_in is None else d_in
    width_out = last.shape[0] if d_out is None else d_out
    with torch.device("meta"):  # shapes only; the numbers come from the file
        spread = f"{prefix}spread.weight" in state
        mapping = Mapping(width_in, width_out, hidden=first.shape[0], spread=spread)
    own = mapping.state_dict()
    require_shapes(path, state, {f"{prefix}{k}": tuple(v.shape) for k, v in own.items()})
    mapping.load_state_dict({k: state[f"{prefix}{k}"].float().clone() for k in own}, assign=True)
    return mapping.requires_grad_(False)


def _standardiser_from(path: Path, state: dict[str, Tensor], d2: int, d3: int) -> Standardiser:
    shapes = {"mean_2d": (d2,), "std_2d": (d2,), "mean_3d": (d3,), "std_3d": (d3,)}
    require_shapes(path, state, {f"standardise.{k}": shape for k, shape in shapes.items()})
    return Standardiser(**{k: state[f"standardise.{k}"].float().clone() for k in shapes})

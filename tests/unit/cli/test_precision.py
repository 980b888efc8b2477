"""The precision of the line's matrix products: chosen once, for extractors and mappings alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.made.graphs import ReplayedCalls
from tests.unit.made.recipes import ColourAndPlace, saved

from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.fast.graphs import GraphRecorder
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import inspector_maker
from cmfm_worker.line.compute.device import choose_precision
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.sections.compute import RecipesSection

CPU = torch.device("cpu")


def test_cpu_is_exact_unless_told_otherwise() -> None:
    """On a CPU `auto` is fp32."""
    assert choose_precision("auto", CPU) == choose_precision("fp32", CPU) == "fp32"


def test_precision_that_does_not_pay_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the missing instructions and the precision to use."""
    monkeypatch.setattr(torch.cpu, "_is_amx_fp16_supported", lambda: False, raising=False)
    with pytest.raises(InputError, match="precision 'fp16': fp16 needs a CPU with amx_fp16; use fp32"):
        choose_precision("fp16", CPU)


def test_line_gives_its_precision_to_extractor_and_mapping(tmp_path: Path) -> None:
    """The registry builds both at the precision of the settings, whatever the recipe was taught at; the extractor gets
    the line's graphs."""
    built: list[tuple[Path | None, Precision, GraphRecorder | None]] = []

    def build(
        recipe: Recipe,
        weights: Path | None,
        device: torch.device,
        precision: Precision = "fp32",
        graphs: GraphRecorder | None = None,
    ) -> Extractor:
        built.append((weights, precision, graphs))
        return ColourAndPlace()

    saved(tmp_path / "part")
    graphs = ReplayedCalls()
    registry = RecipeRegistry(
        RecipesSection(folder=tmp_path),
        make_inspector=inspector_maker(tmp_path, CPU, "bf16", graphs, build),
        device=CPU,
        precision="bf16",
    )
    model = registry.load("part").model
    assert built == [(tmp_path, "bf16", graphs)]
    assert model.mapping.precision == "bf16"

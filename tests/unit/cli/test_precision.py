"""The precision of the line's products: chosen once, for extractors and mappings alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.made.graphs import ReplayedCalls
from tests.unit.made.recipes import saved

from cmfm_worker.cfm.fast.graphs import GraphRecorder
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import inspector_maker
from cmfm_worker.line.compute.device import choose_precision
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.registry import RecipeRegistry
from cmfm_worker.settings.sections.compute import RecipesSection

CPU = torch.device("cpu")


def test_cpu_is_exact_unless_told_otherwise() -> None:
    """`auto` is fp32 there; what the CPU has no instructions for is refused with what is missing."""
    assert choose_precision("auto", CPU) == choose_precision("fp32", CPU) == "fp32"


def test_precision_that_does_not_pay_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names what is missing and what to use."""
    monkeypatch.setattr(torch.cpu, "_is_amx_fp16_supported", lambda: False, raising=False)
    with pytest.raises(InputError, match="precision 'fp16': fp16 needs a CPU with amx_fp16; use fp32"):
        choose_precision("fp16", CPU)


def test_line_gives_its_precision_to_extractor_and_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shelf builds both for what the settings say, whatever the recipe was taught at; graphs are shared."""
    asked: list[str] = []
    recorders: list[GraphRecorder | None] = []

    class Stub:
        def __init__(self, extractor: object, graphs: GraphRecorder | None) -> None:
            recorders.append(graphs)

        def require_match(self, recipe: Recipe) -> None: ...

    def extractor_of(
        recipe: Recipe, weights: Path, device: torch.device, precision: str, graphs: GraphRecorder | None
    ) -> None:
        asked.append(precision)
        recorders.append(graphs)

    monkeypatch.setattr("cmfm_worker.inspection.inspector.extractor_of", extractor_of)
    monkeypatch.setattr("cmfm_worker.inspection.inspector.Inspector", Stub)
    saved(tmp_path / "part")
    graphs = ReplayedCalls()
    shelf = RecipeRegistry(
        RecipesSection(folder=tmp_path),
        make_inspector=inspector_maker(tmp_path, CPU, "bf16", graphs),
        device=CPU,
        precision="bf16",
    )
    model = shelf.load("part").model
    assert isinstance(model, LoadedModel)
    assert (asked, model.mapping.precision) == (["bf16"], "bf16")
    assert recorders == [graphs, graphs]

"""The precision of the line's products: chosen once, for extractors and mappings alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.cfm.made_graphs import ReplayedCalls

from cmfm_worker.cfm.graphs import GraphRecorder
from cmfm_worker.device import choose_precision
from cmfm_worker.errors import InputError
from cmfm_worker.inspection import LoadedModel
from cmfm_worker.recipe import Recipe
from cmfm_worker.settings_sections import Recipes
from cmfm_worker.shelf import Shelf

from .made_recipes import saved

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

    monkeypatch.setattr("cmfm_worker.shelf.extractor_of", extractor_of)
    monkeypatch.setattr("cmfm_worker.shelf.Inspector", Stub)
    saved(tmp_path / "part")
    graphs = ReplayedCalls()
    shelf = Shelf(Recipes(folder=tmp_path), weights=tmp_path, device=CPU, precision="bf16", graphs=graphs)
    model = shelf.load("part").model
    assert isinstance(model, LoadedModel)
    assert (asked, model.mapping.precision) == (["bf16"], "bf16")
    assert recorders == [graphs, graphs]

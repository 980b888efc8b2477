"""Parts that people called good or bad: the page measures what the worker's command would."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.hmi.test_rejudge import by_node
from tests.unit.made.collected import collected_part, decided
from tests.unit.made.recipes import saved

from cmfm_hmi.recipes.files import read_recipe
from cmfm_hmi.recipes.scores import labelled_parts
from cmfm_records.collected import read_product
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ProvenanceSection, ThresholdSection
from cmfm_worker.teaching.collected_labels import judged_again, labels_of


def fill_folder(folder: Path, recipe: Recipe) -> None:
    """Good and bad parts, some that no score decides, and some that do not count."""
    facts: dict[str, Any] = {"model_sha": recipe.model_sha}
    for number, score in enumerate((0.1, 0.4, 0.7)):
        decided(folder, "part", number, "good", score=score, **facts)
    for number, score in enumerate((0.3, 0.9), start=10):
        decided(folder, "part", number, "bad", score=score, **facts)
    for number, reason in enumerate(("low_coverage", "drift"), start=20):
        decided(folder, "part", number, "bad", score=0.2, verdict="UNDECIDED", reason=reason, **facts)
    collected_part(folder, "part", 30, score=0.9, **facts)  # nobody decided
    decided(folder, "part", 31, "left_out", score=0.9, **facts)
    decided(folder, "part", 32, "bad", score=0.9, model_sha="another")
    decided(folder, "part", 33, "bad", score=None, verdict="FAULT", reason="lost", model_sha="")


@pytest.mark.parametrize(("fail_at", "grey_from"), [(0.5, 0.35), (0.2, None), (1.0, None), (0.7, 0.7)])
@pytest.mark.parametrize("fitted_at", ["2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", "yesterday"])
def test_the_page_counts_as_the_command_does(
    tmp_path: Path, fail_at: float, grey_from: float | None, fitted_at: str
) -> None:
    """Also when the recipe was taught from some of these parts, and for limits that only just hold."""
    made = ProvenanceSection(made_by="fit", fitted_at=fitted_at, dataset="collected", category="part")
    recipe = saved(tmp_path / "recipes" / "part", provenance=made).recipe
    fill_folder(tmp_path / "collected", recipe)
    labels = labels_of(tmp_path / "collected", "part", recipe)
    worker = judged_again(labels, recipe, ThresholdSection(fail_at=fail_at, grey_from=grey_from))
    product = read_product(tmp_path / "collected", "part")
    page = labelled_parts(product, read_recipe(tmp_path / "recipes", "part"), recipe.model_sha)
    limits = f"{fail_at}, {'null' if grey_from is None else grey_from}"
    call = f"(({{ good, bad }}) => [passing(good, {limits}), passing(bad, {limits})])({json.dumps(page)})"
    good, bad = by_node(call)
    assert (good["of"] - good["count"], good["of"]) == (worker.false_rejects.count, worker.false_rejects.of)
    assert (bad["count"], bad["of"]) == (worker.escapes.count, worker.escapes.of)
    assert worker.escapes.interval is not None
    assert (bad["low"], bad["high"]) == pytest.approx(worker.escapes.interval, rel=1e-3)
    assert page["others"] == worker.other_model

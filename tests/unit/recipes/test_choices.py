"""A recipe that is taught again keeps what people chose in the one before."""

from pathlib import Path

from tests.unit.made.recipes import draft, saved

from cmfm_worker.recipes.choices import with_choices_of
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.limits_section import LimitsSection


def test_drift_and_reasons_that_are_off_outlive_a_new_teaching(tmp_path: Path) -> None:
    """The learned limits are the new ones; what is never given and what drift does are those of before."""
    chosen = DriftSection(act="undecided", window=300)
    saved(tmp_path / "part", drift=chosen, limits=LimitsSection(edge_px=3, off=("out_of_view",)))
    taught = draft(limits=LimitsSection(edge_px=5))
    found, remarks = with_choices_of(tmp_path / "part", taught)
    assert found.drift == chosen
    assert found.limits == LimitsSection(edge_px=5, off=("out_of_view",))
    assert [name in " ".join(remarks) for name in ("undecided", "out_of_view")] == [True, True]


def test_without_a_recipe_or_choices_nothing_is_carried_over(tmp_path: Path) -> None:
    """A draft stays as it was taught; of a recipe that cannot be read a remark is made."""
    taught = draft()
    assert with_choices_of(tmp_path / "nothing", taught) == (taught, [])
    folder = saved(tmp_path / "part").folder
    assert folder is not None
    assert with_choices_of(folder, taught) == (taught, [])
    (folder / "recipe.toml").write_text("format_version = 1\nname = ")
    found, remarks = with_choices_of(folder, taught)
    assert found == taught
    assert len(remarks) == 1
    assert "not carried over" in remarks[0]

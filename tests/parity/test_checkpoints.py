"""The cache of seeded weights: made once, whole, and outside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from .checkpoints import seeded_weights_dir

SCRIPT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True)
(folder / "weights").write_text("whole")
log = pathlib.Path(__file__).with_name("runs")
log.write_text(log.read_text() + "x" if log.exists() else "x")
"""


def test_weights_are_made_once_and_again_when_the_script_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An incomplete cache is deleted, a complete one is kept, and another script gets its own."""
    golden, cache = tmp_path / "golden", tmp_path / "cache"
    golden.mkdir()
    script = golden / "make_checkpoints.py"
    script.write_text(SCRIPT)
    (cache / "seeded.part").mkdir(parents=True)
    (cache / "seeded.part" / "weights").write_text("ha")
    monkeypatch.setenv("CMFM_TEST_CACHE", str(cache))
    first = seeded_weights_dir(tmp_path)
    assert (first / "weights").read_text() == "whole"
    assert seeded_weights_dir(tmp_path) == first
    assert (golden / "runs").read_text() == "x"
    script.write_text(SCRIPT + "# changed")
    assert seeded_weights_dir(tmp_path) != first

"""Progress in a log: a line when a stage begins and ends, and every ten seconds between."""

from cmfm_worker.cli.progress_lines import ProgressLines


def test_a_long_stage_prints_a_line_every_ten_seconds() -> None:
    """One report a second for half a minute gives a line at the start, three between and one at the end."""
    lines, now = list[str](), [100.0]
    report = ProgressLines({"fit": "fitting", "folds": "out of fold"}, lines.append, lambda: now[0])
    for done in range(1, 35):
        report("fit", done, 34)
        now[0] += 1.0
    report("folds", 1, 3)
    assert lines == [
        "fitting: 1 of 34",
        "fitting: 11 of 34",
        "fitting: 21 of 34",
        "fitting: 31 of 34",
        "fitting: 34 of 34",
        "out of fold: 1 of 3",
    ]


def test_stages_side_by_side_have_their_own_ten_seconds() -> None:
    """Two stages that report in turn print no more lines than one after the other; one that starts again prints."""
    lines, now = list[str](), [0.0]
    report = ProgressLines({"fit": "fitting", "folds": "out of fold"}, lines.append, lambda: now[0])
    for done in range(1, 15):
        report("fit", done, 30)
        report("folds", done, 14)
        now[0] += 1.0
    report("fit", 1, 30)
    assert lines == [
        "fitting: 1 of 30",
        "out of fold: 1 of 14",
        "fitting: 11 of 30",
        "out of fold: 11 of 14",
        "out of fold: 14 of 14",
        "fitting: 1 of 30",
    ]

"""Progress in a log: a line when a stage begins and ends, and every ten seconds between."""

import threading

from cmfm_worker.cli.progress_lines import ProgressLines, printed_regularly


def test_a_long_stage_prints_a_line_every_ten_seconds() -> None:
    """One report a second for half a minute gives a line at the start, three between and one at the end."""
    lines, now = list[str](), [100.0]
    report = ProgressLines({"fit": "fitting", "folds": "out of fold"}, lines.append, lambda: now[0])
    for done in range(1, 35):
        report("fit", done, 34)
        now[0] += 1.0
    report("folds", 1, 3)
    assert lines == [
        "fitting: 1 of 34 (0 s)",
        "fitting: 11 of 34 (10 s)",
        "fitting: 21 of 34 (20 s)",
        "fitting: 31 of 34 (30 s)",
        "fitting: 34 of 34 (33 s)",
        "out of fold: 1 of 3 (34 s)",
    ]


def test_a_stage_that_reports_nothing_is_repeated_every_ten_seconds() -> None:
    """A log is never silent for longer, but says nothing before the first stage, and never twice at once."""
    lines, now = list[str](), [0.0]
    report = ProgressLines({"metric": "metric"}, lines.append, lambda: now[0])
    report.repeat()
    now[0] = 20.0
    report.repeat()
    assert lines == []
    report("metric", 0, 1)
    for now[0] in (21.9, 22.1, 25.0, 32.0, 32.2, 32.3, 43.0):
        report.repeat()
    assert lines == ["metric: 0 of 1 (22 s)", "metric: 0 of 1 (32 s)", "metric: 0 of 1 (43 s)"]


def test_a_stage_that_fails_or_ends_at_once_does_not_say_that_it_began() -> None:
    """The first line of a command that is refused is the reason; a short stage has one line."""
    lines, now = list[str](), [0.0]
    report = ProgressLines({"start": "starting", "fit": "fitting"}, lines.append, lambda: now[0])
    report("start", 0, 1)
    report.repeat()
    assert lines == []
    now[0] = 1.0
    report("start", 1, 1)
    assert lines == ["starting: 1 of 1 (1 s)"]


def test_a_stage_without_a_title_is_not_shown() -> None:
    """A command names the stages that it shows; work below it may report others."""
    lines = list[str]()
    report = ProgressLines({"fit": "fitting"}, lines.append, lambda: 0.0)
    report("metric", 1, 1)
    report("fit", 1, 1)
    assert lines == ["fitting: 1 of 1 (0 s)"]


def test_repeating_needs_no_report_and_ends_with_the_work() -> None:
    """While the caller is busy a line appears; afterwards no thread is left."""
    written, twice = list[str](), threading.Event()
    seconds = iter(range(0, 1_000_000, 11))

    def write(text: str) -> None:
        written.append(text)
        if len(written) > 1:
            twice.set()

    lines = ProgressLines({"metric": "metric"}, write, lambda: float(next(seconds)))
    with printed_regularly(lines):
        lines("metric", 0, 1)
        assert twice.wait(20)
    assert {line.split(" (")[0] for line in written} == {"metric: 0 of 1"}
    assert "progress" not in {thread.name for thread in threading.enumerate()}


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
        "fitting: 1 of 30 (0 s)",
        "out of fold: 1 of 14 (0 s)",
        "fitting: 11 of 30 (10 s)",
        "out of fold: 11 of 14 (10 s)",
        "out of fold: 14 of 14 (13 s)",
        "fitting: 1 of 30 (14 s)",
    ]

"""Findings: what counts as good, and that a check which raises is a finding."""

import pytest

from cmfm_worker.doctor.findings import Check, Findings, Outcome, all_well, guarded, summary

CHECK = Check("disk")
GOOD, NOTE = CHECK.good("a"), CHECK.note("b")
NOT_CHECKED, TO_DO = CHECK.not_checked("c", "run it as root"), CHECK.to_do("d", "do it")


@pytest.mark.parametrize(
    ("found", "well", "words"),
    [
        ([GOOD, NOTE], True, "1 good, 1 note, 0 not checked, 0 TO DO: the shift can start"),
        ([GOOD, NOT_CHECKED], False, "not everything could be looked at"),
        ([GOOD, NOT_CHECKED, TO_DO], False, "do what the lines TO DO say"),
        ([], False, "0 good"),
    ],
)
def test_only_what_was_looked_at_and_needs_nothing_is_good(found: Findings, well: bool, words: str) -> None:
    """A note is no problem; a look that could not be made is no good one."""
    assert all_well(found) is well
    assert words in summary(found)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (PermissionError("/etc/shadow"), Outcome.NOT_CHECKED),
        (ZeroDivisionError("division by zero"), Outcome.TO_DO),
        (OSError("disk gone"), Outcome.TO_DO),
    ],
)
def test_a_check_that_raises_is_a_finding(error: Exception, outcome: Outcome) -> None:
    """The other checks go on, and the line says what was raised and what to do."""

    def look() -> Findings:
        raise error

    (finding,) = guarded(CHECK, look)
    assert finding.outcome is outcome
    assert str(error) in finding.seen
    assert finding.do

"""Results keep their job over restarts, also after a kill in mid-line."""

from pathlib import Path

from cmfm_gateway.opcua.jobs import JobLog
from cmfm_gateway.opcua.machine import Job


def test_results_have_the_job_that_ran_when_they_came(tmp_path: Path) -> None:
    """Between jobs they have none; a job that no result came in leaves no trace."""
    log = JobLog(tmp_path / "jobs")
    first, second = Job("a", meas_id="m"), Job("b")
    log.change(3, first)
    log.change(7, None)
    log.change(9, Job("nothing"))
    log.change(9, second)
    expected = {2: None, 3: first, 6: first, 7: None, 8: None, 9: second, 1000: second}
    assert {number: log.job_of(number) for number in expected} == expected
    again = JobLog(tmp_path / "jobs")
    assert {number: again.job_of(number) for number in expected} == expected


def test_a_cut_line_costs_its_own_change_alone(tmp_path: Path) -> None:
    """A file that a kill left is read up to the cut, and written anew."""
    path = tmp_path / "jobs"
    log = JobLog(path)
    log.change(1, Job("a"))
    log.change(5, Job("b"))
    path.write_text(path.read_text()[:-9])
    again = JobLog(path)
    assert again.job_of(7) == Job("a")
    again.change(8, Job("c"))
    assert JobLog(path).job_of(8) == Job("c")

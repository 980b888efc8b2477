"""The state machines of a vision system: which state follows from the line, from clients, and what is refused."""

from itertools import count

import pytest

from cmfm_gateway.line_view import Cause
from cmfm_gateway.opcua.machine import Inner, Job, Machine, NotNowError, Outer, Step


def machine(*, automatic: bool = True, ready: bool = True) -> Machine:
    numbers = count(1)
    made = Machine(lambda: f"job{next(numbers)}", automatic=automatic)
    if ready:
        made.line(Cause.NONE, has_recipes=True)
    return made


def names(steps: list[Step]) -> list[str]:
    return [step.transition.name for step in steps]


def test_a_line_that_becomes_ready_runs_a_continuous_job() -> None:
    """Four transitions that nobody asked for, in the order of the standard."""
    made = machine(ready=False)
    assert names(made.line(Cause.NONE, has_recipes=True)) == [
        "PreoperationalToOperationalAuto",
        "InitializedToReadyAuto",
        "ReadyToContinuousExecutionAuto",
    ]
    assert made.position.inner is Inner.CONTINUOUS
    assert made.position.job == Job("job1")
    assert made.line(Cause.NONE, has_recipes=True) == []


def test_without_a_recipe_the_system_stays_initialized() -> None:
    """Preparing one makes it ready."""
    made = machine(ready=False)
    made.line(Cause.NONE, has_recipes=False)
    assert str(made.position.inner) == "Initialized"
    assert names(made.recipe_prepared())[0] == "InitializedToReadyRecipe"
    assert str(made.position.inner) == "ContinuousExecution"


@pytest.mark.parametrize("cause", [Cause.SILENCE, Cause.GAP, Cause.STORE])
def test_a_line_that_is_not_valid_is_an_error_and_has_no_job(cause: Cause) -> None:
    """It is resolved by the line alone; results that come then are in a new job."""
    made = machine()
    assert names(made.line(cause, has_recipes=True)) == ["OperationalToErrorAuto"]
    assert (made.position.outer, made.position.inner, made.position.job) == (Outer.ERROR, None, None)
    assert names(made.line(Cause.NONE, has_recipes=True))[0] == "ErrorToOperationalAuto"
    assert made.position.job == Job("job2")


@pytest.mark.parametrize("cause", [Cause.STARTING, Cause.DRAINING, Cause.STOPPED])
def test_a_worker_that_starts_or_ends_is_preoperational(cause: Cause) -> None:
    """It says so itself: that is no error."""
    made = machine()
    assert names(made.line(cause, has_recipes=True)) == ["OperationalToPreoperationalAuto"]
    assert made.position.outer is Outer.PREOPERATIONAL
    made.line(Cause.SILENCE, has_recipes=True)
    assert names(made.line(cause, has_recipes=True)) == ["ErrorToPreoperationalAuto"]


def test_halted_is_left_by_reset_alone() -> None:
    """Neither the line nor a second Halt moves it."""
    made = machine()
    assert names(made.halt()) == ["OperationalToHalted"]
    assert made.line(Cause.SILENCE, has_recipes=True) == made.line(Cause.NONE, has_recipes=True) == []
    with pytest.raises(NotNowError, match="halted"):
        made.halt()
    with pytest.raises(NotNowError):
        made.start(Job("mine"), single=False)
    assert names(made.reset())[:2] == ["HaltedToPreoperational", "PreoperationalToOperationalAuto"]


def test_a_client_stops_and_starts_jobs_and_nothing_starts_by_itself_then() -> None:
    """After Stop the system stays Ready, also over an error, until a client starts a job or resets."""
    made = machine()
    assert names(made.stop(abort=False)) == ["ContinuousExecutionToReadyStop"]
    made.line(Cause.SILENCE, has_recipes=True)
    made.line(Cause.NONE, has_recipes=True)
    assert made.position.inner is Inner.READY
    steps = made.start(Job("mine"), single=False)
    assert [(step.transition.name, step.job_id) for step in steps] == [("ReadyToContinuousExecution", "mine")]
    with pytest.raises(NotNowError, match="ContinuousExecution"):
        made.start(Job("other"), single=True)
    assert [step.job_id for step in made.stop(abort=True)] == ["mine"]
    with pytest.raises(NotNowError, match="Ready"):
        made.stop(abort=False)
    assert made.reset()[-1].transition.name == "ReadyToContinuousExecutionAuto"


def test_a_single_job_ends_with_the_result_of_its_part() -> None:
    """Without a part in the job the next result ends it."""
    made = machine(automatic=False)
    made.start(Job("a", part_id="p1"), single=True)
    assert made.result_came("p0") == []
    assert names(made.result_came("p1")) == ["SingleExecutionToReadyAuto"]
    made.start(Job("b"), single=True)
    assert [step.job_id for step in made.result_came("any")] == ["b"]
    assert made.result_came("next") == []


def test_the_last_recipe_is_not_taken_back_while_a_job_runs() -> None:
    """Afterwards the system is Initialized."""
    made = machine()
    with pytest.raises(NotNowError, match="job runs"):
        made.recipes_gone()
    made.stop(abort=False)
    assert names(made.recipes_gone()) == ["ReadyToInitializedRecipe"]
    assert made.line(Cause.NONE, has_recipes=False) == []


def test_automatic_mode_is_selected_only_on_a_ready_line() -> None:
    """The method is for Preoperational."""
    made = machine(ready=False)
    with pytest.raises(NotNowError, match="not ready"):
        made.select_automatic()
    made.line(Cause.NONE, has_recipes=True)
    with pytest.raises(NotNowError, match="Operational"):
        made.select_automatic()

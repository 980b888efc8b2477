"""The two state machines of the vision system as rules: events of the line and calls of clients in, transitions out.

The outer machine follows the line: Operational while verdicts may be acted on, Error while the line is silent or
results are missing, Preoperational while the worker starts or ends. Halted is left by Reset alone. The inner machine,
in Operational, knows jobs: results that come while a job runs are announced, others are kept for those who ask.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from cmfm_gateway.line_view import Cause
from cmfm_gateway.opcua.model.kinds import Transition
from cmfm_gateway.opcua.model.tables import TRANSITIONS


class Outer(StrEnum):
    """States of VisionStateMachineType."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    OPERATIONAL = "Operational"


class Inner(StrEnum):
    """States of VisionAutomaticModeStateMachineType."""

    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE = "SingleExecution"
    CONTINUOUS = "ContinuousExecution"


class NotNowError(Exception):
    """A method cannot be called in the present state; the message says which is."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job and what its starter named: ids as texts, empty for none."""

    id: str
    meas_id: str = ""
    part_id: str = ""
    recipe: str = ""
    product_id: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A transition that was taken, and the job that it started or ended."""

    transition: Transition
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """Where both machines are. `inner` is None outside Operational."""

    outer: Outer = Outer.PREOPERATIONAL
    inner: Inner | None = None
    job: Job | None = None


@dataclass(slots=True)
class Machine:
    """Both machines. `automatic`: jobs start by themselves when the line is ready, until a client stops one.

    Each method returns the transitions that it caused, in order. `new_job_id` gives the id of a job that starts by
    itself.
    """

    new_job_id: Callable[[], str]
    automatic: bool = True
    position: Position = field(default_factory=Position)
    has_recipes: bool = False
    _cause: Cause = Cause.STARTING
    _stopped: bool = False

    def line(self, cause: Cause, *, has_recipes: bool) -> list[Step]:
        """Follow the line: `cause` is that of the line's view, `has_recipes` tells of prepared recipes."""
        self._cause, self.has_recipes = cause, has_recipes
        return self._settle()

    def reset(self) -> list[Step]:
        """Go to Preoperational from any state, and on from there as the line allows."""
        self._stopped = False
        outer = self.position.outer
        if outer is Outer.PREOPERATIONAL:
            return self._settle()
        return [self._go(Outer.PREOPERATIONAL, f"{outer}ToPreoperational"), *self._settle()]

    def halt(self) -> list[Step]:
        """Go to Halted. Raises NotNowError if it is the state already."""
        if self.position.outer is Outer.HALTED:
            raise NotNowError("the system is halted already")
        return [self._go(Outer.HALTED, f"{self.position.outer}ToHalted")]

    def select_automatic(self) -> list[Step]:
        """Go from Preoperational to Operational. Raises NotNowError elsewhere or if the line is not ready."""
        if self.position.outer is not Outer.PREOPERATIONAL:
            raise NotNowError(f"the system is {self.position.outer}")
        if self._cause is not Cause.NONE:
            raise NotNowError(f"the line is not ready: {self._cause}")
        return [
            self._go(Outer.OPERATIONAL, "PreoperationalToOperational", Inner.INITIALIZED),
            *self._settle(),
        ]

    def start(self, job: Job, *, single: bool) -> list[Step]:
        """Start a job. Raises NotNowError outside Ready."""
        self._require(Inner.READY)
        self._stopped = True  # this job's end leaves the machine in Ready
        state = Inner.SINGLE if single else Inner.CONTINUOUS
        return [self._enter(state, f"ReadyTo{state}", job)]

    def stop(self, *, abort: bool) -> list[Step]:
        """End the job that runs. Raises NotNowError if none does."""
        inner = self._require(Inner.SINGLE, Inner.CONTINUOUS)
        self._stopped = True
        return [self._enter(Inner.READY, f"{inner}ToReady{'Abort' if abort else 'Stop'}", None)]

    def result_came(self, part_id: str) -> list[Step]:
        """End a single job with the result of its part, or with the next result if it names none."""
        position = self.position
        if position.inner is not Inner.SINGLE or position.job is None:
            return []
        if position.job.part_id not in {"", part_id}:
            return []
        return [self._enter(Inner.READY, "SingleExecutionToReadyAuto", None)]

    def recipe_prepared(self) -> list[Step]:
        """A client has prepared a recipe: Initialized becomes Ready."""
        self.has_recipes = True
        if self.position.inner is not Inner.INITIALIZED:
            return []
        return [self._enter(Inner.READY, "InitializedToReadyRecipe", None), *self._settle()]

    def recipes_gone(self) -> list[Step]:
        """A client has taken back the last prepared recipe. Raises NotNowError while a job runs."""
        if self.position.inner in {Inner.SINGLE, Inner.CONTINUOUS}:
            raise NotNowError("a job runs; stop it first")
        self.has_recipes = False
        if self.position.inner is not Inner.READY:
            return []
        return [self._enter(Inner.INITIALIZED, "ReadyToInitializedRecipe", None)]

    @property
    def announces(self) -> bool:
        """True while a job runs."""
        return self.position.job is not None

    def _settle(self) -> list[Step]:
        """Take the transitions that nobody has to ask for."""
        steps: list[Step] = []
        wanted = _outer_for(self._cause)
        outer = self.position.outer
        if outer is not Outer.HALTED and outer is not wanted:
            inner = Inner.INITIALIZED if wanted is Outer.OPERATIONAL else None
            steps.append(self._go(wanted, f"{outer}To{wanted}Auto", inner))
        if self.position.inner is Inner.INITIALIZED and self.has_recipes:
            steps.append(self._enter(Inner.READY, "InitializedToReadyAuto", None))
        if self.position.inner is Inner.READY and self.automatic and not self._stopped:
            steps.append(
                self._enter(Inner.CONTINUOUS, "ReadyToContinuousExecutionAuto", Job(self.new_job_id()))
            )
        return steps

    def _go(self, outer: Outer, transition: str, inner: Inner | None = None) -> Step:
        self.position = Position(outer, inner)
        return Step(TRANSITIONS[transition])

    def _enter(self, inner: Inner, transition: str, job: Job | None) -> Step:
        named = job or self.position.job
        self.position = replace(self.position, inner=inner, job=job)
        return Step(TRANSITIONS[transition], named.id if named else "")

    def _require(self, *states: Inner) -> Inner:
        inner = self.position.inner
        if inner is None or inner not in states:
            raise NotNowError(f"the system is {inner or self.position.outer}")
        return inner


def _outer_for(cause: Cause) -> Outer:
    if cause is Cause.NONE:
        return Outer.OPERATIONAL
    if cause in {Cause.STARTING, Cause.DRAINING, Cause.STOPPED, Cause.OFFLINE}:
        return Outer.PREOPERATIONAL
    return Outer.ERROR

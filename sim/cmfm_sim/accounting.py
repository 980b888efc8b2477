"""The account of a run from outside the worker: the camera's own triggers against the verdicts received.

The identity: every trigger has exactly one verdict, every verdict has its trigger, and a part that cannot have been
inspected has a FAULT. Pure; no sockets, no clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_client.events import Key, Received
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.punctuality import Punctuality, punctuality
from cmfm_sim.spread import Spread
from cmfm_sim.trigger_log import TriggerRecord

SHOWN: Final = 5
"""Keys that one line about many names."""


@dataclass(frozen=True, slots=True)
class Account:
    """Every trigger with its verdict, counted.

    `unattributed` FAULTs are about damaged messages that belong to no trigger. `escapes` are defective parts that
    passed, `false_rejects` good parts that failed. `latency_ms` runs from the scheduled trigger of an inspected part
    to the arrival of its verdict; for a recovered one to `done_ns`.
    """

    triggers: int
    verdicts: Mapping[Verdict, int]
    reasons: Mapping[Reason, int]
    missing: tuple[Key, ...]
    duplicated: tuple[Key, ...]
    unknown: tuple[Key, ...]
    not_inspected: tuple[Key, ...]
    unattributed: int
    escapes: tuple[str, ...]
    false_rejects: tuple[str, ...]
    good: int
    defective: int
    latency_ms: Spread | None
    punctuality: Punctuality
    frames_per_second: float | None

    @property
    def results(self) -> int:
        """Results received, each counted once."""
        return sum(self.verdicts.values())

    @property
    def holds(self) -> bool:
        """True if the identity holds."""
        return not self.problems()

    def problems(self) -> list[str]:
        """Violations of the identity, one line each; empty if it holds."""
        kinds = {
            "triggers without a verdict": self.missing,
            "triggers with more than one verdict": self.duplicated,
            "verdicts on parts that were never triggered": self.unknown,
            "verdicts other than FAULT on parts that cannot have been inspected": self.not_inspected,
        }
        return [f"{len(keys)} {what}: {_named(keys)}" for what, keys in kinds.items() if keys]


def account(triggers: Sequence[TriggerRecord], received: Iterable[Received]) -> Account:
    """The account of `triggers` and the results received for them.

    The same result received twice (`boot_id` and `result_id` agree, and what it says) counts once.
    """
    fired = {trigger.key: trigger for trigger in triggers}
    results = _distinct(received)
    ours = [item for item in results if item.result.stream_uuid != UNATTRIBUTED_STREAM]
    stray = [item.result for item in results if item.result.stream_uuid == UNATTRIBUTED_STREAM]
    counts = Counter(item.key for item in ours)
    matched = [(fired[item.key], item) for item in ours if item.key in fired]
    impossible = [
        item.key for trigger, item in matched if trigger.must_fault and not _is(item, Verdict.FAULT)
    ]
    impossible += [
        (result.stream_uuid, result.seq) for result in stray if result.verdict is not Verdict.FAULT
    ]
    return Account(
        triggers=len(fired),
        verdicts={verdict: sum(_is(item, verdict) for item in results) for verdict in Verdict},
        reasons=Counter(item.result.reason for item in results),
        missing=tuple(key for key in fired if key not in counts),
        duplicated=tuple(key for key, count in counts.items() if count > 1 and key in fired),
        unknown=tuple(key for key in counts if key not in fired),
        not_inspected=tuple(impossible),
        unattributed=len(stray),
        escapes=tuple(t.part_id for t, item in matched if t.label and _is(item, Verdict.PASS)),
        false_rejects=tuple(t.part_id for t, item in matched if not t.label and _is(item, Verdict.FAIL)),
        good=sum(not trigger.label for trigger in fired.values()),
        defective=sum(bool(trigger.label) for trigger in fired.values()),
        latency_ms=Spread.of([_latency_ms(t, item) for t, item in matched if not _is(item, Verdict.FAULT)]),
        punctuality=punctuality(len(fired), matched),
        frames_per_second=_rate(matched),
    )


def compare_with_worker(outside: Account, state: WorkerState | None) -> list[str]:
    """Differences between the worker's own count and the one outside; empty if they agree.

    `state` is the worker's last heartbeat, None if it was not received.
    """
    if state is None:
        return ["the worker's own count was not received"]
    own = state.counts
    pairs = {"triggers": (outside.triggers + outside.unattributed, own["triggers"])}
    pairs |= {str(verdict): (outside.verdicts[verdict], own[verdict.lower()]) for verdict in Verdict}
    problems = [
        f"{what}: {outside_count} counted outside, {own_count} by the worker"
        for what, (outside_count, own_count) in pairs.items()
        if outside_count != own_count
    ]
    if own["triggers"] != sum(own[verdict.lower()] for verdict in Verdict):
        problems.append("the worker's own count does not add up: triggers ≠ pass + fail + undecided + fault")
    return problems


def _distinct(received: Iterable[Received]) -> list[Received]:
    """Each result once; a result with other contents under the same id stays and counts as a second verdict."""
    seen: dict[tuple[str, int], list[Received]] = {}
    for item in received:
        same = seen.setdefault((item.result.boot_id, item.result.result_id), [])
        if all(item.result != other.result for other in same):
            same.append(item)
    return [item for same in seen.values() for item in same]


def _is(item: Received, verdict: Verdict) -> bool:
    return item.result.verdict is verdict


def _latency_ms(trigger: TriggerRecord, item: Received) -> float:
    arrived_ns = item.received_ns if item.received_ns is not None else item.result.done_ns
    return (arrived_ns - trigger.trigger_ns) / 1e6


def _rate(matched: Sequence[tuple[TriggerRecord, Received]]) -> float | None:
    """Inspected parts a second, from the first trigger to the last verdict."""
    inspected = [(t, item) for t, item in matched if not _is(item, Verdict.FAULT)]
    if not inspected:
        return None
    span_ns = max(item.result.done_ns for _, item in inspected) - min(t.trigger_ns for t, _ in inspected)
    return len(inspected) / (span_ns / 1e9) if span_ns > 0 else None


def _named(keys: Sequence[Key]) -> str:
    shown = ", ".join(f"{stream_uuid[:8]}/{seq}" for stream_uuid, seq in keys[:SHOWN])
    return f"{shown}, …" if len(keys) > SHOWN else shown

"""Prometheus gauges of drift: the loaded recipes' parts compared with their nominal parts, read at scrape time."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cmfm_worker.recipes.drift import DriftState


class DriftCollector(Collector):
    """Makes gauges from the drift of each loaded recipe, by name."""

    def __init__(self, drifts: Callable[[], Mapping[str, DriftState]]) -> None:
        self._drifts = drifts

    def collect(self) -> Iterator[Metric]:
        """Yield whether each recipe's parts drift, how many are compared, and index and limit of each measure."""
        drifting = GaugeMetricFamily(
            "cmfm_drifting", "1 while the last parts are unlike the recipe's nominal parts", labels=["recipe"]
        )
        parts = GaugeMetricFamily(
            "cmfm_drift_parts", "Last parts that are compared with the nominal parts", labels=["recipe"]
        )
        psi = GaugeMetricFamily(
            "cmfm_drift_psi",
            "Population stability index against the nominal parts; NaN with too few parts",
            labels=["recipe", "measure"],
        )
        limit = GaugeMetricFamily(
            "cmfm_drift_limit", "Index from which on the parts have drifted", labels=["recipe", "measure"]
        )
        for recipe, state in self._drifts().items():
            drifting.add_metric([recipe], float(state.drifting))
            parts.add_metric([recipe], state.parts)
            for measure, found in state.measures.items():
                psi.add_metric([recipe, measure], found.psi)
                limit.add_metric([recipe, measure], found.limit)
        yield from (drifting, parts, psi, limit)

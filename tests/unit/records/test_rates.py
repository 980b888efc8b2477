"""The interval of a rate on the page is the one of the worker's commands."""

import pytest

from cmfm_records.rates import clopper_pearson
from cmfm_worker.cfm.metrics import binomial


@pytest.mark.parametrize(("count", "total"), [(0, 1), (0, 40), (1, 40), (39, 40), (40, 40), (7, 1000)])
def test_interval_is_that_of_the_worker(count: int, total: int) -> None:
    """The page shows the same interval as `calibrate`, which it may not import."""
    assert clopper_pearson(count, total) == binomial.clopper_pearson(count, total)


def test_interval_needs_parts() -> None:
    for count, total in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="not a count"):
            clopper_pearson(count, total)

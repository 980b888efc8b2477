"""Fitting the mapping networks on nominal parts (paper § 3.2, Eq. 2), and what `classic` learns beside them.

In: a `FeatureStore` of features extracted once, and `FitOptions`. Out: a `MappingPair` and a `FitReport`. Runs in the
main thread of `cmfm-worker fit`, never on the line. `fit.py` fits the networks, `metric.py` the metric on residuals,
from good parts with simulated defects. `nominal_variation.py` varies good parts where there are few of them.
"""

"""Evaluation: the paper's metrics, the threshold from nominal scores, and what a few labelled parts prove.

In: anomaly maps, ground truths and scores as numpy arrays. Out: plain numbers. Runs in the main thread of the commands.
`areas.py` has AUROC and AUPRO, `evaluate.py` the metrics of a test set, `threshold.py` the conformal threshold,
`binomial.py` its confidence bounds.
"""

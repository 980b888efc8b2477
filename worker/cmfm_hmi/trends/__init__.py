"""Trends: the ledger over an hour, a shift, a day or a week, as at most 168 points a curve.

In: a recipe and a range. Out: curves, rejects an hour and drift as JSON. The ledger is read in blocks of 12 slots, each
a bounded question in the threads of `History`. Blocks whose time is over are kept, so that a further browser and the
next refresh ask for the newest block alone.
"""

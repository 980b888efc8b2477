"""Runs the paper's experiments (categories × variants) over a whole data set and makes its tables.

In: a data set, options and a folder. Out: in that folder one JSON file an experiment, recipes, pictures, the tables as
Markdown, CSV and JSON, and an HTML report. Finished experiments are not run again.
Runs in the main thread of `cmfm-worker evaluate --all`, in one process a device, or as tasks of a Ray cluster.
"""

"""Teaches recipes: fits the mapping networks and sets threshold and limits from good parts.

In: a data set's parts (from `datasets`), an extractor, options. Out: a recipe draft with its networks (`teach`), or
an existing recipe with new limits (`calibrate`). `labelled_trial` counts what limits do on labelled parts.
Runs in the thread of the command that calls it (`fit`, `calibrate`, `evaluate --all`), never on the line.
"""

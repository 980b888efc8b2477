"""Reads a data set's parts in batches, inspects them by the code path of the line and keeps the results.

In: `PartFiles` of `cmfm_protocol.files.dataset` and a recipe's model. Out: prepared frames (`PartSource`: from the
files or from `cache`), scored parts (`scored`), or results beside ground truth (`test_split`).
Runs in the thread of a command; pictures are decoded ahead in a thread `read-parts`. Never used on the line.
"""

"""Means of computing the same numbers faster: number formats, packed layers, CUDA graphs, copies that nobody waits for.

In and out: tensors, in the compute thread. Nothing here changes what is computed, apart from the number format that
`precision.py` is asked for. On a CPU most of it does nothing.
"""

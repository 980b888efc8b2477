"""A line-scan profiler's rows become frames, placed by the belt's encoder.

In: blocks of profiles with an encoder count each, from a row source (GenICam, files). Out: frames on a square grid of
metres, with colour and points at the same place; rows that are lost are NaN and counted.
`belt` places rows, `framing` cuts them into frames, `grid` resamples: pure. All runs in the device's thread.
"""

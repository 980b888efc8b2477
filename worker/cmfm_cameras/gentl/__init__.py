"""GenICam over any GenTL producer: a device's buffers in, colour and points out.

`session` talks to the device with harvesters and gives raw buffers and what its node map says; `parts`, `colour` and
`geometry` are pure: bytes and descriptions in, arrays out. All runs in the device's thread.
harvesters' own component classes are not used: they are None for formats that harvesters does not know.
"""

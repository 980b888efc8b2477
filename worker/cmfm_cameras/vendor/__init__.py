"""Shared code of adapters of vendors' Python packages: late imports, their errors, captures that this program requests.

In: a vendor's package by name; a source that takes one frame when it is asked. Out: captures by `cmfm_cameras.device`.
All runs in the device's thread.
"""

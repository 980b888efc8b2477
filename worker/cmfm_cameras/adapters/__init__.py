"""The adapters: one module each kind of device, with `open_device(section)` and `list_devices(section)`.

In: the section of `camera.toml` that has the kind's name. Out: captures by the rules of `cmfm_cameras.device`.
A vendor's package is imported inside the functions that need it. All calls come from the device's thread.
"""

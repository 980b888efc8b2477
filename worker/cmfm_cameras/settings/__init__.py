"""Settings of a camera: `camera.toml` and the `CMFM_CAMERA_…` variables become one frozen `CameraSettings`.

In: a TOML file and the environment. Out: validated values with descriptions and sources, or an InputError. Once, on the
main thread. One file a section; a kind of device has the section of its name. `model` has all, `load` reads.
"""

"""Settings of the operator's page: `hmi.toml` and the `CMFM_HMI_…` variables become one frozen `HmiSettings`.

In: a TOML file and the environment. Out: validated values with descriptions and sources, or an InputError. Once, on the
main thread. One file a section; `model` joins them, `load` reads.
"""

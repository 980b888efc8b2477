"""Settings: `line.toml` and the `CMFM_…` variables become one frozen `Settings` object.

In: a TOML file and the environment. Out: validated values, each with its description, default and source; or an
InputError that names the file, the key and the rule. Everything runs once, on the main thread, before the line opens.
`sections` holds the keys, `model` the rules across sections; `cmfm_settings` reads, explains and words the errors.
"""

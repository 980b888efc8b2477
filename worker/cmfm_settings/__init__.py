"""Settings of every program of ours: a TOML file and environment variables become one frozen object.

In: a file, the environment, and a pydantic model whose fields are the file's sections. Out: validated values, each with
its description, default and source; or an InputError that names the file, the key and the rule. Everything runs once,
on the main thread. `section` holds the types that keys share, `load` reads, `explain` prints what `check` shows.
"""

"""Stores prepared frames of parts in a folder, so that fits and evaluations need not prepare them again.

In: parts and background options. Out: a folder with a manifest and one safetensors file a part (`store`, `part_file`),
filled by `cmfm-worker prepare` (`fill`). `key` states how frames were prepared; a cache with another key is refused.
Runs in the thread of a command.
"""

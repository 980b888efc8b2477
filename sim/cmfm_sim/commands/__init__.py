"""The commands of `cmfm-sim`, one module each: options in, output and exit code out; the main thread.

A command checks its options first, so that a mistake is reported before anything is started.
"""

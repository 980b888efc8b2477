"""The commands of `cmfm-worker`, one module each.

In: options and files from the command line. Out: files, tables and JSON on stdout, progress and remarks on stderr
(`console`), and an exit code. A user's mistake raises an error that names the option or file; `app` prints it.
Each command runs in the main thread. Heavy imports are inside the functions, so that `--help` is fast.
"""

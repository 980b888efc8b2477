"""The commands of `cmfm-camera` beside running it: one file each, on the main thread.

In: settings and options of a command line. Out: files, pictures and lines for people, and an exit code.
"""

"""Records: the read side of what a line leaves on disk, for the worker's commands and for other programs.

In: a ledger (SQLite, also while its worker writes it) and the folders of archived parts. Out: rows, totals, frames and
maps, or an InputError that names the file. The worker's `line/records` writes both; `ledger_schema` holds the columns.
Everything runs in the caller's thread; nothing here imports torch or opens a socket.
"""

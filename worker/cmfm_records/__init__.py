"""Records: the read side of what a line leaves on disk, for the worker's commands and for other programs.

In: a ledger (SQLite, also while its worker writes it), archived and collected parts. Out: rows, totals, frames and
maps, or an InputError that names the file. `line/records` of the worker writes them; `ledger_schema` holds the columns.
Everything runs in the caller's thread; nothing here imports torch or opens a socket.
"""

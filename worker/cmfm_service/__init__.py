"""A program as a service: entry point, exit codes, log, HTTP page, systemd, SQLite transactions, who owns the line.

In: structlog events, a WSGI page of metrics, probes. Out: lines on stderr, HTTP answers, sd_notify messages, a file.
The log and HTTP run in threads of their own, so that neither a slow reader nor a slow client holds the program up.
"""

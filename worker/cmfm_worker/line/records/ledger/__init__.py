"""The ledger: one SQLite row for every trigger, kept for years.

In: results, by `writer` and its thread `ledger`; after a kill also the journal's rows (`resume`). Out: rows and totals
for readers (`cmfm_records.ledger`), and the numbers that had their verdict before a restart (`resume`).
`cmfm_records.ledger_schema` derives the columns from the result on the wire; `retention` deletes the oldest rows.
"""

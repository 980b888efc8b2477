"""Records: what is on disk about each verdict.

In: verdicts with their frames and maps (`Evidence`), from the thread of verdicts. Out: the journal's slot (written by
that thread before the result is sent), one ledger row a trigger, and a folder for each rejected part.
Threads: `recorder` hashes frames, `ledger` writes rows, `archive` writes folders. The line waits for none of them.
"""

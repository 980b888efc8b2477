"""Recipes as the page sees them: the files as data, differences of two, and the commands that change them.

In: the folder of recipes (`[records] recipes`) and requests of the pages Threshold and Recipes. Out: frozen views, rows
of differences, and `cmfm-worker recipe …` children whose outcome is a version. Files are read in the threads of
`History`; commands are awaited in the event loop.
"""

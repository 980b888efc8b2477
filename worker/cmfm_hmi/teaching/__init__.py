"""Teaching on the line: what the Teach page shows of a product's collected parts, of `teach` at work, of its outcome.

In: the folders of collected parts and of taught recipes, the output of a `cmfm-worker teach` that runs or has ended.
Out: values for templates and scripts. Nothing here computes a part or changes a recipe. `products` and `outcome` read
files, in the threads of `History`; `progress` is for the event loop.
"""

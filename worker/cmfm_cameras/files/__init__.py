"""Files that sensors' own software saves: forms of a part's files, organised PLY clouds, and a watched folder.

In: paths of a folder. Out: colour and points, or `DatasetError` for a file that cannot be used. No threads.
"""

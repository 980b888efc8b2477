"""Archived parts as the page shows them: their list, pictures, points, history of a place, marks, and exports.

In: the folders of archived and collected parts, which the line writes and deletes meanwhile. Out: rows, PNG, JPEG, the
binary of points, ZIP streams, decisions about wrong calls; or an InputError whose message a person can read. The list
is read by a thread of its own (`kept_parts`), pictures are made in a small pool (`picture_cache`).
"""

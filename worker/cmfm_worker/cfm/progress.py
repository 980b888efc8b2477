"""The one type of callback by which long work reports its progress."""

from collections.abc import Callable

ReportProgress = Callable[[str, int, int], None]
"""Called with the name of the stage, the units done and the units in all."""

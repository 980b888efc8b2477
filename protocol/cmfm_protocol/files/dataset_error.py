"""The error of everything that reads a data set."""


class DatasetError(Exception):
    """A data set cannot be used; the message names the file or folder and what was expected."""


class ImplausiblePointsError(DatasetError):
    """A part's points cannot be metres in the sensor's coordinates; its other parts are hardly any better."""

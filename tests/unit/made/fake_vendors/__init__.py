"""Fakes of vendors' packages: the calls that the adapters make, recorded, with the answers that the vendors document.

`real` of a class names the vendor's class; test_vendor_signatures holds the fake's methods to that class's, as recorded
from the vendor's package. A fake proves that the documented calls are made and their answers converted. It proves
nothing about a device.
"""

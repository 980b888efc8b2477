"""The inspection-line worker."""

"""Crossmodal Feature Mapping (CVPR 2024): the method alone, pure torch."""

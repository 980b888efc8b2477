"""The names of what the paper compares about mapping and aggregation. Imports nothing, so that help is quick."""

from typing import Literal

Architecture = Literal["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"]
"""The networks of suppl. B (Table 8); `mlp` is the paper's own, there called MLP Projection."""

Modality = Literal["cross", "intra"]
"""What a network predicts from (Table 7): from the other modality, or from its own, as reconstruction does."""

Aggregation = Literal["product", "sum", "max", "2d", "3d"]
"""What Ψ is made of (§ 3.3, Tables 6 and 9): Ψ_2D · Ψ_3D, Ψ_2D + Ψ_3D, max(Ψ_2D, Ψ_3D), or one of them alone."""

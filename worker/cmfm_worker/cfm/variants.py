"""The names of the method's variants. Imports nothing heavy, so that commands print their help quickly."""

from typing import Literal

Architecture = Literal["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"]
"""The mapping networks of suppl. B (Table 8). `mlp` is the paper's own, which Table 8 calls MLP Projection."""

Modality = Literal["cross", "intra"]
"""The input of a network (Table 7): the other modality ("cross"), or its own, as in reconstruction ("intra")."""

Aggregation = Literal["product", "sum", "max", "2d", "3d"]
"""The aggregation to Ψ (§ 3.3, Tables 6 and 9): Ψ_2D · Ψ_3D, Ψ_2D + Ψ_3D, max(Ψ_2D, Ψ_3D), or one of them alone."""

Distance = Literal["angular", "standardised", "metric"]
"""The measure of Ψ_2D and Ψ_3D: Eq. 3, residuals in units of their nominal spread, or such residuals in a learned
metric (`classic/residual_metric.py`). The last two are not in the paper.
"""

Normalisation = Literal["absolute", "published"]
"""The scale of a score: that of Ψ, or that of the published numbers (`anomaly_score.py`)."""

"""The names of the method's variants. Imports nothing heavy, so that commands print their help quickly."""

from typing import Literal

Architecture = Literal["mlp", "mlp_encoder_decoder", "conv_encoder_decoder"]
"""The mapping networks of suppl. B (Table 8). `mlp` is the paper's own, which Table 8 calls MLP Projection."""

Modality = Literal["cross", "intra"]
"""Whether a network predicts a modality from the other one, or from itself as reconstruction does (Table 7)."""

Aggregation = Literal["product", "sum", "max", "2d", "3d"]
"""How Ψ is made (§ 3.3, Tables 6 and 9): Ψ_2D · Ψ_3D, Ψ_2D + Ψ_3D, max(Ψ_2D, Ψ_3D), or one of them alone."""

Distance = Literal["angular", "standardised", "metric"]
"""How Ψ_2D and Ψ_3D are measured: by Eq. 3, by residuals in units of their nominal spread, or by such residuals in a
metric that was learned for them (`classic/residual_metric.py`). The last two are not in the paper.
"""

Normalisation = Literal["absolute", "published"]
"""How Ψ becomes a score (`anomaly_score.py`)."""

"""F_2D: vision transformers as 2D extractors, by default DINO ViT-B/8 (paper § 3.1, § 3.4, Table 10).

In: pictures (B, 3, 224, 224). Out: the tokens of the last kept block, on a grid. Runs in the compute thread.
`features.py` loads an encoder from its published file, `models.py` has the names of models, `architecture.py` builds
them by timm, `vit_encoder.py` and `sam_encoder.py` run them.
"""

"""The feature mappings M_2D→3D and M_3D→2D (paper § 3.2, suppl. B), their files, and their form at the tokens.

In: features of both modalities. Out: predicted features. Runs in the compute thread. `pair.py` holds both networks of a
recipe and applies Eq. 1, `networks.py` and `conv_encoder_decoder.py` are the architectures, `at_tokens.py` computes the
same at the tokens, `token_sampling.py` is the sparse matrix from tokens to pixels, `files.py` reads and writes pairs.
"""

"""The commands of `cmfm-sim`, one module each."""

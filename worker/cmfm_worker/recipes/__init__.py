"""Reads, checks and writes recipes, builds their extractors and keeps the loaded ones.

In: a recipe folder (`recipe.toml`, `mapping.safetensors`), the folder of published weights. Out: a `LoadedModel` on
the device and an extractor; for the line an `ActiveRecipe` by name (`RecipeRegistry`). `folder` writes recipes.
Runs in the caller's thread; the registry loads in threads of its own (`recipe-load`, `recipe-reload`), and its lookups
take no lock.
"""

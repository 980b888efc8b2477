"""Reads, checks and writes recipes, keeps their versions, builds their extractors and keeps the loaded ones.

In: a recipe folder (`recipe.toml`, `mapping.safetensors`), the folder of published weights. Out: a `LoadedModel` on
the device and an extractor; for the line an `ActiveRecipe` by name (`RecipeRegistry`). `folder` writes recipes,
`versions` undoes changes, `bundle` and `import_bundle` pass a recipe on as one file, `drift` compares the parts of a
loaded recipe with its nominal ones.
Runs in the caller's thread; the registry loads in threads of its own (`recipe-load`, `recipe-reload`), and its lookups
take no lock.
"""

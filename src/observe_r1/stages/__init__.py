"""A recipe's stages, run in order: ``pipeline`` calls one module a stage type."""

"""What a recipe needs on a machine: see ``report``."""

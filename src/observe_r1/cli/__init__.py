"""The command line. Modules here import what they need inside the commands, so that ``--help``
answers at once and never loads a deep-learning stack."""

"""Claims of methods put to the test: arms, seeds, intervals, verdicts.

plan.py        what is claimed, which arms, which effects would matter (TOML, written first)
trial.py       one arm with one seed: ladder, training, measurement
running.py     all trials, over processes, resumable
readouts.py    a finished trial → numbers
statistics.py  paired differences over seeds, intervals, correction for several claims
verdicts.py    numbers → verdicts, ``<name>.json`` and ``<name>.md``
"""

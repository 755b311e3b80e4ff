"""Claims of methods put to the test: arms, seeds, intervals, verdicts.

plan.py           what is claimed, which arms, which effects would matter (TOML, written first)
bases.py          models that some methods need, made once from the built-in one
trial.py          one arm with one seed: data, training, measurement
sharing.py        arms that begin alike run their first stages once a seed
measuring.py      what a trained trial is measured on
running.py        all trials, over processes, resumable
readouts.py       a finished trial → numbers; text_readouts.py reads wording, costs.py what it cost
statistics.py     paired differences over seeds, intervals, correction for several claims
verdicts.py       numbers → verdicts, ``<name>.json`` and ``<name>.md``
"""

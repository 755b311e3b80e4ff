"""Evaluation: ask a model questions, keep every answer, count.

run.py         evaluate(engine, samples, config, out): predictions.jsonl and scores.json, resumable
scores.py      from marked answers to numbers
intervals.py   how sure a share is
pass_at_k.py   what several answers to one question are worth together
benchmarks/    published benchmarks: their files, their own scoring
"""

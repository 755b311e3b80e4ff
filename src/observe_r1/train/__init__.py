"""The RL loop and what it stands on.

loop.py        choose, generate, score, observe, weigh, optimise, sync, record: one screen
draw.py        the first half of a step, with re-drawn prompts when groups are rejected
optimise.py    one update: micro-batches, backward, clip, step
rows.py        weighted groups → packed rows → micro-batches
reference.py   the model that KL terms look back to
schedule.py    the learning rate of an update
health.py      when training must stop: no signal, not finite
metrics.py     every metric: kind, unit, meaning
recorder.py    writes the run folder
state.py       where a run stands: checkpoints and resume
distribute.py  one process or many
"""

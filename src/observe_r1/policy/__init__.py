"""The trained model: loaded, its prompts encoded, its groups packed into rows, its log-probs read.

load.py       a name or folder → model and processor, ready to train
family.py     what differs between model families, asked of the model itself
prompts.py    a sample → token ids, positions, pixels
pack.py       a prompt and its completions → one row
attention.py  who sees whom in a row; computed by pieces.py or, on a GPU, blocks.py
vision.py     pixels → features, each picture once; windows.py and patches.py: how towers do it
compiled.py   norms and MLPs compiled, on a GPU
logprobs.py   hidden states → log-probs and entropy, in chunks
forward.py    PackedPolicy: rows in, log-probs out; the one module that is wrapped
"""

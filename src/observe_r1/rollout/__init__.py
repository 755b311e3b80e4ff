"""What draws completions: one small interface, several engines.

base.py            RolloutEngine: generate(samples) → groups, sync(policy), close()
sampling.py        logits → tokens, with a random number of its own for every token
shared_prefill.py  built in: prompt and images once, then G branches of the cache
prefill.py         its first pass: every prompt once
cache.py           the cache that is branched
decoder.py         a token a sequence, until all have ended
sequences.py       what has been drawn, and what is still alive
plain.py           the same for models whose prompts cannot be shared
replay.py          the same step many times, recorded on a GPU
vllm_common.py     what the two ways to vLLM share
vllm.py            vLLM in this process, following the policy's weights
vllm_server.py     vLLM in a server of its own, following them through a folder
endpoint.py        servers, which are only asked and never trained
engines.py         the engine that settings name
mismatch.py        how far sampler and trainer disagree
"""

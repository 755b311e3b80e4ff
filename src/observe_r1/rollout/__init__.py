"""What draws completions: one small interface, three engines.

    base.py            RolloutEngine: generate(samples) → groups, sync(policy), close()
    sampling.py        logits → tokens, with a random number of its own for every token
    shared_prefill.py  built in: prompt and images once, then G branches of the cache
    cache.py           the cache that is branched
    vllm.py            vLLM, in this process or behind a server
    endpoint.py        any OpenAI-compatible server: probing and evaluation
    mismatch.py        how far sampler and trainer disagree
"""

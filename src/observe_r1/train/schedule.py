"""The learning rate of an update: a function of its number, so there is nothing to save."""

import math

from observe_r1.config.optimizer import SupervisedOptimizer


def learning_rate(config: SupervisedOptimizer, update: int, total_updates: int) -> float:
    """``update`` counts from 0. Warm-up ends at ``lr``; the last update has ``min_lr``."""
    if update < config.warmup:
        risen = (update + 1) / (config.warmup + 1)
        return config.warmup_from + (config.lr - config.warmup_from) * risen
    if config.schedule == "constant":
        return config.lr
    span = max(config.decay_share * total_updates - 1 - config.warmup, 1)
    progress = min((update - config.warmup) / span, 1.0)
    left = 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.min_lr + (config.lr - config.min_lr) * left

"""The learning rate of an update: a function of its number, so there is nothing to save."""

import math

from observe_r1.config.optimizer import OptimizerConfig


def learning_rate(config: OptimizerConfig, update: int, total_updates: int) -> float:
    """``update`` counts from 0. Warm-up ends at ``lr``; the last update has ``min_lr``."""
    if update < config.warmup:
        return config.lr * (update + 1) / (config.warmup + 1)
    if config.schedule == "constant":
        return config.lr
    span = max(total_updates - 1 - config.warmup, 1)
    progress = min((update - config.warmup) / span, 1.0)
    left = 1 - progress if config.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.min_lr + (config.lr - config.min_lr) * left

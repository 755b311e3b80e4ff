"""Observe-R1: dynamic progressive reinforcement learning for vision-language models."""

"""Sequences and paths: the same steps in the same order, or any path that keeps the rules.

A gold is a list of steps ("up, up, left"), or a maze as JSON in which every legal path counts:

    {"maze": ["S.#", "..G"], "shortest": true}      # S start, G goal, '#' wall
"""

import json
import re
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from observe_r1.grading.clean import MAX_ANSWER_CHARS, plain_unicode, visible

MAX_STEPS = 400
MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_SHORT = {"u": "up", "d": "down", "l": "left", "r": "right"}
_COMPASS = {"north": "up", "south": "down", "west": "left", "east": "right"}
_SEPARATOR = re.compile(r"\s*(?:,|;|->|=>|\\to\b|\\rightarrow\b|>|\||\n|\bthen\b)\s*|\s+")


@dataclass(frozen=True, slots=True)
class Maze:
    """Example: Maze(rows=("S.", ".G"), shortest=True)"""

    rows: tuple[str, ...]
    shortest: bool

    def find(self, mark: str) -> tuple[int, int]:
        return next((r, row.index(mark)) for r, row in enumerate(self.rows) if mark in row)

    def is_free(self, cell: tuple[int, int]) -> bool:
        row, column = cell
        inside = 0 <= row < len(self.rows) and 0 <= column < len(self.rows[row])
        return inside and self.rows[row][column] != "#"


def read_steps(text: str) -> tuple[str, ...] | None:
    """The steps of an answer, directions spelled out; None when there are none or too many."""
    if len(text) > MAX_ANSWER_CHARS * 2:
        return None
    text = plain_unicode(visible(text)).strip(" .[](){}\"'`$").casefold()
    text = re.sub(r"[\[\]\"'`.]", " ", text)
    steps = [step for step in _SEPARATOR.split(text) if step]
    if len(steps) == 1 and len(steps[0]) > 1 and set(steps[0]) <= set(_SHORT):
        steps = list(steps[0])
    if not steps or len(steps) > MAX_STEPS:
        return None
    return tuple(_COMPASS.get(step, step) for step in _spell_out(steps))


def _spell_out(steps: list[str]) -> list[str]:
    """ "U, L" → "up, left", only where every step is such a letter."""
    return [_SHORT[step] for step in steps] if set(steps) <= set(_SHORT) else steps


@lru_cache(maxsize=1024)
def read_maze(gold: str) -> Maze | None:
    """The maze of a gold, None where the gold is a plain list."""
    if not gold.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(gold)
    except ValueError:
        return None
    rows = value.get("maze") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, str) for row in rows):
        return None
    joined = "".join(rows)
    if joined.count("S") != 1 or joined.count("G") != 1 or len(joined) > 10_000:
        return None
    maze = Maze(tuple(rows), bool(value.get("shortest", False)))
    return maze if shortest_length(maze) is not None else None


@lru_cache(maxsize=1024)
def shortest_length(maze: Maze) -> int | None:
    """Steps of the shortest path from S to G, None when there is none."""
    start, goal = maze.find("S"), maze.find("G")
    distance, pending = {start: 0}, deque([start])
    while pending:
        cell = pending.popleft()
        if cell == goal:
            return distance[cell]
        for move in MOVES.values():
            following = (cell[0] + move[0], cell[1] + move[1])
            if maze.is_free(following) and following not in distance:
                distance[following] = distance[cell] + 1
                pending.append(following)
    return None


def solves_maze(maze: Maze, steps: tuple[str, ...]) -> str | None:
    """None when the steps lead from S to G by the rules, else what is wrong."""
    cell = maze.find("S")
    for number, step in enumerate(steps, start=1):
        if step not in MOVES:
            return f"step {number} is '{step[:20]}', not a direction"
        cell = (cell[0] + MOVES[step][0], cell[1] + MOVES[step][1])
        if not maze.is_free(cell):
            return f"step {number} runs into a wall"
    if cell != maze.find("G"):
        return "the path does not end at the goal"
    if maze.shortest and len(steps) != shortest_length(maze):
        return "the path is not the shortest"
    return None

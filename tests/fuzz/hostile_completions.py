"""Completions that no honest model writes, none of which answers its question.

A completion is made of pieces that hold no part of any gold, or holds the gold in a way that does
not count: beside another answer, outside the answer section, in a section never closed.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

OPTIONS = ("10 cm", "12 cm", "13 cm", "15 cm", "16 cm", "18 cm", "7319 cm")


@dataclass(frozen=True)
class Question:
    gold: str
    kind: str
    others: tuple[str, ...]
    """Answers that are wrong, each of its kind."""
    options: tuple[str, ...] = ()


QUESTIONS = (
    Question("7319", "number", ("4", "82", "2.5", "\\frac{5}{8}", "605 cm", "zero")),
    Question("G", "choice", ("A", "(B)", "C.", "13 cm", "F. 18 cm"), OPTIONS),
    Question("quokka", "text", ("red", "a square", "yes", "2")),
    Question("(7319, 20) ± 5", "point", ("(4, 5)", "2 6", "8, 24")),
    Question("[7300, 7300, 7400, 7400]", "box", ("[0, 0, 5, 5]", "2 4 6 8", "4 5 6")),
    Question("7300 - 7400", "interval", ("0 - 5", "0:02-0:08", "8 to 82")),
    Question("up, left, up, down", "sequence", ("up, up", "right", "L R")),
    Question("7319; quokka", "parts", ("4; red", "2; 5", "(a) 8 (b) 2")),
    Question("[7300, 7319)", "expression", ("[0, 5)", "(2, 8]", "4", "[2, 5)")),
)
SYMBOLIC = Question("y^{3}-7y+1", "expression", ("x^{2}+4", "\\frac{x}{2}", "\\sqrt{5}x", "8"))

TAGS = (
    "<answer>", "</answer>", "<think>", "</think>", "<observe>", "</observe>", "<answer", "answer>",
    "</answer", "<answer/>", "<Answer>", "< answer >", "<answer><answer>", "</answer></answer>",
    "<|im_end|>", "<|im_start|>assistant", "\\boxed{", "\\boxed", "}", "{", "$", "$$", "\\(", "\\]",
)  # fmt: skip
SYMBOLS = (
    "\ud800", "\udfff", "\x00", "\x1b[31m", "\u202e", "\u200f", "\u2066", "\u0301" * 5, "\ufeff",
    "\u0660\u0662", "２", "²", "½", "∞", "√", "π", "±", "≈", "‰", "\U0001d7d8", "\n", "\r", "\t",
    "\u2028", "\u0130", "ß", "ﬁ", "\U0001f600", "\\", "\\\\", "%", "&", "#", "_", "^", "~", "`", "'",
)  # fmt: skip
FORMULAS = (
    "8**8**8", "8^{8^{8^{8}}}", "2^2^2^2^2", "0/0", "1/0", "\\frac{2}{0}", "\\frac{", "\\frac{}{}",
    "\\sqrt[0]{2}", "\\sqrt{-4}", "\\sqrt[5]", "(((((", ")))))", "[[[", "- - - 2", "+-+-4", "50!!",
    "80!", "2 4 6", "2,4,6", "8e400", "8e-400", "1e999999", ".", "..", "2..5", "2.5.5", "=", "==",
    "4=", "=4", "2=4", "x=", "≈2", "\\pm", "\\infty", "-\\infty", "\\left(", "\\right)", "\\text{",
    "\\text{\\text{\\text{2}}}", "{,}", "2{,}000", "\\%", "\\$", "\\circ", "^\\circ", "\\begin{x}",
    "|", "||", "|2|", "\\{", "\\}", "\\cup", "(2,", "2)", "[2,5)", "\\in", "x\\in[2", "<", "<=", ">",
    "__import__('os')", "eval(2)", "{0.__class__}", "%s%n", "'; DROP TABLE", "nan", "inf", "None",
)  # fmt: skip
WORDS = (
    "the answer is", "Answer:", "not", "or", "and", "cm", "kg", "percent", "half", "thousand",
    "about", "so", "A", "B and C", "I", "option", "of", "two", "degrees", "x", "to", "then", "but",
)  # fmt: skip
LONG = (
    "8" * 100_000, "(" * 20_000, "\\frac{" * 5_000, "{" * 20_000 + "}" * 20_000, "A " * 20_000,
    "\\boxed{" * 5_000, "<answer>" * 5_000, "- " * 20_000, "," * 50_000, "2^" * 10_000, "up " * 9_000,
    "\\text{" * 4_000 + "2" + "}" * 4_000, "2 " * 20_000, "\u202e" * 20_000, "=" * 20_000,
)  # fmt: skip
FILLERS = (*TAGS, *SYMBOLS, *FORMULAS, *WORDS)


@dataclass(frozen=True)
class Attack:
    """A completion and the question it does not answer."""

    question: Question
    completion: str
    extract: str


def attacks(count: int, seed: int) -> Iterator[Attack]:
    rng = random.Random(seed)
    for _ in range(count):
        question = SYMBOLIC if rng.random() < 0.002 else rng.choice(QUESTIONS)
        maker = rng.choices(MAKERS, WEIGHTS)[0]
        completion = maker(question, rng)
        is_open = maker in (garbage, long_garbage)
        extract = rng.choice(("tagged", "tagged", "boxed", "plain")) if is_open else "tagged"
        yield Attack(question, completion, extract)


def fillers(rng: random.Random, most: int = 8) -> str:
    pieces = rng.choices(FILLERS, k=rng.randrange(most))
    return rng.choice(("", " ", "  ")).join(pieces)


def garbage(question: Question, rng: random.Random) -> str:
    """Anything, in an answer section or not."""
    body = fillers(rng, 12)
    if rng.random() < 0.3:
        body = f"{body} {rng.choice(question.others)} {fillers(rng, 4)}"
    return f"<think>{fillers(rng)}</think><answer>{body}</answer>" if rng.random() < 0.8 else body


def wrong_answer(question: Question, rng: random.Random) -> str:
    return f"<think>{question.gold}</think><answer>{rng.choice(question.others)}</answer>"


def hedged(question: Question, rng: random.Random) -> str:
    """The gold beside another answer."""
    pair = [question.gold, rng.choice(question.others)]
    rng.shuffle(pair)
    joint = rng.choice((" or ", ", ", "; or ", " / ", " | ", "\n", " and also ", " maybe "))
    return f"<think>so</think><answer>{joint.join(pair)}</answer>"


def outside(question: Question, rng: random.Random) -> str:
    """The gold anywhere but inside the last closed answer section."""
    shape = rng.choice(
        (
            "{gold}<answer>{other}</answer>{gold}", "<answer>{gold}", "{gold}</answer>",
            "<answer>{gold}</answer><answer>{other}</answer>", "<answer>{gold}</answer><answer>",
            "<answer></answer>{gold}", "<think>{gold}</think>", "<answer>{gold}</answer",
            "<answer> </answer>{gold}</answer>", "<Answer>{gold}</Answer>", "answer: {gold}",
            "<answer>{gold}<answer>{other}</answer></answer>", "<answer {gold}></answer>",
        )
    )  # fmt: skip
    return fillers_without_answers(rng) + shape.format(
        gold=question.gold, other=rng.choice(question.others)
    )


def fillers_without_answers(rng: random.Random) -> str:
    return " ".join(rng.choices(SYMBOLS + WORDS, k=rng.randrange(4)))


def long_garbage(question: Question, rng: random.Random) -> str:
    return f"<answer>{fillers(rng, 3)}{rng.choice(LONG)}{fillers(rng, 3)}</answer>"


MAKERS = (garbage, wrong_answer, hedged, outside, long_garbage)
WEIGHTS = (60, 5, 15, 18, 2)

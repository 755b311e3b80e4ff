"""Golds of real competition questions: each can be checked, is right as its own answer in the ways
models write it, and no other question's gold is right in its place."""

import json
import random
from pathlib import Path

from observe_r1.grading import check_gold, grade


def questions(folder: Path) -> list[dict]:
    lines = (folder / "testmini.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def spellings(row: dict) -> list[str]:
    gold, options = row["answer"], row["options"]
    forms = [gold, f"${gold}$", f"The answer is {gold}.", f"\\boxed{{{gold}}}", f"**{gold}**"]
    if options:
        text = options["ABCDE".index(gold)]
        forms += [f"({gold})", f"{gold}.", f"{gold}. {text}", f"({gold}) {text}", f"{gold}: {text}"]
    else:
        forms += [f"x = {gold}"] if "(" not in gold else []
    return forms


def is_right(row: dict, answer: str) -> bool:
    found = grade(f"<answer>{answer}</answer>", row["answer"], options=row["options"] or None)
    return found.correct


def test_every_real_gold_can_be_checked_and_is_right_as_models_write_it(real_questions) -> None:
    missed = []
    for row in questions(real_questions):
        check_gold(row["answer"], options=row["options"] or None)
        missed += [(row["id"], form) for form in spellings(row) if not is_right(row, form)]
    assert not missed


def test_the_text_of_an_option_is_as_good_as_its_letter(real_questions) -> None:
    missed = []
    for row in questions(real_questions):
        options = row["options"]
        plain = [option.strip("() ") for option in options]
        if not options or set(plain) <= set("ABCDEFG") or "<image" in options[0]:
            continue
        index = "ABCDE".index(row["answer"])
        if (
            plain[index] in "ABCDE"
            or plain.count(plain[index]) > 1
            or not is_right(row, plain[index])
        ):
            missed.append((row["id"], plain[index]))
    assert len(missed) <= 6, missed  # options that are letters of other options themselves


def test_no_other_answer_is_right(real_questions) -> None:
    rng, rows = random.Random(0), questions(real_questions)
    for row in rows:
        for letter in "ABCDE" if row["options"] else ():
            if letter != row["answer"]:
                assert not any(
                    is_right(row, form) for form in (letter, f"({letter})", f"{letter}.")
                )
        for other in rng.sample(rows, 5) if not row["options"] else ():
            if other["answer"] != row["answer"]:
                assert not is_right(row, other["answer"]), (row["id"], other["answer"])

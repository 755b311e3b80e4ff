"""The question as the model reads it."""

from observe_r1.types import Sample


def option_letter(index: int) -> str:
    """0 → "A", 25 → "Z"."""
    return chr(ord("A") + index)


def format_question(sample: Sample) -> str:
    """The question; options of a choice question follow as ``A. text`` lines.

    Options that only repeat their own letters ("A", "(B)": the pictures hold the options) add
    nothing and are left out. ``<image>`` markers stay where they are: they place the images.
    """
    if sample.kind != "choice" or not sample.options or _only_letters(sample.options):
        return sample.question
    lines = [f"{option_letter(i)}. {text}" for i, text in enumerate(sample.options)]
    return "\n".join([sample.question.rstrip(), *lines])


def _only_letters(options: tuple[str, ...]) -> bool:
    return all(text.strip(" ().") == option_letter(i) for i, text in enumerate(options))

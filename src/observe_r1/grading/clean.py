"""One spelling for what models write in many: Unicode, Markdown and LaTeX down to plain forms.

Every step is a fixed replacement or a pattern without nested repetition: linear in the text.
"""

import re
import unicodedata
from functools import lru_cache

MAX_ANSWER_CHARS = 2000
"""Longer answers are not answers; nothing below is asked to read them."""

_INVISIBLE = re.compile(
    "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufe00-\ufe0f\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
    "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8",
    "⅞": "7/8", "⅐": "1/7", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "—": " - ", "‐": "-", "‑": "-", "×": "*", "·": "*", "⋅": "*", "∙": "*",
        "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "∶": ":", "：": ":", "°": "^\\circ ",
        "º": "^\\circ ", "˚": "^\\circ ", "π": "\\pi ", "∞": "\\infty ", "≈": "\\approx ",
        "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "±": "\\pm ", "∪": "\\cup ", "∩": "\\cap ",
        "θ": "\\theta ", "α": "\\alpha ", "β": "\\beta ", "φ": "\\phi ", "∠": "\\angle ",
        "△": "\\triangle ", "’": "'", "‘": "'", "′": "'", "“": '"', "”": '"', "，": ",", "。": ".",
        "（": "(", "）": ")", "％": "%", "＝": "=", "→": "\\to ", "∅": "\\emptyset ",
    }
)  # fmt: skip
_ROOT_SIGN = re.compile(r"√\s*(?:\(([^()√]*)\)|\{([^{}√]*)\}|([0-9]+(?:\.[0-9]+)?|[a-zA-Z]))")
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__")
_WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathsf|mathit|mathbb|boldsymbol|bm|mbox"
    r"|operatorname|rm|emph|underline)\s*\{([^{}]*)\}"
)
_SIZES = re.compile(
    r"\\(?:left|right|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|displaystyle|textstyle|limits|nolimits"
    r"|rm|bf|it)(?![a-zA-Z])\.?"
)
_SPACES = re.compile(
    r"\\[,;: ]|\\(?:quad|qquad|thinspace|enspace|space|hspace\{[^{}]*\})(?![a-zA-Z])|~"
)
_FRACTIONS = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degrees?(?![a-zA-Z])")
_TYPED_DEGREES = re.compile(r"(?<=[0-9])\s*\^\s*(?:\{o\}|o(?![a-zA-Z]))")
_NAMES = re.compile(r"\\(le|ge|ne|lt|gt)q?(?:slant)?(?![a-zA-Z])")
_COMMANDS = (
    (re.compile(r"\\(?:cdot|times|ast)(?![a-zA-Z])"), " * "),
    (re.compile(r"\\div(?![a-zA-Z])"), " / "),
    (re.compile(r"\\(?:approx|simeq|doteq|approxeq|sim|thickapprox)(?![a-zA-Z])"), " ≈ "),
    (re.compile(r"\\colon(?![a-zA-Z])"), ":"),
    (re.compile(r"\\(?:textdollar|\$)"), " dollars_sign "),
    (re.compile(r"\\(?:lbrace|\{)"), "\\{"),
    (re.compile(r"\\(?:rbrace|\})"), "\\}"),
)
_DELIMITERS = re.compile(r"\\[()\[\]]|\$+|\\\\")


def visible(text: str) -> str:
    """Without characters that show nothing, and with one kind of space."""
    text = _INVISIBLE.sub("", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def plain_unicode(text: str) -> str:
    """Typographic characters as ASCII or LaTeX: "5²" → "5^{2}", "1½" → "1 1/2", "３" → "3"."""
    text = _SUPERSCRIPT_RUN.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    for sign, written in _VULGAR.items():
        if sign in text:
            text = text.replace(sign, f" {written} ")
    text = text.translate(_CHARACTERS)
    text = _ROOT_SIGN.sub(lambda m: "\\sqrt{" + (m[1] or m[2] or m[3] or "") + "}", text)
    return unicodedata.normalize("NFKC", text)


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """A short answer in one spelling. Dollar signs go, commands keep their meaning.

    Example:
        clean(r"$\\dfrac{3}{4}\\,\\text{cm}$") → "\\frac{3}{4} cm"
    """
    if text.isascii() and text.isalnum():
        return text
    text = plain_unicode(visible(text))
    text = _HEADING.sub("", text)
    text = _BOLD.sub(lambda m: m[1] or m[2], text).replace("**", "^")
    text = text.replace("{,}", ",").replace("\\!", "").replace("\\%", "%").replace("\\&", "&")
    if "\\" in text:
        text = _clean_commands(text)
    if "^" in text:
        text = _TYPED_DEGREES.sub(" deg ", text)
    text = _DELIMITERS.sub(" ", text)
    text = re.sub(r"\s+", " ", text).replace(" ^", "^")
    return text.strip().rstrip(".,;: ").strip("`").strip()


def _clean_commands(text: str) -> str:
    text = _SIZES.sub(" ", text)
    for _ in range(3):  # wrappers nest two or three deep at most
        unwrapped = _WRAPPED.sub(r" \1 ", text)
        if unwrapped == text:
            break
        text = unwrapped
    text = _SPACES.sub(" ", text)
    text = _FRACTIONS.sub(r"\\frac", text)
    text = _DEGREES.sub(" deg ", text)
    text = _NAMES.sub(r"\\\1", text)
    for pattern, replacement in _COMMANDS:
        text = pattern.sub(lambda _, r=replacement: r, text)
    return text


def squeeze(text: str) -> str:
    """For comparing as written: cleaned, without spaces, brackets around single things, or case."""
    return re.sub(r"[\s{}]+", "", clean(text)).casefold()

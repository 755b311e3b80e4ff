"""What counts as right, by example: the tests run these rows, and docs/grading.md shows them.

Changing a verdict here is a decision: people train on it.
"""

from dataclasses import dataclass, field

AREAS = ("10 cm", "12 cm", "13 cm", "15 cm")
ANGLES = ("$90^{\\circ}$", "$100^{\\circ}$", "$110^{\\circ}$")
WHO = ("either A or B", "only C", "only D", "either C or D", "A, B, C or D")
COLOURS = ("red", "blue", "green", "This cannot be worked out.")
MAZE = '{"maze": ["S..", ".#.", "..G"], "shortest": true}'


@dataclass(frozen=True)
class Case:
    """One answer and its verdict; ``answer`` is a whole completion unless the topic is tagged."""

    gold: str
    answer: str
    right: bool
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Topic:
    """A kind of answer, or a way of extracting one, with its rules in words."""

    title: str
    rules: str
    cases: list[Case] = field(default_factory=list)
    kind: str = "auto"
    extract: str = "tagged"
    whole: bool = False
    """Whether ``answer`` is the whole completion."""


def right(gold: str, *answers: str, options: tuple[str, ...] = ()) -> list[Case]:
    return [Case(gold, answer, True, options) for answer in answers]


def wrong(gold: str, *answers: str, options: tuple[str, ...] = ()) -> list[Case]:
    return [Case(gold, answer, False, options) for answer in answers]


TOPICS = [
    Topic(
        "Numbers",
        "Compared by value: exactly for decimals and fractions, to ten digits where roots or π "
        "are in play. Words around the number may not change it; a text with several numbers "
        "states none. An equation states its last side, and its numeric sides must agree.",
        [
            *right("3", "3", "3.0", "+3", "three", "x = 3", "The answer is 3.", "$3$", "\\(3\\)"),
            *right("3", "**3**", "\\boxed{3}", "6/2", "2+1", "1 + 2 = 3", "\\text{3}", "３"),
            *right("3", "So the number of red squares is 3", "\\sqrt{9}", "3!/2", "\\log_2 8"),
            *wrong("3", "4", "-3", "3 or 4", "3, 4", "not 3", "3 = 4", "13", "3x", "3a", "", "x"),
            *wrong("3", "2 < 3", "less than 3", "at least 3", "3 1", "33", "3^2", "three or four"),
            *wrong("3", "3 thirds", "3 hundred", "half of 3", "2x = 3", "9**9**9", "3-", "3 ± 1"),
            *right("1000", "1,000", "1 000", "1\\,000", "1{,}000", "10^3", "1e3", "1 thousand"),
            *right("1,234.5", "1234.5", "1,234.50"),
            *wrong("1234", "1,2,3,4", "12,34"),
            *right("-2", "−2", "-2", "$-2$", "negative 2", "x=-2"),
            *wrong("-2", "2", "- 2 or 2", "|-2|"),
            *right("1/2", "0.5", "\\frac{1}{2}", "\\frac12", "\\dfrac{1}{2}", "½", "2/4", ".5"),
            *right("5/2", "2 1/2", "2\\frac{1}{2}", "2½", "2.5"),
            *wrong("5/2", "2 \\cdot \\frac{1}{2}", "21/2"),
            *right(
                "2\\sqrt{3}", "2√3", "\\sqrt{12}", "\\frac{6}{\\sqrt{3}}", "3.464102", "2\\sqrt3"
            ),
            *wrong("2\\sqrt{3}", "3.46", "2\\sqrt{2}", "\\sqrt{3}"),
            *right("\\frac{3\\pi}{4}", "\\frac{3}{4}\\pi", "0.75π", "3\\pi/4"),
            *wrong("\\frac{3\\pi}{4}", "2.36", "3\\pi"),
            *right("3 \\times 10^8", "3e8", "300000000", "3·10^8", "3 x 10^8"),
            *wrong("3 \\times 10^8", "3 \\times 10^7", "310^8"),
        ],
    ),
    Topic(
        "Rounding",
        "A decimal gold of three significant digits and more is taken as rounded: a more precise "
        "answer is right when it rounds to it. A gold of two digits is, for answers no decimal "
        "can hold (1/3, roots, π). An integer never is. A less precise answer is wrong. For an "
        "exact gold a decimal needs six correct significant digits.",
        [
            *right("23.2", "23.2", "23.16", "42-6\\pi", "23.20"),
            *wrong("23.2", "23.3", "23.26", "23", "23.1"),
            *right("0.33", "1/3", "0.33"),
            *wrong("0.33", "0.334", "0.3", "0.3333"),
            *right("1/3", "0.333333", "0.3333333"),
            *wrong("1/3", "0.33", "0.3", "0.333334444"),
            *wrong("4.8", "4.84", "4.75", "5"),
            *wrong("61", "60.8", "61.2"),
        ],
    ),
    Topic(
        "Units and percent",
        "A unit on one side only is understood. Two known units must be of one kind and are "
        "converted. 50% is 0.5, and 50 where percent is understood; 0.5 is never 0.5%.",
        [
            *right(
                "12",
                "12 cm",
                "12\\text{ cm}^2",
                "$12\\,\\mathrm{cm}$",
                "12 apples",
                "\\$12",
                "12 square units",
            ),
            *right("12 cm", "12", "12 cm", "120 mm", "0.12 m", "12 centimeters", "12cm"),
            *wrong("12 cm", "12 kg", "12 m", "12 cm^2", "120 cm"),
            *right("120", "120°", "120^\\circ", "120 degrees"),
            *right("120^\\circ", "120", "120°", "∠ABC = 120°"),
            *right("5 m/s", "5 \\frac{m}{s}", "18 km/h", "5 meters per second", "5"),
            *right("50%", "50%", "50\\%", "0.5", "50", "1/2", "50 percent"),
            *right("0.5", "50%", "0.5"),
            *right("16", "16%"),
            *wrong("0.5", "0.5%", "50"),
            *wrong("50%", "5%", "0.05", "500%"),
            *right("63 inches", "5 ft 3 in"),
            *right("168 min", "2 h 48 m", "2 hours 48 minutes"),
        ],
    ),
    Topic(
        "Ratios",
        "A ratio of two is the quotient.",
        [
            *right("3:4", "3:4", "3 : 4", "6:8", "3/4", "0.75", "3 to 4"),
            *wrong("3:4", "4:3", "3", "3, 4"),
        ],
    ),
    Topic(
        "Choices",
        "A letter of the item's options, alone or before its text, or the option's own text or "
        "value. Letters are tokens. Naming several options is no pick, and neither is a letter "
        "with another option's text.",
        [
            *right(
                "B",
                "B",
                "b",
                "(B)",
                "B.",
                "B)",
                "**B**",
                "$B$",
                "\\text{B}",
                "\\boxed{B}",
                options=AREAS,
            ),
            *right("B", "option B", "The answer is (B).", "The correct option is B", options=AREAS),
            *right(
                "B",
                "B. 12 cm",
                "(B) 12 cm",
                "B: 12 cm",
                "12 cm",
                "12cm",
                "12",
                "0.12 m",
                options=AREAS,
            ),
            *right("B", "The length is 12 cm", options=AREAS),
            *wrong(
                "B",
                "A",
                "E",
                "big",
                "Bob",
                "B or C",
                "A, B",
                "AB",
                "A B C D",
                "not B",
                options=AREAS,
            ),
            *wrong(
                "B",
                "B. 10 cm",
                "10 cm, 12 cm",
                "A. 10 cm B. 12 cm",
                "(A)(B)(C)(D)",
                "",
                options=AREAS,
            ),
            *wrong("B", "All of the above", "B is wrong", "B and C", "A/B", options=AREAS),
            *right("(B)", "B", options=AREAS),
            *right("12 cm", "B", "12 cm", options=AREAS),
            *right("A", "90 degrees", "90", "$90^\\circ$", "A", options=ANGLES),
            *wrong("A", "90 or 100", "100", options=ANGLES),
            *right("A", "either A or B", "A", "A. either A or B", options=WHO),
            *right("E", "A, B, C or D", "E", options=WHO),
            *wrong("A", "B", "A or B", options=WHO),
            *right("C", "green", "Green.", "The colour is green", "C. Green", options=COLOURS),
            *wrong("C", "green and red", "not green", "greenish", options=COLOURS),
            *right("E", "E", "(E)", "e", "The answer is: E", "E. cube"),
            *right("A", "The answer is: A", "A. cube"),
            *wrong("A", "Many", "gray", "A cube", "A and E"),
            *wrong("D", "dog", "Don't know"),
        ],
    ),
    Topic(
        "Expressions, sets, intervals, equations",
        "Compared by math-verify, the gold first, within a time limit. Forms are compared by "
        "their items: order counts in tuples and labelled values, not in sets and lists; open and "
        "closed ends differ. An inequality is the set it describes.",
        [
            *right("x^2-1", "(x-1)(x+1)", "-1+x^2", "x^{2} - 1", "x**2 - 1", "x²-1"),
            *wrong("x^2-1", "x^2+1", "(x-1)^2", "y^2-1", "x^2-1+1/1000000"),
            *right("\\frac{a+b}{2}", "(a+b)/2", "\\frac{a}{2}+\\frac{b}{2}"),
            *right("y = 2x+1", "y=2x+1", "y = 1+2x", "2x-y+1=0", "2x+1"),
            *wrong("y = 2x+1", "y=2x-1", "x = 2y+1"),
            *right("x = 5", "5", "x=5", "x = 5"),
            *wrong("x = 5", "y = 5", "x = 4"),
            *right("(3,-4)", "(3, -4)", "\\left(3,-4\\right)", "3, -4", "(6/2,-4)"),
            *wrong("(3,-4)", "(-4,3)", "(5,-7)", "\\{3,-4\\}", "(3,-4,0)", "[3,-4]"),
            *right("\\{1,2\\}", "\\{2,1\\}", "{1,2}", "1, 2", "1 and 2", "x=1 or x=2"),
            *wrong("\\{1,2\\}", "1", "\\{1,2,3\\}", "(1,3)"),
            *right("2, 3", "3, 2", "2 and 3", "x = 2 or x = 3", "x_1=2, x_2=3"),
            *wrong("2, 3", "2", "2, 3, 4", "2, 2"),
            *right("\\pm 3", "±3", "3, -3", "x = \\pm 3"),
            *wrong("\\pm 3", "3", "-3"),
            *right("x=1, y=2", "y=2, x=1", "(1,2)", "x = 1 and y = 2"),
            *wrong("x=1, y=2", "x=2, y=1", "(2,1)"),
            *right("[2,5)", "[2, 5)", "2 \\le x < 5", "x \\in [2,5)"),
            *wrong("[2,5)", "(2,5)", "[2,5]", "2 < x < 5", "[2,6)"),
            *right("x \\ge 2", "[2,\\infty)", "x≥2", "2 \\leq x", "x >= 2"),
            *wrong("x \\ge 2", "x > 2", "(2,\\infty)", "x \\le 2", "2"),
            *right("[2,\\infty)", "m \\ge 2", "x≥2"),
            *right("x<1 or x>3", "(-\\infty,1)\\cup(3,\\infty)", "x>3 or x<1"),
            *wrong("x<1 or x>3", "1<x<3", "(-\\infty,1)"),
        ],
    ),
    Topic(
        "Several parts",
        "Every part must hold, in order. Parts are told apart by (a), (b), semicolons, lines, or "
        "by spaces between numbers.",
        [
            *right("1228 142.67", "1228 142.67", "1228, 142.67", "1228; 142.67"),
            *wrong("1228 142.67", "142.67", "1228", "142.67 1228", "1228 142.67 3"),
            *right("(a) 3 (b) 5 cm", "(a) 3 (b) 5", "(a) 3; (b) 5 cm"),
            *wrong("(a) 3 (b) 5 cm", "(a) 5 (b) 3", "3", "(a) 3"),
            *right("3; red", "3; Red"),
            *wrong("3; red", "3", "red; 3", "3; blue"),
        ],
    ),
    Topic(
        "Text",
        "Compared without case, articles and punctuation. Several accepted wordings are parted by "
        '" | " or given as a JSON list.',
        [
            *right("red", "Red", "the red", "red.", "It is red.", "The answer is red", "**red**"),
            *wrong("red", "blue", "red, blue, green", "not red", "reddish", "dark red", ""),
            *right("Yes", "yes", "True", "Yes, because the sides are equal."),
            *wrong("Yes", "no", "yes or no", "Yes and no"),
            *right("gray | silver", "grey", "silver", "Gray"),
            *right('["two", "a pair"]', "2", "a pair"),
            *right("3:05", "3:05", "03:05"),
            *wrong("3:05", "3:50", "305"),
        ],
        kind="text",
    ),
    Topic(
        "Points",
        'Gold "x, y" is exact; "x, y ± r" asks for a distance of at most r; four numbers are a '
        "region the point must lie in.",
        [
            *right("(10, 20) ± 5", "(12, 18)", "10,20", "[13, 24]", "x=10, y=20"),
            *wrong("(10, 20) ± 5", "(20, 20)", "10", "(10,20) (50,60)", ""),
            *right("0.1, 0.2, 0.5, 0.6", "(0.3, 0.4)"),
            *wrong("0.1, 0.2, 0.5, 0.6", "(0.6, 0.4)"),
        ],
        kind="point",
    ),
    Topic(
        "Boxes",
        "One box x1, y1, x2, y2 with an intersection over union of at least 0.5.",
        [
            *right(
                "[10, 10, 30, 30]",
                "[10, 10, 30, 30]",
                "(12, 10, 30, 30)",
                '{"bbox_2d": [10, 10, 30, 28]}',
            ),
            *wrong(
                "[10, 10, 30, 30]",
                "[30, 30, 50, 50]",
                "[0, 0, 100, 100]",
                "[10, 10, 30]",
                "[10, 10, 30, 30] [0, 0, 9, 9]",
            ),
        ],
        kind="box",
    ),
    Topic(
        "Time intervals",
        "One interval in seconds or on the clock, with an intersection over union of at least 0.5.",
        [
            *right("12.5 - 18", "12.5 - 18", "from 12s to 18s", "[12, 18.5]", "0:12-0:18"),
            *wrong("12.5 - 18", "18 - 12.5", "20 - 30", "12.5", "0 - 100", "1-2, 12-18"),
        ],
        kind="interval",
    ),
    Topic(
        "Sequences and paths",
        "The same steps in the same order; where the gold is a maze, any path that keeps its "
        "rules.",
        [
            *right(
                "up, up, left", "up, up, left", "Up Up Left", "U, U, L", "UUL", "up → up → left"
            ),
            *wrong("up, up, left", "up, left, up", "up, up", "up, up, left, left", ""),
            *right(MAZE, "right, right, down, down", "D D R R"),
            *wrong(MAZE, "right, down, down, right", "right, right", "up", "R R L R D D", "jump"),
        ],
        kind="sequence",
    ),
    Topic(
        "Where the answer stands: tagged",
        "Inside the last answer section and nowhere else. A section that is never closed is no "
        "answer; tags inside the answer make it unreadable.",
        [
            *right(
                "3",
                "<think>4</think><answer>3</answer>",
                "<answer>\n3\n</answer> or 4",
                "<answer> 3 </answer>",
            ),
            *right("3", "<answer>4</answer><answer>3</answer>"),
            *wrong(
                "3",
                "3",
                "\\boxed{3}",
                "<answer>3",
                "<answer></answer>3",
                "<answer>3</answer><answer>4</answer>",
            ),
            *wrong("3", "<answer>3</answer><answer>", "<answer>\n7\n</answer> text 3", "answer: 3"),
            *wrong(
                "3",
                "<answer><think>3</think></answer>",
                "<answer> \n </answer>",
                "<Answer>3</Answer>",
            ),
        ],
        whole=True,
    ),
    Topic(
        "Where the answer stands: boxed",
        "Inside the last complete box.",
        [
            *right(
                "3",
                "so \\boxed{3}",
                "\\boxed{4} no, \\boxed{3}",
                "$\\boxed{x = 3}$",
                "\\boxed{\\boxed{3}}",
            ),
            *right("0.5", "\\boxed{\\frac{1}{2}}"),
            *wrong(
                "3",
                "3",
                "\\boxed{3",
                "\\boxed{3} no, \\boxed{4}",
                "\\boxed{}",
                "<answer>3</answer>",
            ),
        ],
        extract="boxed",
        whole=True,
    ),
    Topic(
        "Where the answer stands: plain",
        "For untagged outputs, leniently: an answer section, else the last box, else what follows "
        'the last "answer is", else the last line, and there the last number.',
        [
            *right(
                "7",
                "There are 3 red and 4 blue, so 7 in total.",
                "The answer is 7.",
                "**Answer:** 7",
                "#### 7",
            ),
            *right("7", "<answer>7</answer>", "so \\boxed{7}.", "3 + 4 = 7", "It is\n\n7"),
            *right(
                "B", "A is too small. The answer is (B).", "**Final answer**: B", "B", options=AREAS
            ),
            *wrong("7", "", "7 or so? The answer is 8.", "I cannot tell."),
        ],
        extract="plain",
        whole=True,
    ),
]

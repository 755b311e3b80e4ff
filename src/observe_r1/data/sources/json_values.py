"""The values of a JSON file one by one, a window of its text in memory at a time.

    [{…}, {…}, …]     the items of the list
    {…} {…} …         values one after the other, in lines or not; often there is just one

A value that is broken is one ``Broken``; the next line that opens an object goes on. So memory
holds the longest value, not the file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

_WINDOW = 1_000_000
_SPACE = " \t\r\n"
_LONGEST_WORD = 12
"""An error this near the end of the window may be a number or a word that the window cuts off."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Text that is no JSON.

    Example:
        Broken("Expecting value at 'oops}'")
    """

    why: str


def why(error: Exception) -> str:
    """What is wrong and at which words; line and column would be those of a window of the file."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    found = error.doc[error.pos : error.pos + 40].partition("\n")[0]
    return f"{error.msg} at {found!r}" if found else f"{error.msg} at its end"


class JsonValues:
    """Iterate over the values; ``is_list`` says whether they are the items of one list.

    Example:
        with open("train.json", encoding="utf-8-sig") as file:
            rows = list(JsonValues(file))
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._place = 0
        self._has_ended = False
        self._decoder = json.JSONDecoder()
        self.is_list = self._pass_over(_SPACE) == "["
        self._place += self.is_list

    def __iter__(self) -> Iterator[Any]:
        while self._pass_over(_SPACE + ",]"):
            try:
                yield self._decode()
            except (ValueError, RecursionError) as error:
                yield Broken(why(error))
                self._to_next_object()

    @property
    def is_at_end(self) -> bool:
        return not self._pass_over(_SPACE)

    def _decode(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if not self._may_be_cut_off(error) or not self._read_on():
                    raise
                continue
            if end == len(self._text) and self._read_on():
                continue  # 12 may be the beginning of 123
            self._place = end
            return value

    def _may_be_cut_off(self, error: json.JSONDecodeError) -> bool:
        is_near_end = error.pos >= len(self._text) - _LONGEST_WORD
        return is_near_end or error.msg.startswith("Unterminated string")

    def _read_on(self) -> bool:
        """A longer window from the present place on; False at the end of the file. It grows by
        its own length, so that a long value is not decoded again and again."""
        if self._has_ended:
            return False
        more = self._file.read(max(_WINDOW, len(self._text) - self._place))
        self._text = self._text[self._place :] + more
        self._place = 0
        self._has_ended = not more
        return bool(more)

    def _pass_over(self, characters: str) -> str:
        """Go to the next character that is none of these, and tell it; empty at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in characters:
                    return self._text[self._place]
                self._place += 1
            if not self._read_on():
                return ""

    def _to_next_object(self) -> None:
        while True:
            end = self._text.find("\n", self._place)
            if end < 0:
                self._place = len(self._text)
                if not self._read_on():
                    return
                continue
            self._place = end + 1
            if self._pass_over(" \t,[") == "{":
                return

"""How numbers are written in a text file: decimal mark and thousands mark, found from a sample and read as SQL."""

import re
from dataclasses import dataclass
from typing import Literal

Decimal = Literal[".", ","]
Thousands = Literal["", ",", ".", " ", "'"]

MARKS: dict[str, str] = {",": ",", ".": r"\.", " ": " \u00a0\u202f", "'": "'\u2019"}  # inside [], by what is chosen
NUMBER = re.compile(
    r"[+-]?(\d{1,3}([,.' \u00a0\u202f\u2019]\d{3})+([.,]\d*)?|\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?"
    r"|[+-]?(nan|inf|infinity)",
    re.IGNORECASE,
)
LOOKED_AT = 100  # texts of a column


@dataclass(frozen=True)
class Numbers:
    """How the numbers of one file are written. Without a thousands mark a grouped number is none."""

    decimal: Decimal = "."
    thousands: Thousands = ""

    @property
    def grouped(self) -> str:
        """A number whose digits stand in groups of three, as a regular expression of Python and of DuckDB alike."""
        point = "," if self.decimal == "," else r"\."
        return rf"[+-]?\d{{1,3}}([{MARKS[self.thousands]}]\d{{3}})+({point}\d*)?"

    def sql(self, column: str) -> str:
        """SQL that turns the text in ``column`` into a DOUBLE, NULL where it is no number."""
        text = column
        if self.thousands:
            bare = f"regexp_replace({column}, '[{_quoted(MARKS[self.thousands])}]', '', 'g')"
            text = (
                f"CASE WHEN regexp_full_match(trim({column}), '{_quoted(self.grouped)}') THEN {bare} ELSE {column} END"
            )
        if self.decimal == ",":
            return f"CASE WHEN NOT contains({text}, '.') THEN try_cast(replace({text}, ',', '.') AS DOUBLE) END"
        return f"try_cast({text} AS DOUBLE)"

    def reads(self, text: str) -> bool:
        """Whether this text is a number, written so."""
        if self.thousands and re.fullmatch(self.grouped, text):
            return True
        plain = NUMBER.fullmatch(text) is not None and not re.search(r"[' \u00a0\u202f\u2019]|[.,].*[.,]", text)
        return plain and ("." if self.decimal == "," else ",") not in text


def written(columns: list[list[str]]) -> Numbers:
    """How the numbers in these texts seem to be written.

    A comma before three digits alone says nothing about itself: it is taken as a thousands mark unless other commas are
    clearly decimal.
    """
    texts = [text.strip() for column in columns for text in column[:LOOKED_AT]]

    def count(pattern: str) -> int:
        return sum(re.fullmatch(pattern, text) is not None for text in texts)

    comma = count(r"[+-]?(\d*|\d{1,3}([. \u00a0\u202f']\d{3})+),\d+([eE][+-]?\d+)?")
    unclear = count(r"[+-]?\d{1,3},\d{3}")
    point = count(r"[+-]?(\d*|\d{1,3}([, \u00a0\u202f'\u2019]\d{3})+)\.\d+([eE][+-]?\d+)?")
    decimal: Decimal = "," if comma > point and comma > unclear else "."
    for mark in (".", " ", "'") if decimal == "," else (",", " ", "'"):
        if count(Numbers(decimal, mark).grouped):
            return Numbers(decimal, mark)
    return Numbers(decimal)


def _quoted(text: str) -> str:
    return text.replace("'", "''")

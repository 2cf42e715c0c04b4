"""What a file seems to be (``Proposal``) and what a person decided about it (``Choice``). Records only."""

from typing import Literal

from pydantic import Field

from core.data.card import Record
from core.data.numbers import Decimal, Numbers, Thousands

Fill = Literal["keep", "linear", "forward", "seasonal", "drop"]
Step = Literal[
    "", "1 minute", "5 minutes", "10 minutes", "15 minutes", "30 minutes", "1 hour", "1 day", "1 week", "1 month"
]
Aggregate = Literal["mean", "sum", "min", "max", "median", "first", "last"]
Role = Literal["time", "series", "value", "text", "empty"]


class Column(Record):
    """One column as found. ``examples`` are its first filled cells as text; ``note`` says how its times are written."""

    name: str
    role: Role
    examples: list[str] = Field(default_factory=list)
    note: str = ""


class Choice(Record):
    """How to read a file: enough to read it again the same way. Column names are those of the proposal.

    ``date_parts`` are the columns of month and day where ``time_column`` holds the year alone; ``time_of_day`` is a
    further column where date and time of day stand apart. ``series_column`` names a row's series in
    a long table; each series becomes a variate, or one for each value column. ``day_first`` is only asked of times such
    as 01/02/2020; None lets the values decide and is refused where they cannot. ``zone`` is where times without an
    offset were taken. ``gaps``: insert rows without values so that a step is a step, or keep the rows as they are.
    ``fill``: what to put in the place of missing values; drop leaves out rows that have one. ``missing_values`` are
    numbers that stand for none, in columns where they lie far beyond all others (in all columns, where they do so in
    none); ``outliers`` and ``units`` say what becomes of what the audit finds. ``step`` brings
    the data to equal steps, ``aggregate`` says how the values of one step become one; empty steps are missing.
    """

    time_column: str | None = None
    date_parts: list[str] = Field(default_factory=list, max_length=2)
    time_of_day: str | None = None
    series_column: str | None = None
    value_columns: list[str] = Field(default_factory=list)
    day_first: bool | None = None
    decimal: Decimal = "."
    thousands: Thousands = ""
    zone: str = "UTC"
    duplicates: Literal["mean", "first", "last"] = "mean"
    gaps: Literal["insert", "keep"] = "insert"
    fill: Fill = "keep"
    missing_values: list[float] = Field(default_factory=list)
    outliers: Literal["keep", "missing", "clip"] = "keep"
    units: Literal["keep", "scale"] = "keep"
    step: Step = ""
    aggregate: Aggregate = "mean"

    @property
    def unmended(self) -> "Choice":
        """The same reading with every value as it came."""
        mending = ("fill", "missing_values", "outliers", "units", "step", "aggregate")
        return self.model_copy(update={name: getattr(Choice(), name) for name in mending})

    @property
    def numbers(self) -> Numbers:
        """How numbers are written."""
        return Numbers(self.decimal, self.thousands)


class Proposal(Record):
    """What ``sniff`` saw: ``rows`` are the first three data rows as text, in the order of ``columns``, ``times`` their
    stamps as they will be read. ``ambiguous`` holds both readings of these stamps where day and month cannot be told
    apart, ``{"day first": [...], "month first": [...]}``; then ``choice.day_first`` must be set."""

    columns: list[Column]
    rows: list[list[str]]
    time_column: str | None
    date_parts: list[str] = Field(default_factory=list)
    time_of_day: str | None = None
    series_column: str | None = None
    zone: str = "UTC"
    time_format: str = ""
    times: list[str] = Field(default_factory=list)
    ambiguous: dict[str, list[str]] | None = None
    value_columns: list[str]
    decimal: Decimal = "."
    thousands: Thousands = ""
    separator: str = ""
    encoding: str = ""
    warnings: list[str] = Field(default_factory=list)

    @property
    def choice(self) -> Choice:
        """The proposal, accepted as it stands."""
        same = ("time_column", "date_parts", "time_of_day", "series_column", "value_columns")
        same = (*same, "decimal", "thousands", "zone")
        return Choice(**{field: getattr(self, field) for field in same})

"""What a file seems to be (``Proposal``) and what a person decided about it (``Choice``). Records only."""

from typing import Literal

from pydantic import Field

from core.data.card import Record

Role = Literal["time", "value", "text", "empty"]


class Column(Record):
    """One column as found. ``examples`` are its first filled cells as text; ``note`` says how its times are written."""

    name: str
    role: Role
    examples: list[str] = Field(default_factory=list)
    note: str = ""


class Choice(Record):
    """How to read a file: enough to read it again the same way. Column names are those of the proposal.

    ``day_first`` is only asked of times such as 01/02/2020; None lets the values decide and is refused where they
    cannot. ``zone`` is where times without an offset were taken. ``gaps``: insert rows without values so that a step is
    a step, or keep the rows as they are. ``fill``: what to put in the place of missing values.
    """

    time_column: str | None = None
    value_columns: list[str] = Field(default_factory=list)
    day_first: bool | None = None
    decimal: Literal[".", ","] = "."
    zone: str = "UTC"
    duplicates: Literal["mean", "first", "last"] = "mean"
    gaps: Literal["insert", "keep"] = "insert"
    fill: Literal["keep", "linear", "forward"] = "keep"


class Proposal(Record):
    """What ``sniff`` saw: ``rows`` are the first three data rows as text, in the order of ``columns``, ``times`` their
    stamps as they will be read. ``ambiguous`` holds both readings of these stamps where day and month cannot be told
    apart, ``{"day first": [...], "month first": [...]}``; then ``choice.day_first`` must be set."""

    columns: list[Column]
    rows: list[list[str]]
    time_column: str | None
    time_format: str = ""
    times: list[str] = Field(default_factory=list)
    ambiguous: dict[str, list[str]] | None = None
    value_columns: list[str]
    decimal: Literal[".", ","] = "."
    separator: str = ""
    encoding: str = ""
    warnings: list[str] = Field(default_factory=list)

    @property
    def choice(self) -> Choice:
        """The proposal, accepted as it stands."""
        return Choice(time_column=self.time_column, value_columns=self.value_columns, decimal=self.decimal)

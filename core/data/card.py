"""What is known about a dataset in words and numbers: its card, with the audit that came with it.

Plain records that pages, the store and the command line read alike. Reading files and checking values live in
``read.py`` and ``audit.py``; nothing heavy is imported here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from core.data.series import Series


class Record(BaseModel):
    """Base of everything stored as JSON with a dataset."""

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="constants")


class Place(Record):
    """One cell or row as a spreadsheet counts it: the header is row 1. ``column`` is empty for a whole row.
    ``why`` is the reason, where places of one finding differ in it."""

    row: int
    column: str = ""
    text: str = ""
    why: str = ""


class Offer(Record):
    """One thing that can be done about a finding: ``change`` are the fields of the ``Choice`` that do it."""

    label: str
    change: dict[str, Any]
    proposed: bool = False


class Finding(Record):
    """Something the audit saw. ``sentence`` says what, where and what was done; ``remedies`` what else can be done by
    hand, ``offers`` what can be chosen. Findings with one ``key`` are answered together."""

    kind: str
    count: int
    sentence: str
    places: list[Place] = Field(default_factory=list)
    remedies: list[str] = Field(default_factory=list)
    offers: list[Offer] = Field(default_factory=list)
    key: str = ""


class Audit(Record):
    """Result of reading one file. ``start`` and ``end`` are ISO stamps in UTC, or row numbers without a clock.

    ``rejected`` counts rows of the file that are not in the series; ``repairs`` are the sentences of what was changed.
    """

    rows: int
    step: str
    start: str
    end: str
    findings: list[Finding] = Field(default_factory=list)
    repairs: list[str] = Field(default_factory=list)
    rejected: int = 0

    def after(self, earlier: Sequence[Finding]) -> "Audit":
        """The same with what was found before the file was read."""
        return self.model_copy(update={"findings": [*earlier, *self.findings]})

    def count(self, kind: str) -> int:
        """How many cells or rows findings of this kind name, together."""
        return sum(f.count for f in self.findings if f.kind == kind)


class DatasetCard(Record):
    """Everything about a stored dataset but its values. ``choice`` is what ``read.parse`` was told, to repeat it. A
    file that came again has a higher ``version``, the id of the one before in ``previous``, and in ``changes`` what
    differs.
    """

    id: str = ""
    name: str
    description: str = ""
    tags: list[str] = Field(default_factory=list)
    version: int = 1
    previous: str = ""
    changes: list[str] = Field(default_factory=list)
    source: str = ""
    kind: Literal["upload", "sample"] = "upload"
    rows: int
    variates: list[str]
    time_column: str | None = None
    zone: str = "UTC"
    step: str
    start: str
    end: str
    audit: Audit
    repairs: list[str] = Field(default_factory=list)
    choice: dict[str, Any] | None = None
    truth: dict[str, Any] | None = None
    fingerprint: str = ""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def units(self) -> dict[str, str]:
        """The units that a row under the header named, by variate."""
        told = (place for finding in self.audit.findings if finding.kind == "units" for place in finding.places)
        return {place.column: place.text for place in told if place.column in self.variates}

    @classmethod
    def of(cls, series: "Series", audit: Audit, **about: Any) -> Self:
        """The card of a series with its audit. ``about`` sets the rest: source, kind, time_column, description ..."""
        return cls(
            **{
                "name": series.name,
                "rows": len(series),
                "variates": list(series.variates),
                "zone": series.zone,
                "step": audit.step,
                "start": audit.start,
                "end": audit.end,
                "audit": audit,
                "repairs": list(audit.repairs),
                "truth": series.truth,
                "fingerprint": series.fingerprint,
            }
            | about
        )

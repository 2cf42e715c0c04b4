# ruff: noqa: E501 (a case of the corpus is one line)
"""What reading promises: every file becomes a series whose findings say what was changed, or a sentence."""

import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.card import Audit
from core.data.read import Choice, parse, sniff
from core.data.series import Series
from core.errors import UserError

HOURS = [f"2024-01-01 {h:02d}:00" for h in range(24)]


def hourly(cells: list[str], header: str = "date,load") -> bytes:
    return "\n".join([header, *(f"{t},{c}" for t, c in zip(HOURS, cells, strict=False))]).encode()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[Series, Audit]]:
    """Write bytes, take the proposal as it stands but for ``changes``, parse."""

    def run(data: bytes, name: str = "file.csv", **changes: object) -> tuple[Series, Audit]:
        path = tmp_path / name
        path.write_bytes(data)
        choice = sniff(path, name).choice.model_copy(update=changes)
        return parse(path, choice, name)

    return run


# Files that become a series: bytes, names, values by column (None: missing), kinds of findings
READABLE: dict[str, tuple[bytes, tuple[str, ...], Sequence[Sequence[float | None]], set[str]]] = {
    "plain": (hourly(["1", "2.5", "-3e2"]), ("load",), [[1, 2.5, -300]], set()),
    "tabs": (b"date\tload\n2024-01-01\t1\n2024-01-02\t2\n", ("load",), [[1, 2]], set()),
    "semicolon and decimal comma": (b"date;a;b\n2024-01-01;1,5;2\n2024-01-02;2,5;3\n", ("a", "b"), [[1.5, 2.5], [2, 3]], set()),
    "vertical bars": (b"date|a\n2024-01-01|1\n2024-01-02|2\n", ("a",), [[1, 2]], set()),
    "byte order mark": (b"\xef\xbb\xbfdate,a\n2024-01-01,1\n2024-01-02,2\n", ("a",), [[1, 2]], set()),
    "utf-16": ("date,größe\n2024-01-01,1\n2024-01-02,2\n".encode("utf-16"), ("größe",), [[1, 2]], {"encoding"}),
    "windows-1252": ("date,größe €\n2024-01-01,1\n2024-01-02,2\n".encode("cp1252"), ("größe €",), [[1, 2]], {"encoding"}),
    "latin-1": (b"date,gr\xf6\x81e\n2024-01-01,1\n2024-01-02,2\n", ("grö\x81e",), [[1, 2]], {"encoding"}),
    "carriage returns": (b"date,a\r2024-01-01,1\r2024-01-02,2\r", ("a",), [[1, 2]], set()),
    "mixed line ends": (b"date,a\r\n2024-01-01,1\n2024-01-02,2\r\n", ("a",), [[1, 2]], set()),
    "NUL bytes": (hourly(["1\0", "2", *("3" * 9)])[:-1] + b"3", ("load",), [[1, 2, *([3] * 9)]], {"nul"}),
    "words among numbers": (hourly(["1", "n/a", "3"]), ("load",), [[1, None, 3]], {"not_numeric", "missing"}),
    "NA and dashes": (hourly(["1", "NA", "-", "", "5"]), ("load",), [[1, None, None, None, 5]], {"not_numeric", "missing"}),
    "infinities": (hourly(["1", "inf", "-Infinity", "1e300"]), ("load",), [[1, None, None, None]], {"infinite", "missing", "constant"}),
    "words after the sample": (
        ("a\n" + "\n".join(["1", "2"] * 500) + "\nx\n4\n").encode(),
        ("a",),
        [[1, 2] * 500 + [None, 4]],
        {"not_numeric", "missing"},
    ),
    "ragged": (b"date,a,b\n2024-01-01,1,2\n2024-01-02,1\n2024-01-03,1,2,3\n2024-01-04,5,6\n2024-01-05,5,6\n", ("a", "b"), [[1, None, None, 5, 5], [2, None, None, 6, 6]], {"rejected", "gaps", "missing"}),
    "duplicate names": (b"date,load,load,load (2)\n2024-01-01,1,2,3\n2024-01-02,4,5,6\n", ("load", "load (3)", "load (2)"), [[1, 4], [2, 5], [3, 6]], {"duplicate_names"}),
    "no name": (b",a\n2024-01-01,1\n2024-01-02,2\n", ("a",), [[1, 2]], {"unnamed"}),
    "separator after every row": (b"date,a\n2024-01-01,1,\n2024-01-02,2,\n", ("a",), [[1, 2]], {"unnamed"}),
    "no header": (b"2024-01-01,1,2\n2024-01-02,3,4\n", ("column 2", "column 3"), [[1, 3], [2, 4]], {"no_header"}),
    "comments above": (b"# made by, a logger\n# v1\ndate,a\n2024-01-01,1\n2024-01-02,2\n", ("a",), [[1, 2]], {"preamble"}),
    "title above": (b"Station 7\n\ndate,a,b\n2024-01-01,1,2\n2024-01-02,2,3\n", ("a", "b"), [[1, 2], [2, 3]], {"preamble"}),
    "quoted newline in a name": (b'date,"a\nb",c\n2024-01-01,1,2\n2024-01-02,3,4\n', ("a\nb", "c"), [[1, 3], [2, 4]], set()),
    "hostile names": (b'date,"""; drop table datasets; --",<img src=x onerror=alert(1)>\n2024-01-01,1,2\n2024-01-02,3,4\n', ('"; drop table datasets; --', "<img src=x onerror=alert(1)>"), [[1, 3], [2, 4]], set()),
    "text column": (b"date,site,a\n2024-01-01,north,1\n2024-01-02,south,2\n", ("a",), [[1, 2]], set()),
    "total at the end": (b"date,a\n2024-01-01,1\n2024-01-02,2\nTotal,3\n", ("a",), [[1, 2]], {"unreadable_time"}),
    "out of order": (b"date,a\n2024-01-02,2\n2024-01-01,1\n2024-01-03,3\n", ("a",), [[1, 2, 3]], {"order"}),
    "repeated stamps": (b"date,a\n2024-01-01,1\n2024-01-01,3\n2024-01-02,4\n", ("a",), [[2, 4]], {"duplicates"}),
    "gap": (b"date,a\n2024-01-01,1\n2024-01-02,2\n2024-01-05,5\n2024-01-06,6\n", ("a",), [[1, 2, None, None, 5, 6]], {"gaps", "missing"}),
    "irregular": (b"date,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03 07:00,3\n2024-01-04,4\n", ("a",), [[1, 2, 3, 4]], {"irregular"}),
    "constant": (b"date,a,b\n2024-01-01,1,7\n2024-01-02,2,7\n", ("a", "b"), [[1, 2], [7, 7]], {"constant"}),
    "thousands": (b'date,a\n2024-01-01,"1,234"\n2024-01-02,"1,234,567.5"\n2024-01-03,12\n', ("a",), [[1234, 1234567.5, 12]], set()),
    "thousands and decimal comma": (b"date;a\n2024-01-01;1.234,5\n2024-01-02;12,5\n2024-01-03;1.000.000,0\n", ("a",), [[1234.5, 12.5, 1e6]], set()),
    "Swiss thousands": (b"date;a\n2024-01-01;1'234.5\n2024-01-02;12.5\n", ("a",), [[1234.5, 12.5]], set()),
    "narrow spaces": ("date;a\n2024-01-01;1\u202f234,5\n2024-01-02;12,5\n".encode(), ("a",), [[1234.5, 12.5]], set()),
    "groups that are none": (b'date,a\n2024-01-01,"1,234.5"\n2024-01-02,"12,34.5"\n2024-01-03,"1,2345"\n2024-01-04,5\n', ("a",), [[1234.5, None, None, 5]], {"not_numeric", "missing"}),
    "unit row": ("date,a,b\n,MW,°C\n2024-01-01,1,2\n2024-01-02,3,4\n2024-01-03,5,6\n".encode(), ("a", "b"), [[1, 3, 5], [2, 4, 6]], {"units"}),
    "unit row in brackets": (b"date,a\n[yyyy-mm-dd],[kW]\n2024-01-01,1\n2024-01-02,3\n", ("a",), [[1, 3]], {"units"}),
    "missing first row is no unit row": (b"date,a\n2024-01-01,NA\n2024-01-02,3\n2024-01-03,4\n", ("a",), [[None, 3, 4]], {"not_numeric", "missing"}),
    "date and time apart": (b"date,time,a\n2024-01-01,00:00,1\n2024-01-01,01:00,2\n2024-01-01,02:00,3\n", ("a",), [[1, 2, 3]], set()),
    "date and time with dots": (b"Date;Time;a\n10/03/2004;22.00.00;1,5\n10/03/2004;23.00.00;2\n13/03/2004;00.00.00;3\n", ("a",), [[1.5, 2, *[None] * 48, 3]], {"gaps", "missing"}),
    "date and hour": (b"date,hour,a\n2024-01-01,0,1\n2024-01-01,1,2\n2024-01-01,2,3\n", ("a",), [[1, 2, 3]], set()),
    "year, month, day": (b"No,year,month,day,hour,a\n1,2010,1,31,22,1\n2,2010,1,31,23,2\n3,2010,2,1,0,NA\n4,2010,2,1,1,4\n", ("No", "a"), [[1, 2, 3, 4], [1, 2, None, 4]], {"not_numeric", "missing"}),
    "year and month": (b"year,month,a\n2010,11,1\n2010,12,2\n2011,1,3\n", ("a",), [[1, 2, 3]], set()),
    "year and month as fractions": (b"year,month,a\n2010.0,11.0,1\n2010.0,12.0,2\n2011.0,1.0,3\n", ("a",), [[1, 2, 3]], set()),
    "a date beside its parts": (b"year,month,day,date,a\n2010,1,31,2010-01-31,1\n2010,2,1,2010-02-01,2\n", ("year", "month", "day", "a"), [[2010] * 2, [1, 2], [31, 1], [1, 2]], {"constant"}),
    "a day that is none": (b"year,month,day,a\n2010,2,27,1\n2010,2,28,2\n2010,2,31,5\n2010,3,1,3\n", ("a",), [[1, 2, 3]], {"unreadable_time"}),
    "long": (b"id,date,y\nA,2024-01-01,1\nA,2024-01-02,2\nA,2024-01-03,3\nB,2024-01-02,5\nB,2024-01-03,6\nB,2024-01-01,4\n", ("A", "B"), [[1, 2, 3], [4, 5, 6]], {"long"}),
    "long, later start": (b"date,store,y\n2024-01-01,1,1\n2024-01-02,1,2\n2024-01-02,2,5\n2024-01-03,1,3\n2024-01-03,2,6\n2024-01-04,1,4\n2024-01-04,2,7\n", ("1", "2"), [[1, 2, 3, 4], [None, 5, 6, 7]], {"long", "missing"}),
    "long, two values": (b"date,site,a,b\n2024-01-01,n,1,2\n2024-01-01,s,3,4\n2024-01-02,n,5,6\n2024-01-02,s,7,8\n", ("n: a", "n: b", "s: a", "s: b"), [[1, 5], [2, 6], [3, 7], [4, 8]], {"long"}),
    "a weekday is no series": (b"date,day,a\n2024-01-01,Mon,1\n2024-01-02,Tue,2\n2024-01-03,Wed,3\n2024-01-04,Mon,4\n", ("a",), [[1, 2, 3, 4]], set()),
    "late start": (("date,a,b\n" + "".join(f"{t},1.{i},\n" for i, t in enumerate(HOURS)) * 1 + "2024-01-02 00:00,2,5\n2024-01-02 01:00,2,6\n").encode(), ("a", "b"), [[1 + i / (10 if i < 10 else 100) for i in range(24)] + [2, 2], [None] * 24 + [5, 6]], {"missing"}),
}  # fmt: skip


@pytest.mark.parametrize("case", READABLE)
def test_files_nobody_cleaned(read: Callable[..., tuple[Series, Audit]], case: str) -> None:
    data, names, columns, kinds = READABLE[case]
    series, audit = read(data)
    assert series.variates == names
    expected = np.array([[np.nan if v is None else v for v in column] for column in columns], np.float32).T
    np.testing.assert_allclose(series.values, expected, rtol=1e-6)
    assert {finding.kind for finding in audit.findings} == kinds
    assert audit.rows == len(series)
    assert all(finding.count > 0 and finding.sentence.endswith((".", ")")) for finding in audit.findings)


# Files that are refused: name, bytes, words of the sentence
REFUSED: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty": ("a.csv", b"", ("empty",)),
    "blank lines": ("a.csv", b"\n\n  \n", ("blank",)),
    "comments only": ("a.csv", b"# a\n# b\n", ("comment",)),
    "header only": ("a.csv", b"date,load\n", ("header row", "date, load")),
    "one row": ("a.csv", b"date,load\n2024-01-01,1\n", ("at least 2",)),
    "no numeric column": ("a.csv", b"date,site\n2024-01-01,x\n2024-01-02,y\n", ("no numeric column", "site")),
    "no time and no number": ("a.csv", b"a,b\nx,y\nz,w\n", ("no numeric column",)),
    "noise": ("a.csv", bytes(range(256)) * 20, ("binary",)),
    "picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, ("PNG",)),
    "pickle": ("a.csv", pickle.dumps({"a": 1}), ("pickle", "never read")),
    "gzip": ("a.csv", b"\x1f\x8b\x08" + b"\0" * 30, ("gzip",)),
    "json": ("a.csv", json.dumps([{"a": 1}]).encode(), ("JSON",)),
    "web page": ("a.csv", b"<!DOCTYPE html><html></html>", ("web page",)),
    "text named as parquet": ("a.parquet", b"a,b\n1,2\n3,4\n", ("plain text", ".csv")),
    "text named as excel": ("a.xlsx", b"a,b\n1,2\n3,4\n", ("plain text", ".csv")),
    "parquet cut off": ("a.parquet", b"PAR1" + b"\0" * 40, ("cut off",)),
    "parquet with noise inside": ("a.parquet", b"PAR1" + b"\7" * 40 + b"PAR1", ("damaged",)),
    "too many columns": ("a.csv", b",".join([b"a"] * 3000) + b"\n" + b",".join([b"1"] * 3000) + b"\n", ("columns", "2,000")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_series_gets_a_sentence(read: Callable[..., tuple[Series, Audit]], case: str) -> None:
    name, data, words = REFUSED[case]
    with pytest.raises(UserError) as caught:
        read(data, name)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_archives_and_workbooks_are_named(tmp_path: Path) -> None:
    for inside, what in (("data.csv", "zip archive"), ("[Content_Types].xml", "Excel workbook")):
        path = tmp_path / "a.csv"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(inside, "a,b\n1,2\n")
        with pytest.raises(UserError, match=what):
            sniff(path, "a.csv")


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)  # sparse: nothing is written
    with pytest.raises(UserError, match=r"2,000 MB, more than the 1,024 MB.*SCALESCOPE_MAX_UPLOAD_MB"):
        sniff(path, "big.csv", max_mb=1024)


def test_too_many_values_are_refused(read: Callable[..., tuple[Series, Audit]], tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(hourly([str(i) for i in range(24)]))
    with pytest.raises(UserError, match="more than 20 values"):
        parse(path, sniff(path, "file.csv").choice, max_cells=20)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        sniff(tmp_path / "none.csv", "none.csv")


def test_the_first_bad_cell_is_placed_as_a_spreadsheet_counts(read: Callable[..., tuple[Series, Audit]]) -> None:
    _, audit = read(b"date,a\n2024-01-01,1\n2024-01-02,oops\n2024-01-03,2\n2024-01-04,no\n2024-01-05,2\n2024-01-06,1\n")
    finding = next(f for f in audit.findings if f.kind == "not_numeric")
    assert [(p.row, p.column, p.text) for p in finding.places] == [(3, "a", "oops"), (5, "a", "no")]
    assert "Row 3, column a: 'oops' is not a number. 2 such cells" in finding.sentence


def test_places_count_rows_that_were_rejected_above(read: Callable[..., tuple[Series, Audit]]) -> None:
    _, audit = read(b"a,b\n1,2\n1\n3,4\n5,oops\n7,8\n")
    assert audit.findings[0].places[0].row == 3
    assert next(f for f in audit.findings if f.kind == "not_numeric").places[0].row == 5
    assert audit.rejected == 1


def test_every_pass_over_a_broken_file_sees_the_same_rows(read: Callable[..., tuple[Series, Audit]]) -> None:
    """DuckDB's ``ignore_errors`` dropped other rows than ``store_rejects`` behind a stray quote, so that the second pass
    could not find the cells that the first had counted."""
    days = [f"2024-01-{d:02d}" for d in range(1, 29)]
    for broken in range(0, 28, 9):
        for cell in ('"', '1"', '"1', '"1"x', '1\n"'):
            rows = [f"{day},{cell if k == broken else k}" for k, day in enumerate(days)]
            rows[5:5] = ["total,7", "2024-01-02,x"]
            rows[15:15] = ["total,7", "2024-01-02,x"]
            with suppress(UserError):
                series, audit = read("\n".join(["date,a", *rows]).encode())
                assert audit.rows == len(series)


# Times

STAMPS: dict[str, tuple[list[str], str]] = {  # three texts of 1, 2 and 3 January 2024 (or as said), first in UTC
    "iso": (["2024-01-01", "2024-01-02", "2024-01-03"], "2024-01-01"),
    "iso with slashes": (["2024/01/01", "2024/01/02", "2024/01/03"], "2024-01-01"),
    "iso with T and Z": (["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"], "2024-01-01"),
    "iso with offset": (["2024-01-01T02:00:00+02:00", "2024-01-02T02:00:00+02:00"], "2024-01-01"),
    "fractions": (["2024-01-01 00:00:00.250", "2024-01-01 00:00:01.250"], "2024-01-01T00:00:00.250"),
    "compact": (["20240101", "20240102", "20240103"], "2024-01-01"),
    "day first, told by 31": (["30/01/2024", "31/01/2024", "01/02/2024"], "2024-01-30"),
    "month first, told by 31": (["01/30/2024 10:00 PM", "01/31/2024 10:00 PM", "02/01/2024 10:00 PM"], "2024-01-30T22:00"),
    "dots and two digits of year": (["30.01.24", "31.01.24", "01.02.24"], "2024-01-30"),
    "month names": (["January 1, 2024", "January 2, 2024"], "2024-01-01"),
    "short month names": (["01-Jan-2024", "02-Jan-2024"], "2024-01-01"),
    "months": (["2024-01", "2024-02", "2024-03"], "2024-01-01"),
    "quarters": (["2024Q1", "2024Q2", "2024Q3"], "2024-01-01"),
    "years": (["1950", "1951", "1952"], "1950-01-01"),
    "epoch seconds": (["1704067200", "1704070800", "1704074400"], "2024-01-01"),
    "epoch milliseconds": (["1704067200000", "1704070800000"], "2024-01-01"),
    "epoch microseconds": (["1704067200000000", "1704070800000000"], "2024-01-01"),
    "epoch nanoseconds": (["1704067200000000000", "1704070800000000000"], "2024-01-01"),
    "year M month": (["2024M01", "2024M02"], "2024-01-01"),
    "ISO weeks": (["2024-W01", "2024-W02", "2024-W03"], "2024-01-01"),
    "zone names": (["2024-01-01 01:00 Europe/Berlin", "2024-01-02 01:00 Europe/Berlin"], "2024-01-01"),
    "zone in brackets": (["2024-01-01T01:00:00[Europe/Berlin]", "2024-01-02T01:00:00[Europe/Berlin]"], "2024-01-01"),
    "zone abbreviations": (["2024-06-01 02:00 CEST", "2024-06-02 02:00 CEST"], "2024-06-01"),
    "spreadsheet days": (["45292", "45293", "45294"], "2024-01-01"),
    "spreadsheet times": (["45292.0416666667", "45292.0833333333", "45292.125"], "2024-01-01T01:00"),
    "epoch with a fraction": (["1704067200.5", "1704067201.5"], "2024-01-01T00:00:00.5"),
}  # fmt: skip


@pytest.mark.parametrize("case", STAMPS)
def test_times(read: Callable[..., tuple[Series, Audit]], case: str) -> None:
    texts, first = STAMPS[case]
    data = "time,a\n" + "".join(f'"{t}",{i}\n' for i, t in enumerate(texts))
    series, audit = read(data.encode())
    assert series.times.dtype == np.dtype("datetime64[us]")
    assert series.times[0] == np.datetime64(first, "us")
    assert len(series) == len(texts)
    assert not audit.findings


@pytest.mark.parametrize(
    ("header", "rows", "first", "last"),
    [
        ("year,month,day,hour", ["2010,1,31,22", "2010,1,31,23", "2010,2,1,0"], "2010-01-31T22:00", "2010-02-01T00:00"),
        ("Year,Month", ["2010,11", "2010,12", "2011,1"], "2010-11-01", "2011-01-01"),
        ("day;month;year", ["31;12;2010", "1;1;2011", "2;1;2011"], "2010-12-31", "2011-01-02"),
    ],
)
def test_a_date_in_several_columns(read, header, rows, first, last) -> None:
    mark = ";" if ";" in header else ","
    series, audit = read("\n".join([f"{header}{mark}a", *(f"{row}{mark}{i}" for i, row in enumerate(rows))]).encode())
    assert series.variates == ("a",) and not audit.findings
    assert (series.times[0], series.times[-1]) == (np.datetime64(first, "us"), np.datetime64(last, "us"))


def test_an_ambiguous_order_is_asked_and_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"date,a\n01/02/2024,1\n02/02/2024,2\n03/02/2024,3\n")
    proposal = sniff(path, "a.csv")
    assert proposal.ambiguous == {
        "day first": ["1 February 2024", "2 February 2024", "3 February 2024"],
        "month first": ["2 January 2024", "2 February 2024", "2 March 2024"],
    }
    with pytest.raises(UserError, match="1 February 2024 or 2 January 2024"):
        parse(path, proposal.choice)
    for day_first, third in ((True, "2024-02-03"), (False, "2024-03-02")):
        series, _ = parse(path, proposal.choice.model_copy(update={"day_first": day_first, "gaps": "keep"}))
        assert series.times[-1] == np.datetime64(third)


def test_the_whole_column_decides_the_order_not_its_beginning(read: Callable[..., tuple[Series, Audit]]) -> None:
    """A thousand hourly rows begin in the first days of a month; the 13th comes after the sample."""
    times = pd.date_range("2024-01-01", periods=1000, freq="h")
    data = "t,a\n" + "".join(f"{t:%d/%m/%Y %H:%M},{i}\n" for i, t in enumerate(times))
    series, audit = read(data.encode())
    assert (series.times == times.to_numpy()).all()
    assert not audit.findings


def test_no_time_column_numbers_the_rows(read: Callable[..., tuple[Series, Audit]], tmp_path: Path) -> None:
    series, audit = read(b"a,b\n5,1\n3,2\n9,3\n")
    assert series.times.tolist() == [0, 1, 2]
    assert audit.step == "1 row"
    assert "No column looks like times" in " ".join(sniff(tmp_path / "file.csv", "file.csv").warnings)


def test_a_column_that_counts_up_is_the_index(read: Callable[..., tuple[Series, Audit]]) -> None:
    series, _ = read(b",a\n10,1\n11,2\n12,4\n")
    assert series.times.tolist() == [10, 11, 12]
    assert series.variates == ("a",)


def test_the_only_column_is_a_value_even_where_it_counts_up(tmp_path: Path) -> None:
    """It was taken for the index, which left nothing to forecast."""
    (tmp_path / "one.csv").write_text("v\n1\n2\n3\n")
    proposal = sniff(tmp_path / "one.csv", "one.csv")
    assert (proposal.time_column, proposal.value_columns) == (None, ["v"])


def test_wall_clock_times_are_stored_in_utc_with_their_zone(read: Callable[..., tuple[Series, Audit]]) -> None:
    """The last Sunday of March has 23 hours in Berlin, the last of October 25: no hour is lost, none invented."""
    for day in ("2024-03-30", "2024-10-26"):
        utc = pd.date_range(day, periods=72, freq="h", tz="UTC")
        data = "t,a\n" + "".join(f"{t:%Y-%m-%d %H:%M},{i}\n" for i, t in enumerate(utc.tz_convert("Europe/Berlin")))
        series, audit = read(data.encode(), zone="Europe/Berlin")
        assert series.zone == "Europe/Berlin"
        assert (series.times == utc.tz_localize(None).to_numpy()).all()
        assert not audit.findings


@pytest.mark.parametrize("by", ["series", "time"])
def test_hours_that_come_twice_are_told_apart_in_every_series_of_a_long_table(read, by) -> None:
    """Row by row the clock goes back at every change of series, too."""
    utc = pd.date_range("2024-10-26", periods=72, freq="h", tz="UTC")
    rows = [(s, t, i) for s in "AB" for i, t in enumerate(utc.tz_convert("Europe/Berlin"))]
    if by == "time":
        rows.sort(key=lambda row: row[1])
    text = "id,t,a\n" + "".join(f"{s},{t:%Y-%m-%d %H:%M},{i}\n" for s, t, i in rows)
    series, audit = read(text.encode(), zone="Europe/Berlin")
    assert series.variates == ("A", "B")
    assert (series.times == utc.tz_localize(None).to_numpy()).all()
    assert (series.values == np.arange(72)[:, None]).all()
    assert {finding.kind for finding in audit.findings} == {"long"}


def test_an_hour_that_could_be_either_is_named(read: Callable[..., tuple[Series, Audit]]) -> None:
    data = "t,a\n" + "".join(f"2024-10-27 {h:02d}:30,{h}\n" for h in range(6))
    series, audit = read(data.encode(), zone="Europe/Berlin", gaps="keep")
    assert series.times[2] == np.datetime64("2024-10-27T01:30")
    told = [finding.sentence for finding in audit.findings if finding.kind == "zone"]
    assert told == ["1 time is one of two hours in Europe/Berlin, where clocks go back; read as the second."]


def test_days_of_a_zone_stay_days_when_clocks_change(read: Callable[..., tuple[Series, Audit]]) -> None:
    data = "t,a\n" + "".join(f"2024-03-{d},{d}\n" for d in (28, 29, 31)) + "2024-04-01,1\n"
    series, audit = read(data.encode(), zone="Europe/Berlin")
    assert len(series) == 5
    assert audit.count("gaps") == 1
    assert series.times[-1] == np.datetime64("2024-03-31T22:00")


def test_stamps_that_differ_in_having_an_offset_are_not_mixed(read: Callable[..., tuple[Series, Audit]]) -> None:
    data = (
        b"t,a\n" + b"".join(b"2024-01-%02d 00:00,1.%d\n" % (d, d) for d in range(1, 29)) + b"2024-01-29 00:00+02:00,9\n"
    )
    series, audit = read(data)
    assert len(series) == 28
    assert audit.count("unreadable_time") == 1


def test_unknown_zone_and_columns_are_sentences(read: Callable[..., tuple[Series, Audit]]) -> None:
    data = hourly(["1", "2", "3"])
    for changes, words in (
        ({"zone": "Mars/Olympus"}, "not a time zone"),
        ({"zone": "../etc/passwd"}, "not a time zone"),
        ({"time_column": "when"}, "no column 'when'"),
        ({"value_columns": ["what"]}, "no column 'what'"),
        ({"value_columns": []}, "Choose at least one"),
        ({"value_columns": ["load", "load"]}, "chosen twice"),
        ({"value_columns": ["date"]}, "chosen twice"),
        ({"time_column": None, "value_columns": ["date"]}, "holds no number"),
    ):
        with pytest.raises(UserError, match=words):
            read(data, **changes)


def test_a_text_column_chosen_as_time_is_refused(read: Callable[..., tuple[Series, Audit]]) -> None:
    with pytest.raises(UserError, match="does not look like times"):
        read(b"site,a\nx,1\ny,2\n", time_column="site")


# Choices

GAPPY = b"date,a\n2024-01-01,1\n2024-01-02,2\n2024-01-02,4\n2024-01-05,6\n2024-01-06,7\n"


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({}, [1, 3, None, None, 6, 7]),
        ({"duplicates": "first"}, [1, 2, None, None, 6, 7]),
        ({"duplicates": "last"}, [1, 4, None, None, 6, 7]),
        ({"gaps": "keep"}, [1, 3, 6, 7]),
        ({"fill": "linear"}, [1, 3, 4, 5, 6, 7]),
        ({"fill": "forward"}, [1, 3, 3, 3, 6, 7]),
    ],
)
def test_choices_are_done_and_recorded(
    read: Callable[..., tuple[Series, Audit]], changes: dict[str, object], values: list[float | None]
) -> None:
    series, audit = read(GAPPY, **changes)
    np.testing.assert_allclose(series.values[:, 0], np.array(values, float))
    assert any("repeated time" in repair for repair in audit.repairs)
    assert any("inserted" in repair for repair in audit.repairs) == ("gaps" not in changes)
    assert any("filled" in repair for repair in audit.repairs) == ("fill" in changes)


def test_fill_at_the_ends_is_said(read: Callable[..., tuple[Series, Audit]]) -> None:
    series, audit = read(hourly(["", "1", "", "3", ""]), fill="linear")
    assert series.values[:, 0].tolist() == [1, 1, 2, 3, 3]
    assert audit.repairs == ["3 missing values filled: linear between neighbours; 2 values at an end took the nearest."]


def test_months_are_regular_and_a_missing_one_is_found(read: Callable[..., tuple[Series, Audit]]) -> None:
    for freq in ("MS", "ME"):
        times = pd.date_range("2023-01-01", periods=24, freq=freq).delete(7)
        data = "month,a\n" + "".join(f"{t:%Y-%m-%d},{i}\n" for i, t in enumerate(times))
        series, audit = read(data.encode())
        assert (series.times == pd.date_range("2023-01-01", periods=24, freq=freq).to_numpy()).all()
        assert audit.step == "1 month"
        assert audit.count("gaps") == 1
        assert np.isnan(series.values[7, 0])


def test_a_mistyped_year_does_not_make_a_million_rows(read: Callable[..., tuple[Series, Audit]]) -> None:
    series, audit = read(hourly([str(i) for i in range(24)]) + b"\n2124-01-02 00:00,5\n")
    assert len(series) == 25
    assert "far longer than the data" in next(f.sentence for f in audit.findings if f.kind == "gaps")


# Parquet


def test_parquet_keeps_types_zones_and_hostile_names(read: Callable[..., tuple[Series, Audit]], tmp_path: Path) -> None:
    utc = pd.date_range("2024-06-01", periods=5, freq="h", tz="UTC")
    name = '"; drop table datasets; --'
    frame = pd.DataFrame(
        {"when": utc.tz_convert("Europe/Berlin"), name: [1, 2, 3, 4, 5], "f": [0.5, None, 2, np.inf, 1]}
    )
    frame["text"] = "x"
    path = tmp_path / "a[1]*.parquet"  # not a pattern
    frame.to_parquet(path)
    proposal = sniff(path, path.name)
    assert (proposal.time_column, proposal.value_columns) == ("when", [name, "f"])
    series, audit = parse(path, proposal.choice)
    assert (series.times == utc.tz_localize(None).to_numpy()).all()
    np.testing.assert_array_equal(series.values[:, 1], np.array([0.5, np.nan, 2, np.nan, 1], np.float32))
    assert {f.kind for f in audit.findings} == {"infinite", "missing"}
    with pytest.raises(UserError, match=r"is a Parquet file\. Rename"):
        read(path.read_bytes(), "a.csv")


# Properties

CELLS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "1", "2.5", "-", "NA", "nan", "inf", "1,5", "01/02/2020", "2020-01-01", '"', "'", "\n", "\0"]),
    st.floats(width=32).map(str),
    st.dates().map(str),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(CELLS, max_size=5), max_size=8),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_any_small_table_is_read_or_refused_in_words(
    tmp_path: Path, rows: list[list[str]], separator: str, encoding: str
) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes("\n".join(separator.join(row) for row in rows).encode(encoding, errors="replace"))
    _read_or_refuse(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.binary(max_size=40).map(lambda b: b"date,a\n2024-01-01,1\n" + b)))
def test_any_bytes_are_read_or_refused_in_words(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    _read_or_refuse(path)


def _read_or_refuse(path: Path) -> None:
    try:
        proposal = sniff(path, path.name)
        choice = proposal.choice.model_copy(update={"day_first": True, "fill": "linear"})
        series, audit = parse(path, choice, path.name)
    except UserError as error:
        assert str(error).endswith((".", "?", ")"))
        return
    assert len(series) >= 2
    assert np.isfinite(series.values).all()  # filled, and no column without a number
    assert (np.diff(series.times.astype(np.int64)) > 0).all()
    Audit.model_validate_json(audit.model_dump_json())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
        min_size=2,
        max_size=20,
    )
)
def test_what_is_written_is_read_back(tmp_path: Path, values: list[list[float]]) -> None:
    table = np.array(values, np.float32)
    times = pd.date_range("2024-01-01", periods=len(table), freq="15min")
    frame = pd.DataFrame({"t": times, "a": table[:, 0], "b": table[:, 1]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    choice = Choice(time_column="t", value_columns=["a", "b"])
    for name in ("a.csv", "a.parquet"):
        series, _ = parse(tmp_path / name, choice)
        np.testing.assert_array_equal(series.values, table)
        assert (series.times == times.to_numpy()).all()


def test_the_benchmark_series(shared: Path) -> None:
    path = shared / "data" / "ETTh1.csv"
    series, audit = parse(path, sniff(path, path.name).choice)
    assert (series.values.shape, audit.step, audit.findings) == ((17_420, 7), "1 hour", [])
    assert series.variates[-1] == "OT"
    assert series.values[0, -1] == np.float32(30.5310001373291)

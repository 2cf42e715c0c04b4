"""Packed files and tables in other clothes become a table that can be read; what cannot is refused in words, and
nothing is left behind."""

import gzip
import io
import json
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from core.data.read import parse, sniff
from core.data.unpack import together, unpack
from core.errors import UserError

ROWS = 40
HOURS = [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(ROWS)]
LOAD = [round(i * 1.5 - 3, 2) for i in range(ROWS)]
CSV = ("when,load\n" + "".join(f"{t},{v}\n" for t, v in zip(HOURS, LOAD, strict=True))).encode()
RECORDS = [{"when": t.isoformat(), "load": v} for t, v in zip(HOURS, LOAD, strict=True)]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def workbook(**sheets: list[list]) -> bytes:
    from openpyxl import Workbook

    book, out = Workbook(), io.BytesIO()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(out)
    return out.getvalue()


def arrow() -> bytes:
    out = io.BytesIO()
    feather.write_feather(pa.table({"when": pa.array(HOURS, pa.timestamp("us")), "load": LOAD}), out)
    return out.getvalue()


TABLE = [["when", "load"], *([t, v] for t, v in zip(HOURS, LOAD, strict=True))]
GOOD = {
    "plain": ("a.csv", CSV, ""),
    "gzip": ("a.csv.gz", gzip.compress(CSV), "unpacked (gzip)"),
    "gzip by content": ("a.csv", gzip.compress(CSV), "unpacked (gzip)"),
    "zip": ("a.zip", zipped({"a.csv": CSV}), "a.csv was taken out"),
    "zip of a Mac": ("a.zip", zipped({"data/a.csv": CSV, "__MACOSX/data/._a.csv": b"x"}), "data/a.csv was taken out"),
    "zip in gzip": ("a.zip.gz", gzip.compress(zipped({"a.csv": CSV})), "unpacked (gzip)"),
    "excel": ("a.xlsx", workbook(Data=TABLE), "Sheet Data"),
    "excel with more": ("a.xlsx", workbook(Empty=[], Data=TABLE, Notes=[["x"], ["y"]]), "2 other sheets left out"),
    "excel in zip": ("a.zip", zipped({"a.xlsx": workbook(Data=TABLE)}), "Sheet Data of a.xlsx"),
    "arrow": ("a.feather", arrow(), "Arrow"),
    "json lines": ("a.jsonl", "\n".join(json.dumps(r) for r in RECORDS).encode(), "JSON"),
    "json list": ("a.json", json.dumps(RECORDS, indent=1).encode(), "JSON"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind_gives_the_same_series(kind: str, tmp_path: Path) -> None:
    name, content, said = GOOD[kind]
    path = tmp_path / "upload"
    path.write_bytes(content)
    found = unpack(path, name, 10, tmp_path)
    series, _ = parse(found.path, sniff(found.path, found.name).choice, found.name)
    assert series.name == "a" and series.variates == ("load",)
    np.testing.assert_array_equal(series.times, np.array(HOURS, "datetime64[us]"))
    np.testing.assert_allclose(series.values[:, 0], LOAD, rtol=1e-6)
    assert said in " ".join(finding.sentence for finding in found.findings)
    assert set(tmp_path.iterdir()) == {path, found.path}, "what was made on the way is removed"
    assert path.read_bytes() == content


def bomb() -> bytes:
    return gzip.compress(b"0,1\n" * 3_000_000)


def locked() -> bytes:
    content = bytearray(zipped({"a.csv": CSV}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    return bytes(content)


def parquets(**columns: list[float]) -> bytes:
    """An archive of Parquet files, each with the times of a part and one column."""
    files = {}
    for k, (name, values) in enumerate(columns.items()):
        out = io.BytesIO()
        when = pa.array(np.array(HOURS[20 * k : 20 * k + 20], "datetime64[us]"))
        parquet.write_table(pa.table({"when": when, name.rstrip("12"): values}), out)
        files[f"{name}.parquet"] = out.getvalue()
    return zipped(files)


BAD = {
    "two shapes of Parquet": ("a.zip", parquets(load=[1.0] * 20, other=[2.0] * 20), "differ in their columns"),
    "damaged Parquet": ("a.zip", zipped({"a.parquet": b"PAR1", "b.parquet": b"PAR1"}), "is damaged"),
    "cut gzip": ("a.csv.gz", gzip.compress(CSV * 50)[:-40], "damaged archive"),
    "gzip of noise": ("a.csv.gz", b"\x1f\x8b\x08" + bytes(range(60)), "damaged archive"),
    "cut zip": ("a.zip", zipped({"a.csv": CSV})[:-30], "but is damaged"),
    "bomb": ("a.csv.gz", bomb(), "more than the 10 MB"),
    "bomb in zip": ("a.zip", zipped({"a.csv": b"0,1\n" * 3_000_000}), "more than the 10 MB"),
    "two files": ("a.zip", zipped({"a.csv": CSV, "b.parquet": b"PAR1"}), "holds 2 files: a.csv, b.parquet"),
    "two shapes": ("a.zip", zipped({"a.csv": CSV, "b.csv": b"when,other\n"}), "differ in their first line"),
    "two in utf-16": ("a.zip", zipped({n: CSV.decode().encode("utf-16") for n in ("a.csv", "b.csv")}), "is UTF-16"),
    "no file": ("a.zip", zipped({"__MACOSX/a.csv": CSV}), "without a file"),
    "locked": ("a.zip", locked(), "locked with a password"),
    "empty workbook": ("a.xlsx", workbook(One=[], Two=[]), "without a sheet that has rows"),
    "no workbook": ("a.xlsx", zipped({"[Content_Types].xml": b"<x/>"}), "cannot be read"),
    "old workbook, cut": ("a.xls", b"\xd0\xcf\x11\xe0" + b"\0" * 600, "cannot be read"),
    "cut arrow": ("a.arrow", arrow()[:-60], "damaged Arrow"),
    "json of other shapes": ("a.json", b'{"a": 1}\n{"a": {"b": 2}}\n', "looks like JSON"),
    "json cut": ("a.json", json.dumps(RECORDS).encode()[:-9], "looks like JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_opened_is_said_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    name, content, said = BAD[kind]
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        unpack(path, name, 10, tmp_path)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == content


@pytest.mark.parametrize("kind", ["excel", "json lines", "json list"])
def test_what_is_held_whole_is_bounded(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, content, _ = GOOD[kind]
    path = tmp_path / "upload"
    path.write_bytes(content)
    monkeypatch.setattr("core.data.unpack.WHOLE", 0.001)
    with pytest.raises(UserError, match="Export it as CSV or Parquet"):
        unpack(path, name, 10, tmp_path)


def test_parquet_files_of_one_shape_are_one_table(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(parquets(load1=list(LOAD[:20]), load2=list(LOAD[20:])))
    found = unpack(path, "a.zip", 10, tmp_path)
    series, _ = parse(found.path, sniff(found.path, found.name).choice, found.name)
    np.testing.assert_allclose(series.values[:, 0], LOAD, rtol=1e-6)
    assert set(tmp_path.iterdir()) == {path, found.path}


def test_files_become_an_archive_that_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    lines = CSV.decode().splitlines(keepends=True)
    late, early = "".join([lines[0], *lines[13:]]).encode(), "".join(lines[:13]).encode()
    both = [(io.BytesIO(late), "part 10.csv"), (io.BytesIO(early), "../part 9.csv")]
    together(both, tmp_path / "upload", 10)
    found = unpack(tmp_path / "upload", "parts.zip", 10, tmp_path)
    assert found.path.read_bytes().replace(b"\r", b"") == CSV.replace(b"\r", b"")
    with pytest.raises(UserError, match="Two of the files are called a"):
        together([(io.BytesIO(), "a.csv"), (io.BytesIO(), "b/a.csv")], tmp_path / "twice", 10)
    with pytest.raises(UserError, match="more than the 1 MB"):
        together([(io.BytesIO(bytes(700_000)), name) for name in ("a.csv", "b.csv")], tmp_path / "large", 1)


def test_names_in_an_archive_reach_no_folder(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../evil.csv", CSV)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "upload"
    path.write_bytes(out.getvalue())
    found = unpack(path, "a.zip", 10, tmp_path / "in")
    assert found.name == "evil.csv" and found.path.parent == tmp_path / "in"
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_files_of_one_shape_become_one_table(tmp_path: Path) -> None:
    """In the order of their names, 2 before 10, whatever ends their lines and whether the last row has an end."""
    lines = CSV.decode().splitlines()
    parts = {
        "part 10.csv": "\r\n".join([lines[0], *lines[31:]]),
        "part 2.csv": "\ufeff" + "\n".join([lines[0], *lines[11:31]]),
        "part 1.csv": "\n".join([lines[0], *lines[1:11]]) + "\n",
    }
    path = tmp_path / "upload"
    path.write_bytes(zipped({name: text.encode() for name, text in parts.items()}))
    table = unpack(path, "parts.zip", 10, tmp_path)
    series, audit = parse(table.path, sniff(table.path, table.name).choice, table.name)
    np.testing.assert_allclose(series.values[:, 0], np.array(LOAD, np.float32))
    assert not audit.findings and "3 files of one shape" in table.findings[0].sentence
    assert "from part 1.csv to part 10.csv" in table.findings[0].sentence

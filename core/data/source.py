"""What a file is before its values are read: its kind by content, its encoding, its separator and header.

Bytes in, a ``Source`` out; nothing here knows times or numbers beyond telling a header from data. A text file that the
reader could not take as it is (another encoding, NUL bytes, mixed line ends) is copied once, in blocks, to clean UTF-8.
"""

import codecs
import csv
import io
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.data.card import Finding, Place
from core.data.numbers import NUMBER
from core.data.words import many, short
from core.errors import UserError

MAX_COLUMNS = 2_000
SAMPLE_BYTES = 1 << 18
SAMPLE_ROWS = 200
BLOCK = 1 << 22
SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "vertical bar", ",": "comma"}
PATTERN = set("*?[]{}")  # DuckDB takes a path with one of these for a pattern of many files
CONTROL = bytes(b for b in range(1, 32) if not 9 <= b <= 13)
FULL_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ,].*)?")
MISSING = r"(?i:na|n/a|null|none|nil|missing|-+|\?+|\.+|#\S+)"
UNIT = re.compile(rf"(?!{MISSING}$)\S.*")  # a word for "no value" is no unit
SHORT_DATE = re.compile(r"\d{4}[-/]?([qQ][1-4]|\d{1,2})")

_UNPACK = "Unpack it and upload the file inside."
_PICTURE = "Upload the numbers behind it as CSV or Parquet."
_PICKLE = "Pickles can run code when opened and are never read. Export it as CSV or Parquet."
_EXPORT = "Export the table as CSV or Parquet."
KINDS = (  # first bytes, what it is, what to do
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save the sheet as CSV and upload that."),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh91AY&SY", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"\x89PNG", "a PNG picture", _PICTURE),
    (b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (b"GIF89a", "a GIF picture", _PICTURE),
    (b"%PDF-", "a PDF document", _PICTURE),
    (b"\x80\x02", "a Python pickle", _PICKLE),
    (b"\x80\x03", "a Python pickle", _PICKLE),
    (b"\x80\x04", "a Python pickle", _PICKLE),
    (b"\x80\x05", "a Python pickle", _PICKLE),
    (b"\x89HDF", "an HDF5 file", _EXPORT),
    (b"\x93NUMPY", "a NumPy array file", _EXPORT),
    (b"ARROW1\x00", "an Arrow file", _EXPORT),
    (b"FEA1", "a Feather file", _EXPORT),
    (b"SQLite format 3\x00", "an SQLite database", _EXPORT),
    (b"\x7fELF", "a program", _EXPORT),
    (b"MZ\x90\x00", "a program", _EXPORT),
)
EXTENSIONS = {
    "text": {"", "csv", "tsv", "txt", "tab", "dat", "data", "psv"},
    "parquet": {"", "parquet", "pq", "parq"},
}
REFUSED = {"xlsx", "xls", "zip", "gz", "json", "png", "jpg", "pdf", "arrow", "feather", "pkl", "pickle", "npy", "h5"}


@dataclass(frozen=True)
class Source:
    """A file as found. ``names`` are unique column names; ``sample`` holds the first data rows as text.

    ``skip`` counts the rows above the data, header and blank lines included; ``first_row`` is the number of the first
    data row as a spreadsheet counts; ``findings`` are those of the file itself.
    """

    path: Path
    kind: str  # "text" or "parquet"
    names: tuple[str, ...] = ()
    sample: tuple[tuple[str, ...], ...] = ()
    types: tuple[str, ...] = ()  # Parquet only: number, time, zoned, text or other
    rows: int | None = None  # Parquet only
    encoding: str = "utf-8"
    separator: str = ","
    skip: int = 1
    first_row: int = 2
    clean: bool = True
    findings: tuple[Finding, ...] = ()

    @contextmanager
    def readable(self) -> Iterator[Path]:
        """A path that DuckDB can read: the file itself, or a clean copy that lives as long as the context."""
        if self.clean and not PATTERN & set(str(self.path)):
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="scalescope-") as folder:
            copy = Path(folder) / f"clean.{self.kind}"
            if self.clean:
                shutil.copyfile(self.path, copy)
            else:
                with (
                    self.path.open(encoding=self.encoding, errors="replace", newline=None) as raw,
                    copy.open("w", encoding="utf-8", newline="\n") as out,
                ):
                    while block := raw.read(BLOCK):
                        out.write(block.replace("\0", ""))
            yield copy


def inspect(path: Path, original_name: str, max_mb: int) -> Source:
    """The source behind a path. Raises UserError for a file that is missing, empty, too large, or no table."""
    if not path.is_file():
        raise UserError(f"There is no file {original_name}. Check its name and place.")
    known = path.stat()
    return _inspect(path, original_name, max_mb, known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=16)
def _inspect(path: Path, original_name: str, max_mb: int, size: int, changed: int) -> Source:
    """A file is proposed how to read and then read: what it is, is found out once, until it has ``changed``."""
    if size == 0:
        raise UserError(f"{original_name} is empty: it has no bytes. Choose a file with a header row and data rows.")
    if size > max_mb * 1_000_000:
        raise UserError(
            f"{original_name} has {size / 1e6:,.0f} MB, more than the {max_mb:,} MB this server accepts. Upload a part "
            f"of it, save it as Parquet, or start the server with a larger SCALESCOPE_MAX_UPLOAD_MB."
        )
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
        file.seek(-min(size, 4), 2)
        tail = file.read()
    if head.startswith(b"PAR1"):
        if size < 12 or tail != b"PAR1":
            raise UserError(f"{original_name} is a Parquet file without its end. Copy it again; this one is cut off.")
        _matches(original_name, "parquet", "a Parquet file")
        return _parquet(path, original_name)
    if head.startswith(b"PK\x03\x04") and (b"[Content_Types].xml" in head or b"xl/" in head):
        raise UserError(f"{original_name} is an Excel workbook. Save the sheet as CSV and upload that.")
    for magic, what, advice in KINDS:
        if head.startswith(magic):
            raise UserError(f"{original_name} looks like {what}, not a table in CSV, TSV or Parquet. {advice}")
    encoding, clean, findings = _encoding(path, head, original_name)
    _matches(original_name, "text", "plain text")
    text = head.decode(encoding, errors="ignore").removeprefix("\ufeff").replace("\0", "")
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        raise UserError(f"{original_name} is a web page or XML, not a table. Download the data itself as CSV.")
    if re.match(r"\s*[\[{]\s*[\"{\[]", text):
        raise UserError(f"{original_name} looks like JSON, not a table in CSV, TSV or Parquet. Export it as CSV.")
    source = Source(path, "text", encoding=encoding, clean=clean, findings=tuple(findings))
    return _dialect(source, text, complete=len(head) == size, original_name=original_name)


def _matches(name: str, kind: str, what: str) -> None:
    """A file whose extension says something else is refused: its sender should know what it is."""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    known = EXTENSIONS["text"] | EXTENSIONS["parquet"] | REFUSED
    if extension in known - EXTENSIONS[kind]:
        right = ".parquet" if kind == "parquet" else ".csv"
        raise UserError(f"{name} ends in .{extension}, but its content is {what}. Rename it to end in {right}.")


def _encoding(path: Path, head: bytes, name: str) -> tuple[str, bool, list[Finding]]:
    """Encoding of the whole file, and whether DuckDB may read the file as it is."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", False, [Finding(kind="encoding", count=1, sentence="The file is UTF-16; it was read as that.")]
    control = len(head) - len(head.translate(None, CONTROL))
    if head.count(0) > len(head) * 0.05 or control > len(head) * 0.02:
        raise UserError(f"{name} is binary: it holds bytes that are no text. Upload a table as CSV, TSV or Parquet.")
    decoder, valid, nuls = codecs.getincrementaldecoder("utf-8")(), True, 0
    returns, pairs, feeds, held = 0, 0, 0, False
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            nuls += block.count(0)
            if b"\r" in block or returns:  # else only line feeds so far, and no need to count them
                returns += block.count(b"\r")
                pairs += block.count(b"\r\n") + (held and block.startswith(b"\n"))
                feeds += block.count(b"\n")
            else:
                feeds += b"\n" in block
            held = block.endswith(b"\r")
            if valid and not (block.isascii() and not decoder.getstate()[0]):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    valid = False
    valid = valid and not decoder.getstate()[0]
    mixed = returns > 0 and feeds > 0 and not returns == pairs == feeds
    encoding, findings = "utf-8-sig", []
    if not valid:
        encoding, label = ("cp1252", "Windows-1252") if _decodes(path, "cp1252") else ("latin-1", "Latin-1")
        findings.append(
            Finding(
                kind="encoding",
                count=1,
                sentence=f"The file is not UTF-8; it was read as {label}. Check the letters in the column names.",
                remedies=["Save the file as UTF-8 and upload it again."],
            )
        )
    if nuls:
        sentence = f"The file holds {many(nuls, 'NUL byte')}, left out."
        findings.append(Finding(kind="nul", count=nuls, sentence=sentence))
    return encoding, valid and not nuls and not mixed, findings


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def _dialect(source: Source, text: str, complete: bool, original_name: str) -> Source:
    """Separator, header, sample and what stands above the table, from the first bytes of a text file."""
    comments = next((i for i, line in enumerate(text.splitlines()) if not line.startswith("#")), None)
    if comments is None or not text.strip():
        raise UserError(f"{original_name} has only blank or comment lines. Choose a file with a header and data rows.")
    separator, records = _separator(text, comments, complete)
    if not records:
        raise UserError(f"{original_name} has no row that can be read as text. Choose a file with a header and data.")
    width = Counter(len(cells) for _, cells in records).most_common(1)[0][0]
    if width > MAX_COLUMNS:
        raise UserError(
            f"{original_name} has {width:,} columns; at most {MAX_COLUMNS:,} can be read. "
            f"If each row is one series, turn the table so that time runs down the rows."
        )
    first = next(i for i, (_, cells) in enumerate(records) if len(cells) in (width, width - 1))
    if len(records[first][1]) < width and _is_data(records[first][1]):  # a ragged row, not a header
        first = next(i for i, (_, cells) in enumerate(records) if len(cells) == width)
    number, cells = records[first]
    header = not _is_data(cells)
    under = records[first + header :]
    units = under.pop(0) if header and _is_units([row for _, row in under[:4]], width) else None
    data = [tuple(row) for _, row in under if len(row) == width]
    if header and not data and complete:
        raise UserError(
            f"{original_name} has a header row ({short(', '.join(cells))}) and no data rows. Choose a file with data."
        )
    if len(cells) < width:  # a header with no name for the index, or rows that end in a separator
        cells = [*cells, ""] if all(not row[-1].strip() for row in data) else ["", *cells]
    above = sum(n < number for n, _ in records) + comments
    findings = list(source.findings)
    if above:
        places = [Place(row=i + 1, text=short(line)) for i, line in enumerate(text.splitlines()[: min(above, 5)])]
        sentence = f"{many(above, 'line')} above the table left out, beginning with {places[0].text!r}."
        findings.append(Finding(kind="preamble", count=above, places=places, sentence=sentence))
    if header:
        names, renamed = unique_names(cells)
        findings += renamed
    else:
        names, _ = unique_names([""] * width)
        findings.append(
            Finding(
                kind="no_header",
                count=1,
                sentence=f"The first row ({short(', '.join(cells))}) holds data, not names. The columns are called "
                f"column 1 to column {width}.",
                remedies=["Add a header row and upload again."],
            )
        )
    skip = number if header else number - 1
    if units:
        skip, row = units
        places = [Place(row=skip, column=n, text=short(u)) for n, u in zip(names, row, strict=True) if u.strip()]
        told = ", ".join(f"{place.column} in {place.text}" for place in places[:5])
        sentence = f"Row {skip:,} under the header holds units, not data ({told}); kept in the card, not read as a row."
        findings.append(Finding(kind="units", count=1, places=places, sentence=sentence))
    return replace(
        source,
        names=names,
        sample=tuple(data[:SAMPLE_ROWS]),
        separator=separator,
        skip=skip,
        first_row=skip + 1,
        findings=tuple(findings),
    )


def _separator(text: str, comments: int, complete: bool) -> tuple[str, list[tuple[int, list[str]]]]:
    """The separator under which most rows are equally wide, and the filled rows with their numbers from 1."""
    best, chosen, rows = 0.0, ",", [r for r in _rows(text, ",", complete) if r[0] > comments]
    for candidate in SEPARATORS:
        found = [r for r in _rows(text, candidate, complete) if r[0] > comments]
        widths = Counter(len(cells) for _, cells in found)
        width, share = widths.most_common(1)[0] if widths else (0, 0)
        score = share / widths.total() if width > 1 else 0.0
        if score > best:
            best, chosen, rows = score, candidate, found
    return chosen, rows


def _rows(text: str, separator: str, complete: bool) -> list[tuple[int, list[str]]]:
    """First filled rows with their numbers, blank ones counted; a last one that may be cut is left out."""
    found = []
    with suppress(csv.Error):
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator), 1):
            found.append((number, cells))
            if len(found) > SAMPLE_ROWS:
                complete = True
                break
    return [(number, cells) for number, cells in (found if complete else found[:-1]) if any(c.strip() for c in cells)]


def _is_data(cells: list[str]) -> bool:
    """Whether a row can only be data: it begins with a full date, or holds nothing but numbers and dates."""
    filled = [c.strip() for c in cells if c.strip()]
    if not filled:
        return False
    dates = (FULL_DATE, SHORT_DATE, NUMBER)
    return FULL_DATE.fullmatch(filled[0]) is not None or all(any(d.fullmatch(c) for d in dates) for c in filled)


def _is_units(rows: list[list[str]], width: int) -> bool:
    """Whether the first of these rows names units: short words, where the rows after it hold numbers."""
    if len(rows) < 3 or any(len(row) != width for row in rows):
        return False
    units = [cell.strip() for cell in rows[0]]
    shapes = (FULL_DATE, SHORT_DATE, NUMBER)
    if any(len(unit) > 20 or any(shape.fullmatch(unit) for shape in shapes) for unit in units if unit):
        return False
    below = list(zip(*rows[1:], strict=True))
    named = [i for i, unit in enumerate(units) if unit and UNIT.fullmatch(unit)]
    return any(all(NUMBER.fullmatch(cell.strip()) for cell in below[i]) for i in named) and not any(
        unit and i not in named and all(NUMBER.fullmatch(cell.strip()) for cell in below[i])
        for i, unit in enumerate(units)
    )


def unique_names(cells: list[str]) -> tuple[tuple[str, ...], list[Finding]]:
    """Names as given but unique and not empty: a second "load" becomes "load (2)", an empty one "column 3".

    >>> unique_names(["load", "load", ""])[0]
    ('load', 'load (2)', 'column 3')
    """
    given = {cell.strip() for cell in cells}
    names: dict[str, None] = {}
    repeated, unnamed = [], []
    for i, cell in enumerate(cells, 1):
        wanted = cell.strip() or f"column {i}"
        name, n = wanted, 2
        while name in names or (name != cell.strip() and name in given):
            name, n = f"{wanted} ({n})", n + 1
        names[name] = None
        if not cell.strip():
            unnamed.append(Place(row=1, column=name))
        elif name != wanted:
            repeated.append(Place(row=1, column=name, text=wanted))
    findings = []
    if repeated:
        first = repeated[0]
        sentence = f"More than one column is called {first.text!r}; a later one is now {first.column!r}."
        findings.append(Finding(kind="duplicate_names", count=len(repeated), places=repeated[:5], sentence=sentence))
    if unnamed:
        sentence = f"{many(len(unnamed), 'column')} without a name; the first is now {unnamed[0].column!r}."
        findings.append(Finding(kind="unnamed", count=len(unnamed), places=unnamed[:5], sentence=sentence))
    return tuple(names), findings


def _parquet(path: Path, name: str) -> Source:
    """Column names, types and row count from the file's own table of contents; no values yet."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(
            f"{name} is a damaged Parquet file: its table of contents cannot be read. Export it again."
        ) from error
    if len(schema) > MAX_COLUMNS:
        raise UserError(f"{name} has {len(schema):,} columns; at most {MAX_COLUMNS:,} can be read.")
    if not len(schema) or not rows:
        raise UserError(f"{name} has {many(rows, 'row')} and {many(len(schema), 'column')}. Choose a file with data.")
    names, findings = unique_names(schema.names)
    types = tuple(_arrow_kind(each.type) for each in schema)
    return Source(path, "parquet", names, types=types, rows=rows, first_row=1, findings=tuple(findings))


def _arrow_kind(kind: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind):
        return "number"
    if types.is_timestamp(kind):
        return "zoned" if kind.tz else "time"
    if types.is_date(kind):
        return "time"
    return "text" if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) else "other"

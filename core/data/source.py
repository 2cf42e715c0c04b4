"""What a file is before its values are read: its kind by content, its encoding, its separator and header.

Bytes in, a ``Source`` out; nothing here knows times or numbers beyond telling a header from data. A text file that the
reader could not take as it is (another encoding, NUL bytes, mixed line ends) is rewritten once, in blocks, to clean UTF-8.
"""

import codecs
import csv
import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.data.card import Finding, Place
from core.errors import UserError

MAX_COLUMNS = 2_000
SAMPLE_BYTES = 1 << 18
SAMPLE_ROWS = 500
BLOCK = 1 << 22
SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "vertical bar", ",": "comma"}
NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*|\s*[+-]?(nan|inf|infinity)\s*", re.IGNORECASE)

KINDS = (  # first bytes, what it is, what to do
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Save the sheet as CSV and upload that."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save the sheet as CSV and upload that."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and upload the file inside."),
    (b"BZh", "a bzip2 archive", "Unpack it and upload the file inside."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it and upload the file inside."),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "Unpack it and upload the file inside."),
    (b"7z\xbc\xaf", "a 7-Zip archive", "Unpack it and upload the file inside."),
    (b"\x89PNG", "a PNG picture", "Upload the numbers behind it as CSV or Parquet."),
    (b"\xff\xd8\xff", "a JPEG picture", "Upload the numbers behind it as CSV or Parquet."),
    (b"GIF8", "a GIF picture", "Upload the numbers behind it as CSV or Parquet."),
    (b"%PDF", "a PDF document", "Upload the numbers in it as CSV or Parquet."),
    (
        b"\x80\x02",
        "a Python pickle",
        "Pickles can run code when opened and are never read. Export it as CSV or Parquet.",
    ),
    (
        b"\x80\x03",
        "a Python pickle",
        "Pickles can run code when opened and are never read. Export it as CSV or Parquet.",
    ),
    (
        b"\x80\x04",
        "a Python pickle",
        "Pickles can run code when opened and are never read. Export it as CSV or Parquet.",
    ),
    (
        b"\x80\x05",
        "a Python pickle",
        "Pickles can run code when opened and are never read. Export it as CSV or Parquet.",
    ),
    (b"\x89HDF", "an HDF5 file", "Export the table as CSV or Parquet."),
    (b"\x93NUMPY", "a NumPy array file", "Export it as CSV or Parquet with a header row."),
    (b"ARROW1", "an Arrow file", "Save the table as Parquet or CSV."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
    (b"\x7fELF", "a program", "Upload a table of numbers as CSV, TSV or Parquet."),
    (b"MZ", "a program", "Upload a table of numbers as CSV, TSV or Parquet."),
)
EXTENSIONS = {
    "text": {"csv", "tsv", "txt", "tab", "dat", "data", "psv", ""},
    "parquet": {"parquet", "pq", "parq"},
}


@dataclass(frozen=True)
class Source:
    """A file as found. ``names`` are unique column names; ``sample`` holds the first data rows as text.

    ``skip`` counts lines above the data, header included; ``first_row`` is the row number of the first data row as a
    spreadsheet counts; ``findings`` are those of the file itself.
    """

    path: Path
    kind: str  # "text" or "parquet"
    names: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    types: tuple[str, ...] = ()  # Parquet only: number, time, zoned, text, other
    rows: int | None = None  # Parquet only
    encoding: str = "utf-8"
    separator: str = ","
    skip: int = 1
    header: bool = True
    first_row: int = 2
    clean: bool = True
    findings: tuple[Finding, ...] = field(default=())

    @contextmanager
    def readable(self) -> Iterator[Path]:
        """A path that DuckDB can read: the file itself, or a clean UTF-8 copy that lives as long as the context."""
        if self.clean:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="scalescope-") as folder:
            copy = Path(folder) / "clean.csv"
            with (
                self.path.open(encoding=self.encoding, errors="replace", newline=None) as raw,
                copy.open("w", encoding="utf-8", newline="\n") as out,
            ):
                while block := raw.read(BLOCK):
                    out.write(block.replace("\0", ""))
            yield copy


def inspect(path: Path, original_name: str, max_mb: int) -> Source:
    """The source behind a path. Raises UserError for a file that is empty, too large, or no table."""
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{original_name} is empty: it has no bytes. Choose a file with a header row and data rows.")
    if size > max_mb * 1_000_000:
        raise UserError(
            f"{original_name} has {size / 1e6:,.0f} MB, more than the {max_mb:,} MB this server accepts. Upload a part "
            f"of it, save it as Parquet, or start the server with a larger SCALESCOPE_MAX_UPLOAD_MB."
        )
    with path.open("rb") as file:
        head = file.read(SAMPLE_BYTES)
        file.seek(-min(size, 8), 2)
        tail = file.read()
    extension = original_name.rpartition(".")[2].lower() if "." in original_name else ""
    if head.startswith(b"PAR1") and tail.endswith(b"PAR1"):
        _matches(original_name, extension, "parquet", "a Parquet file")
        return _parquet(path, original_name)
    if head.startswith(b"PAR1"):
        raise UserError(f"{original_name} is a Parquet file without its end. Copy it again; this one is cut off.")
    for magic, what, advice in KINDS:
        if head.startswith(magic):
            raise UserError(f"{original_name} looks like {what}, not a table in CSV, TSV or Parquet. {advice}")
    encoding, findings, clean = _encoding(path, head, original_name)
    _matches(original_name, extension, "text", "plain text")
    text = head.decode(encoding, errors="ignore").removeprefix("\ufeff").replace("\0", "")
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        raise UserError(f"{original_name} is a web page or XML, not a table. Download the data itself as CSV.")
    if re.match(r"\s*[\[{]\s*[\"{\[]", text):
        raise UserError(f"{original_name} looks like JSON, not a table in CSV, TSV or Parquet. Export it as CSV.")
    source = Source(path, "text", (), (), encoding=encoding, clean=clean, findings=tuple(findings))
    return _dialect(source, text, complete=len(head) == size, original_name=original_name)


def _matches(name: str, extension: str, kind: str, what: str) -> None:
    """A file whose extension says something else is refused: its sender should know what it is."""
    if extension in EXTENSIONS[kind]:
        return
    others = {e: k for k, all_of in EXTENSIONS.items() for e in all_of}
    wanted = ".parquet" if kind == "parquet" else ".csv"
    if extension in others or extension in {"xlsx", "xls", "zip", "json", "png", "gz", "arrow", "feather"}:
        raise UserError(f"{name} ends in .{extension}, but its content is {what}. Rename it to end in {wanted}.")


def _encoding(path: Path, head: bytes, name: str) -> tuple[str, list[Finding], bool]:
    """Encoding over the whole file, its findings, and whether DuckDB may read the file as it is."""
    findings = []
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if head.startswith(mark):
            sentence = "The file is encoded as UTF-16; it was read as that."
            return encoding, [Finding(kind="encoding", count=1, sentence=sentence)], False
    decoder, nuls, valid = codecs.getincrementaldecoder("utf-8")(), 0, True
    ends: Counter[str] = Counter()
    held = False
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            nuls += block.count(b"\0")
            pairs = block.count(b"\r\n")
            ends["\r\n"] += pairs + (held and block.startswith(b"\n"))
            ends["\n"] += block.count(b"\n") - pairs - (held and block.startswith(b"\n"))
            ends["\r"] += block.count(b"\r") - pairs - (held and block.startswith(b"\n"))
            held = block.endswith(b"\r")
            if valid:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    valid = False
    if valid:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            valid = False
    control = sum(byte < 9 or 13 < byte < 32 for byte in head) - head.count(b"\0")
    if head.count(b"\0") > len(head) * 0.05 or control > len(head) * 0.02:
        raise UserError(f"{name} is binary: it holds bytes that are no text. Upload a table as CSV, TSV or Parquet.")
    encoding = "utf-8-sig"
    if not valid:
        encoding = "cp1252" if _decodes(path, "cp1252") else "latin-1"
        label = "Windows-1252" if encoding == "cp1252" else "Latin-1"
        findings.append(
            Finding(
                kind="encoding",
                count=1,
                sentence=f"The file is not UTF-8; it was read as {label}. Check the letters in the column names.",
                remedies=["Save the file as UTF-8 and upload it again."],
            )
        )
    if nuls:
        findings.append(
            Finding(kind="nul", count=nuls, sentence=f"The file holds {nuls:,} NUL bytes; they were left out.")
        )
    mixed = sum(n > 0 for n in ends.values()) > 1
    return encoding, findings, valid and not nuls and not mixed


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
    """Separator, preamble, header and sample from the first bytes of a text file."""
    if not text.strip():
        raise UserError(
            f"{original_name} is empty: it has only blank lines. Choose a file with a header and data rows."
        )
    comments = 0
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comments += 1
    best, separator, records = -1.0, ",", []
    for candidate in SEPARATORS:
        rows = _records(text, candidate, complete)[comments:]
        widths = Counter(len(cells) for _, cells in rows if any(cells))
        if not widths:
            continue
        width, share = widths.most_common(1)[0]
        score = share / sum(widths.values()) if width > 1 else 0
        if score > best:
            best, separator, records = score, candidate, rows
    records = [(line, cells) for line, cells in records if any(c.strip() for c in cells)]
    if not records:
        raise UserError(f"{original_name} has only comment lines. Choose a file with a header and data rows.")
    width = Counter(len(cells) for _, cells in records).most_common(1)[0][0]
    if width > MAX_COLUMNS:
        raise UserError(
            f"{original_name} has {width:,} columns; at most {MAX_COLUMNS:,} can be read. "
            f"If each row is one series, turn the table so that time runs down the rows."
        )
    first = next(i for i, (_, cells) in enumerate(records) if len(cells) in (width, width - 1))
    cells = records[first][1]
    header = not _is_data(cells)
    if header and len(cells) < width:  # a header without a name for the index, or with a separator after every row
        after = [r for _, r in records[first + 1 :] if len(r) == width]
        blank_end = all(not r[-1].strip() for r in after)
        cells = [*cells, ""] if blank_end else ["", *cells]
    elif len(cells) != width:
        first = next(i for i, (_, found) in enumerate(records) if len(found) == width)
        cells, header = records[first][1], not _is_data(records[first][1])
    data = [tuple(c) for _, c in records[first + header :]]
    if header and not data and complete:
        raise UserError(
            f"{original_name} has a header row ({_short(', '.join(cells))}) and no data rows. Choose a file with data."
        )
    findings = list(source.findings)
    skip = records[first][0] if header else (records[first - 1][0] if first else comments)
    above = first + comments
    if above:
        places = [Place(row=i + 1, text=_short(line)) for i, line in enumerate(text.splitlines()[:5][:above])]
        findings.append(
            Finding(
                kind="preamble",
                count=above,
                places=places,
                sentence=f"{above} line{'s' * (above > 1)} above the table, beginning with {places[0].text!r}, "
                f"{'were' if above > 1 else 'was'} left out.",
            )
        )
    if not header:
        findings.append(
            Finding(
                kind="no_header",
                count=1,
                sentence=f"The first row ({_short(', '.join(cells))}) holds data, not names. The columns were named "
                f"column 1 to column {width}.",
                remedies=["Add a header row and upload again."],
            )
        )
        cells = [""] * width
    names, renamed = unique_names(cells)
    findings += renamed if header else []
    return replace(
        source,
        names=names,
        sample=tuple(data[:SAMPLE_ROWS]),
        separator=separator,
        skip=skip,
        header=header,
        first_row=skip + 1,
        findings=tuple(findings),
    )


def _records(text: str, separator: str, complete: bool) -> list[tuple[int, list[str]]]:
    """First records with the number of lines read up to their end; a cut last one is left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found = []
    try:
        for cells in reader:
            found.append((reader.line_num, cells))
            if len(found) > SAMPLE_ROWS:
                return found
    except csv.Error:
        return found
    return found if complete else found[:-1]


def _is_data(cells: list[str] | tuple[str, ...]) -> bool:
    """Whether a row can only be data: numbers or times everywhere, at least one of them."""
    filled = [c.strip() for c in cells if c.strip()]
    looks_like_time = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ].*)?")
    return bool(filled) and all(NUMBER.fullmatch(c) or looks_like_time.fullmatch(c) for c in filled)


def unique_names(cells: list[str]) -> tuple[tuple[str, ...], list[Finding]]:
    """Names as given but unique and not empty: a second "load" becomes "load (2)", an empty one "column 3"."""
    names: list[str] = []
    repeated, unnamed = [], []
    taken = {c.strip() for c in cells}
    for i, cell in enumerate(cells):
        name = cell.strip()
        if not name:
            unnamed.append(Place(row=1, column=f"column {i + 1}"))
            name = f"column {i + 1}"
        wanted, n = name, 2
        while name in names or (name != wanted and name in taken):
            name, n = f"{wanted} ({n})", n + 1
        if name != wanted:
            repeated.append(Place(row=1, column=name, text=wanted))
        names.append(name)
    findings = []
    if repeated:
        sentence = (
            f"{repeated[0].text!r} is the name of more than one column; a later one is now {repeated[0].column!r}."
        )
        findings.append(Finding(kind="duplicate_names", count=len(repeated), places=repeated[:5], sentence=sentence))
    if unnamed:
        sentence = (
            f"{len(unnamed)} column{'s' * (len(unnamed) > 1)} without a name; the first is now {unnamed[0].column!r}."
        )
        findings.append(Finding(kind="unnamed", count=len(unnamed), places=unnamed[:5], sentence=sentence))
    return tuple(names), findings


def _parquet(path: Path, name: str) -> Source:
    """Column names, types and row count from the file's own table of contents; the sample follows in ``read.py``."""
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
        raise UserError(f"{name} has {rows:,} rows and {len(schema):,} columns. Choose a file with data.")
    names, findings = unique_names(schema.names)
    types = tuple(_arrow_kind(pa, each.type) for each in schema)
    return Source(path, "parquet", names, (), types=types, rows=rows, first_row=1, findings=tuple(findings))


def _arrow_kind(pa: Any, kind: Any) -> str:
    """ "number", "time", "zoned" (a time with a zone), "text" or "other"."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind):
        return "number"
    if types.is_timestamp(kind):
        return "zoned" if kind.tz else "time"
    if types.is_date(kind):
        return "time"
    return "text" if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) else "other"


def _short(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"

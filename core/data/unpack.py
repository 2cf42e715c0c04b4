"""Tables in other clothes: what is packed (gzip, zip) is unpacked, and Excel, Arrow and JSON records become CSV or
Parquet, once, before anything is read.

What a file is says its content, never its name. Nothing is unpacked beyond the size that an upload may have, so that a
small archive cannot fill the disk.
"""

import codecs
import csv
import gzip
import json
import re
import secrets
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from core.data.card import Finding
from core.data.words import listed, many, short
from core.errors import UserError

BLOCK = 1 << 20
WHOLE = 200  # MB of a workbook or of JSON, which are held in memory as a whole
PARQUET = {".parquet", ".pq"}
TEXT = {".csv", ".tsv", ".txt", ".tab", ".dat", ".psv"}  # files that may lie together in one archive
LAYERS = 3  # an archive in an archive is opened; deeper is no file of a person
OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Unpacked:
    """A table that ``read`` takes, the name it is spoken of by, and what was done to get it."""

    path: Path
    name: str
    findings: tuple[Finding, ...] = ()


def unpack(path: Path, name: str, max_mb: int, folder: Path) -> Unpacked:
    """The table in a file: the file itself where it needs nothing, else a new file in ``folder``.

    Raises UserError for an archive that is damaged, locked, too large inside or has more than one table, and for a
    workbook or a JSON file without one. What was begun in ``folder`` is removed then.
    """
    found, made = Unpacked(path, name), []
    try:
        for _ in range(LAYERS):
            one = _opened(found, max_mb, folder, made)
            if one is None:
                break
            found = one
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        raise
    for file in made:
        if file != found.path:
            file.unlink(missing_ok=True)
    return found


def together(files: Sequence[tuple[IO[bytes], str]], target: Path, max_mb: int) -> None:
    """Several files as one archive, so that ``unpack`` treats them as it does those of an archive. Raises UserError for
    two of one name and beyond the size that an upload may have."""
    names = [PurePosixPath(name).name for _, name in files]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"Two of the files are called {name}. Upload each under a name of its own.")
    size = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for (file, _), name in zip(files, names, strict=True):
            with archive.open(name, "w", force_zip64=True) as out:
                while block := file.read(BLOCK):
                    size += len(block)
                    _fits(size, "What was chosen", max_mb)
                    out.write(block)


def _opened(packed: Unpacked, max_mb: int, folder: Path, made: list[Path]) -> Unpacked | None:
    """One layer less; None where there is none."""
    if not packed.path.is_file():
        return None
    with packed.path.open("rb") as file:
        head = file.read(4096)

    def write(ending: str, name: str, said: str, work: Callable[[Path], None]) -> Unpacked:
        target = folder / f"{secrets.token_hex(8)}.{ending}"
        made.append(target)
        work(target)
        finding = Finding(kind="unpacked", count=1, sentence=said)
        return replace(packed, path=target, name=name, findings=(*packed.findings, finding))

    name, stem = packed.name, PurePosixPath(packed.name).stem
    if head.startswith(b"\x1f\x8b"):
        inside = stem if name.lower().endswith((".gz", ".gzip")) and "." in stem else f"{stem}.csv"
        return write("part", inside, f"{name} was unpacked (gzip).", lambda to: _gunzip(packed, to, max_mb))
    if head.startswith(b"PK\x03\x04"):
        with _archive(packed) as archive:
            if "[Content_Types].xml" in archive.namelist():
                _whole(sum(one.file_size for one in archive.infolist()), name)
                return _sheet(packed, write)
            members = _members(archive, name)
            member = members[0]
            if len(members) > 1:
                said = (
                    f"{many(len(members), 'file')} of one shape were taken out of {name} and put one under the other, "
                    f"from {member.filename} to {members[-1].filename}."
                )
                if PurePosixPath(member.filename).suffix.lower() in PARQUET:
                    work = partial(_join_parquet, archive, members, name, max_mb, folder)
                    return write("parquet", f"{stem}.parquet", said, work)
                return write("part", f"{stem}.csv", said, lambda to: _join(archive, members, name, to, max_mb))
            said = f"{member.filename} was taken out of {name}."
            place = PurePosixPath(member.filename).name
            return write("part", place, said, lambda to: _extract(archive, member, name, to, max_mb))
    if head.startswith(OLD_EXCEL):
        _whole(packed.path.stat().st_size, name)
        return _sheet(packed, write)
    if head.startswith(b"ARROW1\x00"):
        said = f"{name} is an Arrow file; its columns were taken as they are."
        return write("parquet", f"{stem}.parquet", said, lambda to: _arrow(packed, to))
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b'{"', b"[{", b"[ {", b"[\n")) and text[:1] in b"{[" and _is_json(text):
        _whole(packed.path.stat().st_size, name)
        said = f"{name} holds JSON records; their fields became columns."
        return write("parquet", f"{stem}.parquet", said, lambda to: _json(packed, to))
    return None


# -- archives ----------------------------------------------------------------------------------------------------------


def _whole(size: int, name: str) -> None:
    if size > WHOLE * 1_000_000:
        raise UserError(
            f"{name} has {size / 1e6:,.0f} MB of cells or records, and {WHOLE} MB is the most of them that is read. "
            "Export it as CSV or Parquet, which may be larger."
        )


def _fits(size: int, name: str, max_mb: int) -> None:
    if size > max_mb * 1_000_000:
        raise UserError(
            f"{name} holds more than the {max_mb:,} MB this server accepts when it is unpacked. Upload a part of it, "
            "or start the server with a larger SCALESCOPE_MAX_UPLOAD_MB."
        )


def _copy(source: IO[bytes] | gzip.GzipFile, to: Path, name: str, max_mb: int) -> None:
    """At most what an upload may have, whatever the archive says of itself."""
    size = 0
    try:
        with to.open("wb") as out:
            while block := source.read(BLOCK):
                size += len(block)
                _fits(size, name, max_mb)
                out.write(block)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(
            f"{name} is a damaged archive: it cannot be unpacked to its end. Copy or pack it again."
        ) from error


def _gunzip(packed: Unpacked, to: Path, max_mb: int) -> None:
    with gzip.open(packed.path) as source:
        _copy(source, to, packed.name, max_mb)


@contextmanager
def _archive(packed: Unpacked) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(packed.path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{packed.name} begins like a zip archive or a workbook, but is damaged. Copy, pack or save it again."
        ) from error
    with archive:
        yield archive


def _members(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """The file of an archive, or its text or Parquet files in the order of their names; what systems add by themselves
    does not count."""

    def counts(one: zipfile.ZipInfo) -> bool:
        place = PurePosixPath(one.filename)
        return not one.is_dir() and not place.name.startswith(".") and "__MACOSX" not in place.parts

    found = [one for one in archive.infolist() if counts(one)]
    if not found:
        raise UserError(f"{name} is an archive without a file. Choose one with a table inside.")
    endings = {PurePosixPath(one.filename).suffix.lower() for one in found}
    if len(found) > 1 and not (endings <= TEXT or endings <= PARQUET):
        raise UserError(
            f"{name} holds {many(len(found), 'file')}: {listed([one.filename for one in found], 5)}. Unpack it and "
            "upload the one with the series."
        )
    if any(one.flag_bits & 1 for one in found):
        raise UserError(f"{name} is locked with a password. Unpack it and upload the file inside.")
    return sorted(found, key=_in_order)


def _in_order(member: zipfile.ZipInfo) -> list[int | str]:
    """2 before 10: every second part of a name is a number."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", member.filename))]


def _join(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], name: str, to: Path, max_mb: int) -> None:
    """Text files with the same first line, one under the other with that line once. Raises UserError where they
    differ."""
    columns, size = b"", 0
    try:
        with to.open("wb") as out:
            for member in members:
                with archive.open(member) as source:
                    header = source.readline(BLOCK).removeprefix(b"\xef\xbb\xbf").strip()
                    if columns and header != columns:
                        one, other = (short(line.decode("utf-8", "replace")) for line in (columns, header))
                        raise UserError(
                            f"{name} holds {many(len(members), 'file')} that differ in their first line: {one!r} in "
                            f"{members[0].filename}, {other!r} in {member.filename}. Upload the one with the series."
                        )
                    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                        raise UserError(
                            f"{member.filename} in {name} is UTF-16. Save the files as UTF-8 and pack them again."
                        )
                    if not columns:
                        columns = header
                        out.write(header + b"\n")
                    last = b"\n"
                    while block := source.read(BLOCK):
                        size += len(block)
                        _fits(size, name, max_mb)
                        out.write(block)
                        last = block[-1:]
                    if last not in b"\r\n":
                        out.write(b"\n")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(
            f"{name} is a damaged archive: it cannot be unpacked to its end. Copy or pack it again."
        ) from error


def _join_parquet(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], name: str, max_mb: int, folder: Path, to: Path
) -> None:
    """Parquet files with the same columns, one under the other. Raises UserError where they differ."""
    import pyarrow as pa
    from pyarrow import parquet

    part, out, schema = folder / f"{secrets.token_hex(8)}.part", None, None
    try:
        for member in members:
            _extract(archive, member, name, part, max_mb)
            with parquet.ParquetFile(part) as file:
                if schema is None:
                    schema = file.schema_arrow.remove_metadata()
                    out = parquet.ParquetWriter(to, schema)
                elif not file.schema_arrow.remove_metadata().equals(schema):
                    raise UserError(
                        f"{name} holds {many(len(members), 'file')} that differ in their columns: "
                        f"{listed(schema.names, 5)} in {members[0].filename}, {listed(file.schema_arrow.names, 5)} in "
                        f"{member.filename}, or in the types of these. Upload the one with the series."
                    )
                for batch in file.iter_batches():
                    if out is not None:
                        out.write_batch(batch.replace_schema_metadata(None))
                _fits(to.stat().st_size, name, max_mb)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"A Parquet file in {name} is damaged. Export it again.") from error
    finally:
        if out is not None:
            out.close()
        part.unlink(missing_ok=True)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, to: Path, max_mb: int) -> None:
    try:
        source = archive.open(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        raise UserError(f"{name} is packed in a way that cannot be read. Unpack it and upload the file.") from error
    with source:
        _copy(source, to, name, max_mb)


# -- tables ------------------------------------------------------------------------------------------------------------


def _sheet(packed: Unpacked, write: Callable[..., Unpacked]) -> Unpacked:
    """The first sheet of a workbook that has two rows, as CSV."""
    from python_calamine import CalamineError, CalamineWorkbook

    name = packed.name
    try:
        with CalamineWorkbook.from_path(str(packed.path)) as book:
            names = list(book.sheet_names)
            sheets = ((one, book.get_sheet_by_name(one)) for one in names)
            chosen, sheet = next(((one, sheet) for one, sheet in sheets if sheet.total_height > 1), (None, None))
            if sheet is None:
                raise UserError(f"{name} is a workbook without a sheet that has rows. Choose one with a table.")
            others = [one for one in names if one != chosen]
            left = f" {many(len(others), 'other sheet')} left out: {listed(others)}." if others else ""
            said = f"Sheet {chosen} of {name} was read.{left}"
            rows = sheet.iter_rows()
            return write("csv", f"{PurePosixPath(name).stem}.csv", said, lambda to: _rows(rows, to))
    except (CalamineError, OSError, ValueError) as error:
        raise UserError(
            f"{name} is a workbook that cannot be read: it is damaged, or locked. Save it again."
        ) from error


def _rows(rows: Any, to: Path) -> None:
    with to.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> str:
    """A cell of a workbook as text that ``read`` takes for what it is."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # a workbook knows no whole numbers
    return "" if value is None else str(value)


def _arrow(packed: Unpacked, to: Path) -> None:
    import pyarrow as pa
    from pyarrow import ipc, parquet

    try:
        with pa.memory_map(str(packed.path)) as source:
            reader = ipc.open_file(source)
            with parquet.ParquetWriter(to, reader.schema) as out:
                for i in range(reader.num_record_batches):
                    out.write_batch(reader.get_batch(i))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{packed.name} is a damaged Arrow file. Export it again, as Parquet or CSV.") from error


def _is_json(head: bytes) -> bool:
    """Whether this begins like records: an object, or a list of objects."""
    return head.startswith(b'{"') or head[1:].lstrip().startswith(b"{")


def _json(packed: Unpacked, to: Path) -> None:
    """Records of one object a line, or of one list, by pyarrow; all of it in memory, as it is read."""
    import io

    import pyarrow as pa
    from pyarrow import json as lines
    from pyarrow import parquet

    try:
        with packed.path.open("rb") as file:
            source: Any = packed.path
            if file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
                file.seek(0)
                records = json.loads(file.read().decode("utf-8-sig"))
                source = io.BytesIO("\n".join(json.dumps(one) for one in records).encode())
        table = lines.read_json(source, read_options=lines.ReadOptions(block_size=1 << 24))
        if not table.num_columns:
            raise ValueError("no fields")
        parquet.write_table(table, to)
    except (pa.ArrowException, OSError, ValueError, RecursionError, UnicodeError) as error:
        raise UserError(
            f"{packed.name} looks like JSON, but not like one record a line with the same fields in each. Export it as "
            "CSV."
        ) from error

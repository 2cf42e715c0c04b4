"""Thousands of damaged files: every readable case of the corpus, packed ones too, with bytes changed, cut, doubled and
mixed. Each must become a series or a sentence, within five seconds and a gibibyte.
"""

import gzip
import io
import random
import tempfile
import time
import zipfile
from pathlib import Path

from core.data.read import parse, sniff
from core.data.unpack import unpack
from core.errors import UserError
from tests.benchmarks.ingest import resident
from tests.data.test_read import READABLE

INPUTS, SEED, MB = 5_000, 2021, 64
TELLING = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b";",
    b"\t",
    b"#",
    b"9" * 40,
    b"e308",
    b"\xff",
    b"\xfe\xff",
    b"-",
    b"1e-400",
    b"  ",
)

Row = dict[str, object]


def measure() -> list[Row]:
    """One row with what became of them. Raises whatever is no UserError, and leaves the file beside its name."""
    chance = random.Random(SEED)
    seeds = [data for data, *_ in READABLE.values()]
    seeds += [gzip.compress(seeds[0]), zipped(seeds[0]), *(data for data in seeds[:5])]
    read = refused = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="scalescope-") as folder:
        path, out = Path(folder) / "in" / "file", Path(folder) / "out"
        path.parent.mkdir()
        out.mkdir()
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        for number in range(INPUTS):
            path.write_bytes(damaged(chance, chance.choice(seeds), seeds))
            begun = time.perf_counter()
            try:
                table = unpack(path, "file.csv", MB, out)
                parse(table.path, sniff(table.path, table.name, MB).choice, table.name, MB, 10_000_000)
                read += 1
            except UserError:
                refused += 1
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"scalescope-fuzz-{number}"
                kept.write_bytes(path.read_bytes())
                print(f"input {number} is kept as {kept}")
                raise
            slowest = max(slowest, time.perf_counter() - begun)
            for left in out.iterdir():
                left.unlink()
        grown = resident("VmHWM") - before
    row: Row = {"inputs": f"{INPUTS:,}", "read": f"{read:,}", "refused in words": f"{refused:,}", "other exceptions": 0}
    return [row | {"slowest": f"{slowest:.2f} s", "memory grew by": f"{grown:,.0f} MB"}]


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("file.csv", data)
    return out.getvalue()


def damaged(chance: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to six changes."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(found) + 1)
        kind = chance.randrange(6)
        if kind == 0 and found:
            found[at % len(found)] = chance.randrange(256)
        elif kind == 1:
            found[at:at] = chance.choice(TELLING)
        elif kind == 2:
            del found[at : at + chance.randint(1, 20)]
        elif kind == 3:
            found[at:at] = found[at : at + chance.randint(1, 200)] * chance.randint(1, 5)
        elif kind == 4:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            found[at:at] = other[start : start + 80]
        else:
            del found[at:]
    return bytes(found)

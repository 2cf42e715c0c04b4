"""``python -m tests.benchmarks.run NAME`` measures, and writes ``docs/results/<name>.md``.

Measure on a quiet machine. Accuracy has a command of its own, ``python -m core bench``.
"""

import argparse
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

from core.studies.bench import machine

PLACE = Path(__file__).parents[2] / "docs" / "results"
ABOUT = {
    "steps": (
        "Training steps",
        "One step is a batch of windows, forward, backward and Adam, on 7 variates, horizon 96, with the published "
        "options for ETTh1 but for `options`, with which the public code was measured. The forms take turns in "
        "one process. `plain` is the same model written the obvious way (`tests/benchmarks/plain_*.py`): the fair "
        "comparison. `public code` is its figure from another run on two cores of the same kind, 2026-11-20.",
    ),
    "scan": (
        "Selective scan",
        "Forward and backward of the scan of one Mamba block: batch 32, width 128 (256 channels), 16 states, float32. "
        "`plain` is the usual loop over the slices of all decays and inputs (`tests/benchmarks/scan.py`), left out "
        "where what it keeps does not fit twice into free memory. The forms take turns in one process; the peak is "
        "what the resident set of a fresh process grows by at most, beyond the inputs. CPU time is the processor's, "
        "over all threads: it says more than the clock where other work runs on the same cores.",
    ),
    "maps": (
        "The maps of one window",
        "Horizon 96, 7 variates, one step ahead, default options and random weights; all threads. `forecasts` is the "
        "time in forecasts of that one window by the same model in the same process.",
    ),
    "cuda": (
        "On a GPU",
        "A training step of every learned architecture, batch 32, horizon 96, published options for ETTh1, median of "
        "at most 30; the peak is what torch allocated. `off` is the norm of the difference from the CPU's forecast and "
        "gradient in float32 over their norm, at 7 variates and random weights, dropout off.",
    ),
    "ingest": (
        "Reading a file",
        "Every reading runs in a process of its own, in turns with the bare one, median of three. Memory is what the "
        "process grew by at its peak.",
    ),
    "large": (
        "Large files",
        "Each file is read, audited and stored in a process of its own, then looked at and mapped for a training; the "
        "memory is what the process grew by at its peak, of DuckDB with its limit of 2 GB too.",
    ),
    "fuzz": (
        "Damaged files",
        "The readable files of `tests/data/test_read.py`, plain, gzipped and zipped, with bytes changed, inserted, "
        "removed, doubled and mixed; taken as they propose themselves. Fixed seed.",
    ),
    "lesson": (
        "The lesson",
        "In a real browser on the same machine as the server.",
    ),
    "poke": (
        "A poke",
        "A window changed by hand. The server's part, by architecture with its published look-back and random weights, "
        "all threads, median of 31; and in a real browser on the same machine, from the release of the button to the "
        "new forecast painted, everything else of the section following in the same run.",
    ),
    "path": ("From an upload to the first heatmap", "ETTh1, 17,420 rows of 7 variates, every setting as it comes."),
    "pages": (
        "Page reruns while a model trains",
        "ETTh1, while a worker trains CrossScaleNet with a server's default settings. From the click in a real browser "
        "on the same machine until the script has ended (idle), and until the new charts stand too (drawn); and the "
        "server's own part, the script under AppTest beside the same training. Browser, server and worker share the "
        "cores. Aim for a rerun: median under 300 ms, p95 under 800 ms.",
    ),
}
CHOICES = {"recipe": "recipe", "modern-choice": "modern"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="all", choices=[*ABOUT, *CHOICES, "all"])
    parser.add_argument("--threads", type=int, default=1, help="threads of the cells of both choices")
    asked = parser.parse_args()
    for name in ABOUT:
        if asked.what == name or (asked.what == "all" and name != "cuda"):
            write(name, benchmark(name).measure())
    if asked.what in CHOICES:
        benchmark(CHOICES[asked.what]).run(asked.threads, measured(asked.what))


def benchmark(name: str) -> ModuleType:
    """Loaded when it is asked for: one wants a browser, another a GPU."""
    return import_module(f"tests.benchmarks.{name}")


def write(name: str, rows: list[dict[str, object]]) -> None:
    """The table of one benchmark, with how and where it was measured."""
    title, about = ABOUT[name]
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[column]) for column in head] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / f"{name}.md").write_text(f"# {title}\n\n{about}\n\n{measured(name)}\n\n{table}\n")
    print(table, flush=True)


def measured(name: str) -> str:
    """The command, the day and the machine, as one line."""
    return f"`python -m tests.benchmarks.run {name}` on {datetime.now(UTC):%Y-%m-%d}: {machine()}."


if __name__ == "__main__":
    main()

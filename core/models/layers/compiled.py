"""Small C++ sources beside the layers, built by the system's compiler when first used and loaded through ctypes.

What was built is kept in the user's cache folder under a name made of everything it depends on (source, compiler,
flags, processor), so that a changed source, another compiler or another machine on the same home folder builds its own.
Everything here raises where something is missing or fails: whoever calls has a slower way to do the same.

``CXX`` names the compiler, as it does for make; without it ``g++``, ``c++`` and ``clang++`` are looked for.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs

# vectorised reductions (openmp-simd) and rounding without regard for signals, but no -ffast-math: NaN must stay NaN
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math")
NATIVE = "-march=native"
PATIENCE = 180  # seconds for one build, on a busy machine


def load(source: Path) -> ctypes.CDLL:
    """The library built from ``source``. Raises OSError or RuntimeError with a line that says what is missing."""
    compiler = find_compiler()
    about = (source.read_text(), compiler, _said(compiler, "--version"), *FLAGS, NATIVE, _processor())
    key = hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]
    folder = Path(platformdirs.user_cache_dir("scalescope")) / "compiled"
    library = folder / f"{source.stem}-{key}.so"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        build(compiler, source, library)
    return ctypes.CDLL(str(library))


def find_compiler() -> str:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++", "clang++"]
    for name in names:
        if found := shutil.which(name):
            return found
    raise RuntimeError(f"no C++ compiler was found ({', '.join(names)})")


def build(compiler: str, source: Path, library: Path) -> None:
    """Compiles into a file of its own and renames it, so that nobody ever loads half a library."""
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        try:
            _said(compiler, *FLAGS, NATIVE, str(source), "-o", str(made))
        except RuntimeError:  # not every compiler knows its own processor
            _said(compiler, *FLAGS, str(source), "-o", str(made))
        made.replace(library)


def first_line(error: BaseException) -> str:
    """An error as one line for people."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _said(*command: str) -> str:
    """What the command writes. Raises RuntimeError with its complaint where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{Path(command[0]).name} did not run: {first_line(error)}") from None
    if done.returncode:
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise RuntimeError(f"{Path(command[0]).name} failed: {complaint or f'exit code {done.returncode}'}")
    return done.stdout


def _processor() -> str:
    """What ``-march=native`` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith(("model name", "flags", "Features")))
    return f"{platform.machine()} {sorted(set(lines))}"

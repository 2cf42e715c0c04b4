"""The examples in the docstrings of data and store are true, and importing the records stays light."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

WITH_EXAMPLES = (
    "core.data.words",
    "core.data.lags",
    "core.data.overview",
    "core.data.source",
    "core.data.synthetic",
    "core.store.migrate",
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", ["core.data.card", "core.data.choice", "core.data.overview"])
def test_records_import_nothing_heavy(name: str) -> None:
    code = f"import {name}, sys; print(*sorted({{'duckdb', 'pandas', 'pyarrow', 'torch'}} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert found.stdout.strip() == ""

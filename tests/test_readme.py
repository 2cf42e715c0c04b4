"""The README's tables say what the code says."""

import re
from pathlib import Path

from core.settings import Settings

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_table_of_settings_is_complete():
    rows = dict(re.findall(r"^\| `(SCALESCOPE_\w+)` \| .* \| (.+) \|$", README, re.M))
    fields = {f"SCALESCOPE_{name.upper()}": field.description for name, field in Settings.model_fields.items()}
    assert rows == fields
    for name, field in Settings.model_fields.items():
        if name != "home":
            assert f"| `SCALESCOPE_{name.upper()}` | `{field.default}` |" in README


def test_every_folder_of_the_map_exists():
    root = Path(__file__).parents[1]
    for place in re.findall(r"^\| `([\w/]+(?:/|\.py))` \|", README, re.M):
        assert (root / place).exists(), place


def test_every_picture_exists():
    root = Path(__file__).parents[1]
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (root / picture).exists(), picture

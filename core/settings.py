"""Everything a person can set, read from ``SCALESCOPE_*`` variables. The README's table is checked against this class.

Paths are derived from ``home`` here and nowhere else, so that a test or a second server needs one variable only.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one server or one command. Immutable; every field has a bound and a sentence."""

    model_config = SettingsConfigDict(env_prefix="SCALESCOPE_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("scalescope")),
        description="Folder of the database, uploads, runs and logs.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where models run; auto takes a CUDA device where there is one."
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="Threads of a training worker; 0 means all cores but one."
    )
    training_memory_mb: int = Field(
        default=2048,
        ge=256,
        description="Memory of a training worker, in MB: data that would not fit is read from disk window by window.",
    )
    workers: int = Field(default=1, ge=1, le=64, description="Training jobs that run at the same time.")
    max_upload_mb: int = Field(
        default=1024, ge=1, le=1_000_000, description="Largest file that may be uploaded, in MB."
    )
    max_cells: int = Field(
        default=400_000_000, ge=1_000, description="Largest dataset, in rows times variates, that is accepted."
    )
    database_memory: str = Field(
        default="2GB", pattern=r"^\d+(MB|GB)$", description="Memory DuckDB may use before it spills to disk."
    )
    cached_models: int = Field(
        default=8, ge=1, le=256, description="Loaded models kept in memory, shared between tabs."
    )

    @property
    def database(self) -> Path:
        return self.home / "scalescope.duckdb"

    @property
    def uploads(self) -> Path:
        return self.home / "uploads"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def studies(self) -> Path:
        return self.home / "studies"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, with its folders made. Cleared in tests by ``settings.cache_clear()``."""
    found = Settings()
    for folder in (found.home, found.uploads, found.runs, found.logs):
        folder.mkdir(parents=True, exist_ok=True)
    return found

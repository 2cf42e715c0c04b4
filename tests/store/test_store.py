"""What the store promises: what was put in comes out, whoever asks, and an upload reaches nothing else."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.card import Audit, DatasetCard
from core.data.series import Series
from core.errors import UserError
from core.store.migrate import SCHEMA, migrate, sections
from core.store.store import Store

HOSTILE = ('"; drop table datasets; --', "<img src=x onerror=alert(1)>", "t", "v0", "load", "' OR 1=1", "\u202e\0x")


@pytest.fixture
def store(tmp_path: Path):
    opened = Store(tmp_path / "home" / "a.duckdb", tmp_path / "home" / "uploads", memory="500MB")
    yield opened
    opened.close()


def hourly(values: np.ndarray, names: tuple[str, ...] | None = None) -> Series:
    times = np.datetime64("2024-01-01", "us") + np.arange(len(values)) * np.timedelta64(3_600_000_000, "us")
    names = names or tuple(f"load {i}" for i in range(values.shape[1]))
    return Series("hours", times, values.astype(np.float32), names, zone="Europe/Berlin", truth={"lags": [1, 2]})


def card(series: Series) -> DatasetCard:
    return DatasetCard.of(series, Audit(rows=len(series), step="1 hour", start="", end=""), repairs=["sorted"])


def noise(rows: int, variates: int = 1, missing: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(rows)
    values = draw.standard_normal((rows, variates)).astype(np.float32)
    values[draw.random(values.shape) < missing] = np.nan
    return values


def test_a_series_comes_back_as_it_was(store: Store) -> None:
    series = hourly(noise(500, len(HOSTILE), missing=0.1), HOSTILE)
    id = store.add_dataset(series, card(series))
    again = store.series(id)
    assert again.fingerprint == series.fingerprint
    assert (again.variates, again.zone, again.truth) == (HOSTILE, "Europe/Berlin", {"lags": [1, 2]})
    np.testing.assert_array_equal(again.values, series.values)
    assert again.values.flags.writeable
    found = store.dataset(id)
    assert (found.id, found.fingerprint, found.repairs) == (id, series.fingerprint, ["sorted"])
    assert [c.id for c in store.datasets()] == [id]


def test_a_series_without_a_clock_keeps_its_index(store: Store) -> None:
    series = Series("index", np.arange(7, 27), noise(20), ("a",))
    id = store.add_dataset(series, card(series))
    assert store.series(id).times.tolist() == list(range(7, 27))
    assert store.overview(id, start=5, stop=10)["t"].tolist() == [12, 13, 14, 15, 16]
    with pytest.raises(UserError, match="no clock"):
        store.overview(id, start=datetime(2024, 1, 1))


def test_a_large_series_lies_in_a_file_beside_the_database(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.store.store.MAPPED", 4 * 600)
    monkeypatch.setattr("core.data.series.BLOCK", 256)
    series = hourly(noise(500, 2, missing=0.1))
    few = series.select(("load 1",))
    id, small = store.add_dataset(series, card(series)), store.add_dataset(few, card(few))
    copies = tmp_path / "home" / "series"
    for damage in (
        lambda: None,
        (copies / id / "about.json").unlink,
        lambda: (copies / id / "values.npy").write_text(""),
    ):
        damage()  # what is not whole is made anew
        again = store.series(id)
        assert again.mapped and again.fingerprint == series.fingerprint
        np.testing.assert_array_equal(again.part(again.variates), series.values)
        np.testing.assert_array_equal(again.clock(), series.times)
        assert (again.zone, again.truth, again.name) == (series.zone, series.truth, series.name)
    assert not store.series(small).mapped and [folder.name for folder in copies.iterdir()] == [id]
    store.delete_dataset(id)
    assert not list(copies.iterdir())


def test_copies_of_what_is_gone_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.store.MAPPED", 0)
    series = hourly(noise(50))
    first = Store(tmp_path / "a.duckdb", tmp_path / "uploads")
    id = first.add_dataset(series, card(series))
    first.series(id)
    (tmp_path / "series" / ".half").mkdir()
    (tmp_path / "series" / "gone").mkdir()
    first.close()
    Store(tmp_path / "a.duckdb", tmp_path / "uploads").close()
    assert [folder.name for folder in (tmp_path / "series").iterdir()] == [id]


def test_a_copy_that_finds_no_room_is_a_sentence(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.store.MAPPED", 0)
    series = hourly(noise(50))
    id = store.add_dataset(series, card(series))
    (tmp_path / "home" / "series").write_text("in the way")
    with pytest.raises(UserError, match="Make room on that disk"):
        store.series(id)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4, unique=True),
    title=st.text(min_size=1).filter(lambda text: text.strip()),
)
def test_any_name_is_only_a_name(store: Store, names: list[str], title: str) -> None:
    series = hourly(noise(10, len(names)), tuple(names))
    id = store.add_dataset(series, card(series))
    store.rename_dataset(id, title)
    store.describe_dataset(id, title)
    assert store.dataset(id).name == title.strip()
    assert store.series(id).variates == tuple(names)
    assert list(store.rows(id, 0, 3).columns) == ["t", *names]
    assert set(store.overview(id)["variate"]) == set(names)
    store.delete_dataset(id)
    assert store.datasets() == []


def test_rows(store: Store) -> None:
    series = hourly(noise(50, 2))
    id = store.add_dataset(series, card(series))
    found = store.rows(id, 10, 13)
    assert (found["t"].to_numpy() == series.times[10:13]).all()
    np.testing.assert_array_equal(found[["load 0", "load 1"]].to_numpy(), series.values[10:13])
    assert len(store.rows(id, 48, 100)) == 2


@pytest.mark.parametrize(("rows", "variates"), [(30, 1), (5_000, 1), (5_000, 7), (3_001, 500)])
def test_overview_keeps_every_extreme_within_its_marks(store: Store, rows: int, variates: int) -> None:
    series = hourly(noise(rows, variates, missing=0.2))
    id = store.add_dataset(series, card(series))
    for pixels in (1, 10, 800, 100_000):
        found = store.overview(id, pixels=pixels)
        assert len(found) <= 4_000
        for i, name in enumerate(series.variates[:7]):
            marks = found[found["variate"] == name]
            known = series.values[:, i][~np.isnan(series.values[:, i])]
            assert marks["value"].min() == known.min()
            assert marks["value"].max() == known.max()
            assert marks["t"].is_monotonic_increasing
            assert marks["t"].is_unique
    if variates == 1 and rows <= 800:
        np.testing.assert_array_equal(store.overview(id)["value"].to_numpy(), series.values[:, 0])


def test_overview_is_m4_as_defined(store: Store) -> None:
    """Beside the query a plain loop: first, last, smallest and largest of every pixel column, each at its time."""
    series = hourly(noise(1_000))
    id = store.add_dataset(series, card(series))
    found = store.overview(id, start=100, stop=900, pixels=40)
    expected = set()
    for part in np.split(np.arange(100, 900), 40):
        values = series.values[part, 0]
        expected |= {part[0], part[-1], part[values.argmin()], part[values.argmax()]}
    rows = sorted(expected)
    assert (found["t"].to_numpy() == series.times[rows]).all()
    np.testing.assert_array_equal(found["value"].to_numpy(), series.values[rows, 0])


def test_overview_breaks_the_line_where_nothing_is_known(store: Store) -> None:
    values = noise(1_000)
    values[300:500] = np.nan
    series = hourly(values)
    id = store.add_dataset(series, card(series))
    found = store.overview(id, pixels=50)
    inside = found[(found["t"] >= series.times[300]) & (found["t"] < series.times[500])]
    assert inside["value"].isna().all() and len(inside) == 10


def test_overview_of_a_span_of_time(store: Store) -> None:
    series = hourly(noise(100))
    id = store.add_dataset(series, card(series))
    start = datetime(2024, 1, 2, 1, tzinfo=UTC) + timedelta(hours=1)
    found = store.overview(id, start=start, stop=start + timedelta(hours=5))
    assert (found["t"].to_numpy() == series.times[26:31]).all()
    assert store.overview(id, start=50, stop=50).empty


def test_overview_refuses_in_words(store: Store) -> None:
    series = hourly(noise(10, 2))
    id = store.add_dataset(series, card(series))
    for variates, words in ((["x"], "no variate 'x'"), ([], "choose 1 to 1,000")):
        with pytest.raises(UserError, match=words):
            store.overview(id, variates)


def test_unknown_ids_are_sentences(store: Store) -> None:
    for call in (store.dataset, store.series, store.overview, store.delete_dataset):
        with pytest.raises(UserError, match="no dataset"):
            call("'; drop table datasets; --")
    for call in (store.run, store.delete_run, lambda id: store.update_run(id, state="failed")):
        with pytest.raises(UserError, match="no run"):
            call("none")


def test_runs_live_and_die(store: Store, tmp_path: Path) -> None:
    series = hourly(noise(10))
    id = store.add_dataset(series, card(series))
    for k in range(3):
        store.add_run(f"r{k}", f"run {k}", f'{{"dataset": "{id}"}}', "queued", tmp_path / f"r{k}")
    store.add_run("loose", "", '{"dataset": ""}', "queued", tmp_path)
    finished = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    store.update_run("r1", state="finished", card={"mse": 0.5, "nan": float("nan")}, finished_at=finished)
    store.update_run("r1", name="best")
    run = store.run("r1")
    assert (run.state, run.name, run.dataset, run.finished_at) == ("finished", "best", id, finished)
    assert run.card is not None and run.card["mse"] == 0.5 and np.isnan(run.card["nan"])
    assert run.directory == tmp_path / "r1" and run.spec == {"dataset": id}
    store.update_run("r1", finished_at=None)
    assert store.run("r1").finished_at is None
    assert [r.id for r in store.runs()] == ["loose", "r2", "r1", "r0"]
    assert [r.id for r in store.runs(dataset=id, limit=2)] == ["r2", "r1"]
    store.delete_run("r0")
    with pytest.raises(UserError, match=r"2 runs trained on it \(best, run 2\)"):
        store.delete_dataset(id)
    assert [r.id for r in store.delete_dataset(id, with_runs=True)] == ["r1", "r2"]
    assert [r.id for r in store.runs()] == ["loose"]


def test_a_name_needs_a_letter(store: Store) -> None:
    series = hourly(noise(10))
    id = store.add_dataset(series, card(series))
    with pytest.raises(UserError, match="needs a name"):
        store.rename_dataset(id, "  ")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "ATTACH '{home}/other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET threads = 1",
        "SET lock_configuration = false",
        "COPY datasets TO '{home}/out.csv'",
        "EXPORT DATABASE '{home}/out'",
        "SELECT * FROM read_text('{home}/uploads/../secret.txt')",
    ],
)
def test_no_statement_reaches_outside(store: Store, tmp_path: Path, statement: str) -> None:
    (tmp_path / "home" / "secret.txt").write_text("secret")
    with store._cursor() as cursor, pytest.raises(duckdb.Error):
        cursor.execute(statement.format(home=tmp_path / "home")).fetchall()


def test_uploads_can_be_read(store: Store, tmp_path: Path) -> None:
    (tmp_path / "home" / "uploads" / "a.csv").write_text("a,b\n1,2\n")
    with store._cursor() as cursor:
        found = cursor.execute(f"SELECT * FROM read_csv('{tmp_path}/home/uploads/a.csv')").fetchall()
    assert found == [(1, 2)]


def test_many_threads_at_once(store: Store) -> None:
    """Page threads read while others write: no conflict, no mixed results, nothing lost."""
    kept = [hourly(noise(300 + k, 2)) for k in range(4)]
    ids = [store.add_dataset(series, card(series)) for series in kept]
    store.add_run("shared", "", "{}", "running", Path("x"))
    problems: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for n in range(12):
                series = kept[(k + n) % 4]
                assert store.series(ids[(k + n) % 4]).fingerprint == series.fingerprint
                assert len(store.overview(ids[(k + n) % 4], pixels=20)) <= 160
                store.update_run("shared", state=f"{k}-{n}")
                store.add_run(f"{k}-{n}", "", "{}", "queued", Path("x"))
                if n % 4 == 0:
                    store.delete_dataset(store.add_dataset(series, card(series)))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(store.runs()) == 1 + 6 * 12
    assert len(store.datasets()) == 4


# The file


def script(tmp_path: Path, body: str) -> list[str]:
    head = (
        "import sys; from pathlib import Path; from core.store.store import Store\n"
        f"home = Path({str(tmp_path)!r})\nstore = Store(home / 'a.duckdb', home / 'uploads', memory='200MB')\n"
    )
    return [sys.executable, "-c", head + body]


def test_a_second_server_is_told_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.duckdb", tmp_path / "uploads")
    store.add_run("mine", "", "{}", "queued", tmp_path)
    second = subprocess.run(script(tmp_path, ""), capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert second.returncode != 0
    assert "UserError: Another Scalescope server already uses the folder" in second.stderr
    assert store.run("mine").id == "mine"
    store.close()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    body = (
        "for k in range(10_000):\n    store.add_run(f'{k:05d}', '', '{}', 'queued', home)\n    print(k, flush=True)\n"
    )
    worker = subprocess.Popen(script(tmp_path, body), stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert worker.stdout is not None
    for line in worker.stdout:
        if int(line) >= 30:
            os.kill(worker.pid, signal.SIGKILL)
            break
    acknowledged = [int(line) for line in worker.stdout]
    worker.wait()
    store = Store(tmp_path / "a.duckdb", tmp_path / "uploads")
    kept = {run.id for run in store.runs()}
    assert {f"{k:05d}" for k in range(max([30, *acknowledged]) + 1)} <= kept
    store.close()


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    series = hourly(noise(3_000, 2, missing=0.1))
    store = Store(tmp_path / "a.duckdb", tmp_path / "uploads")
    first = store.add_dataset(series, card(series))
    store.delete_dataset(store.add_dataset(series, card(series)))
    store.close()
    store = Store(tmp_path / "a.duckdb", tmp_path / "uploads")
    assert store.series(first).fingerprint == series.fingerprint
    assert len(store.overview(first)) <= 4_000
    store.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    path.write_bytes(b"these are not the bytes you are looking for" * 500)
    before = path.read_bytes()
    with pytest.raises(UserError, match="nothing was changed"):
        Store(path, tmp_path / "uploads")
    assert path.read_bytes() == before


def test_a_version_one_file_is_brought_forward(tmp_path: Path) -> None:
    first = "-- version 1\n" + sections(SCHEMA.read_text())[0]
    second = first + "\n-- version 2\nALTER TABLE runs ADD COLUMN tags VARCHAR DEFAULT 'none';\n"
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as connection:
        assert migrate(connection, first) == 1
        connection.execute("INSERT INTO runs VALUES ('a', 'd', 'n', 'done', '{}', NULL, 'x', now(), NULL)")
    with duckdb.connect(str(path)) as connection:
        assert migrate(connection, second) == 2
        assert migrate(connection, second) == 2
        assert connection.execute("SELECT id, tags FROM runs").fetchall() == [("a", "none")]
        assert connection.execute("SELECT version FROM schema_version ORDER BY 1").fetchall() == [(1,), (2,)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        migrate(connection, "-- version 1\nCREATE TABLE a (x INTEGER);\n")
        with pytest.raises(duckdb.Error):
            migrate(connection, "-- version 1\n\n-- version 2\nCREATE TABLE b (x INTEGER); SELECT * FROM nowhere;\n")
        names = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        assert names == ["a", "schema_version"]
        assert connection.execute("SELECT max(version) FROM schema_version").fetchall() == [(1,)]


def test_a_file_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    Store(path, tmp_path / "uploads").close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, now()::TIMESTAMP)")
    with pytest.raises(UserError, match=r"version 99.*newer Scalescope"):
        Store(path, tmp_path / "uploads")

"""A query box over one dataset: one SELECT, its own rows, bounded; nothing else can be reached or changed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.data.card import Audit, DatasetCard
from core.data.series import Series
from core.errors import UserError
from core.store.store import Store

NAMES = ("load", "Load", 'a "b"; DROP TABLE datasets', "<b>x</b>")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "s.duckdb", tmp_path / "uploads")
    yield opened
    opened.close()


@pytest.fixture
def id(store: Store) -> str:
    times = np.datetime64("2024-01-01", "us") + np.arange(500) * np.timedelta64(3_600_000_000, "us")
    values = np.arange(500 * len(NAMES), dtype=np.float32).reshape(500, -1)
    series = Series("waves", times, values, NAMES)
    card = DatasetCard.of(series, Audit(rows=500, step="1 hour", start="", end=""), time_column="when")
    return store.add_dataset(series, card)


def test_columns_have_the_names_they_came_with(store, id):
    assert store.query_columns(id) == ["when", "load", "Load (2)", *NAMES[2:]]
    found = store.query(id, 'SELECT "a ""b""; DROP TABLE datasets" AS x, "Load (2)" FROM data ORDER BY "when" LIMIT 2')
    assert found.table.to_pydict() == {"x": [2.0, 6.0], "Load (2)": [1.0, 5.0]} and not found.cut
    assert len(store.datasets()) == 1


def test_a_result_is_what_the_rows_say(store, id):
    sql = """
    -- the mean of each day
    WITH days AS (SELECT date_trunc('day', "when") AS day, load FROM data)
    SELECT day, avg(load) AS mean, count(*) AS n FROM days GROUP BY day ORDER BY day;
    """
    table = store.query(id, sql).table
    load = store.series(id).values[:, 0]
    assert table.column("n").to_pylist() == [24] * 20 + [20]
    np.testing.assert_allclose(table.column("mean")[3].as_py(), load[72:96].mean())
    for fine in (
        "FROM data",
        "SELECT * FROM data d JOIN range(3) r ON true",
        "SELECT x FROM unnest([1, 2]) AS t(x)",
        "VALUES (1)",
        "SELECT get_bit('1'::BIT, 0)",
    ):
        store.query(id, fine)


REFUSED = {
    "": "no statement",
    "SELECT 1; SELECT 2": "2 statements",
    "SELEC 1": "syntax error",
    "SELECT nothing FROM data": "nothing",
    "INSERT INTO data VALUES (1)": "INSERT",
    "DROP TABLE data": "DROP",
    "CREATE TABLE x AS SELECT 1": "CREATE",
    "COPY data TO 'x.csv'": "COPY",
    "ATTACH 'x.db'": "ATTACH",
    "SET memory_limit = '1GB'": "SET",
    "PRAGMA database_list": "PRAGMA",
    "EXPLAIN ANALYZE SELECT 1": "EXPLAIN",
    "INSTALL httpfs": "only a SELECT",
    "SHOW TABLES": "not run here",
    "DESCRIBE runs": "not run here",
    "SUMMARIZE datasets": "not run here",
    "SELECT * FROM runs": "no table 'runs'",
    "SELECT * FROM main.datasets": "no table 'main.datasets'",
    "SELECT * FROM information_schema.tables": "no table",
    "SELECT * FROM sqlite_master": "no table",
    "SELECT (SELECT max(card) FROM datasets) FROM data": "no table 'datasets'",
    "SELECT * FROM data WHERE EXISTS (FROM runs)": "no table 'runs'",
    "SELECT * FROM data UNION ALL SELECT * FROM runs": "no table 'runs'",
    "SELECT * FROM runs, (WITH runs AS (SELECT 1) SELECT * FROM runs)": "'runs' is taken",
    "SELECT * FROM '/etc/passwd'": "no table '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')": "read_csv cannot",
    "SELECT * FROM read_text('/etc/passwd')": "read_text cannot",
    "SELECT * FROM glob('/*')": "glob cannot",
    "SELECT * FROM duckdb_settings()": "duckdb_settings cannot",
    "SELECT * FROM query('FROM runs')": "query cannot",
    "SELECT * FROM query_table('runs')": "query_table cannot",
    "SELECT getenv('HOME')": "getenv",
    "SELECT current_setting('memory_limit')": "current_setting",
    "SELECT 'HOME'.getenv()": "getenv",
    "SELECT sleep_ms(100000)": "sleep_ms",
    "SELECT error('no')": "no",
    "SELECT repeat('x', 60000000)": "too large to show",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_everything_else_is_a_sentence_and_changes_nothing(store, id, sql):
    before = store.datasets()
    with pytest.raises(UserError) as caught:
        store.query(id, sql)
    assert REFUSED[sql] in str(caught.value), str(caught.value)
    assert "values_" not in str(caught.value)
    assert store.datasets() == before and len(store.series(id)) == 500


def test_columns_of_one_name_are_told_apart(store, id):
    assert store.query(id, 'SELECT load, load, 1 AS "LOAD" FROM data').table.column_names == [
        "load",
        "load (2)",
        "LOAD (3)",
    ]


def test_what_is_large_is_cut_before_it_is_shown(store, id):
    found = store.query(id, "SELECT repeat('x', 10000) FROM range(9000)")
    assert found.cut and 0 < found.table.num_rows < 9_000 and found.table.nbytes <= 50_000_000


def test_rows_are_bounded_and_a_cut_is_said(store, id):
    found = store.query(id, "SELECT r.range FROM range(1000000) r")
    assert found.table.num_rows == 10_000 and found.cut
    assert not store.query(id, "SELECT r.range FROM range(10000) r").cut


SLOW = "SELECT sum(sin(a.range * b.range)) FROM range(1000000) a, range(1000000) b"


def test_a_slow_query_is_stopped_and_others_go_on(store, id):
    begun, others = time.monotonic(), []
    slow = threading.Thread(target=lambda: others.append(len(store.series(id))))
    threading.Timer(0.3, slow.start).start()
    with pytest.raises(UserError, match=r"more than 0\.8 seconds"):
        store.query(id, SLOW, seconds=0.8)
    assert time.monotonic() - begun < 10
    slow.join()
    assert others == [500]


def test_a_query_is_cancelled(store, id):
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(UserError, match="cancelled"):
        store.query(id, SLOW, cancel)
    assert store.query(id, "SELECT count(*) AS n FROM data").table.to_pydict() == {"n": [500]}

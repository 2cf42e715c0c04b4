"""The command line as a script uses it: a process a command, results on stdout, sentences and exit codes for faults."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import core
from core.evaluate.run import LoadedRun
from core.jobs.directory import JobDirectory
from core.training.events import Cancelled
from tests.jobs.conftest import waves

ROOT = Path(core.__file__).parents[1]
SMALL = ["--lookback", "32", "--horizon", "8", "--config", '{"patch": 8, "width": 8}', "--preset", "quick"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home):
    """Runs one command in a process of its own."""

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "core", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"SCALESCOPE_HOME": str(home)},
            capture_output=True,
            text=True,
        )

    return command


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    series, path = waves(), tmp_path_factory.mktemp("data") / "waves.csv"
    with path.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["date", *series.variates])
        for stamp, values in zip(series.times, series.values, strict=True):
            rows.writerow([str(stamp).replace("T", " ").split(".")[0], *values])
    return path


@pytest.fixture(scope="module")
def trained(run, file, tmp_path_factory):
    """A run's folder, and what train said."""
    out = tmp_path_factory.mktemp("out") / "run"
    done = run("train", "--dataset", file, *SMALL, "--seed", 7, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_file_is_read_and_mended_again_as_the_repairs_say(run, tmp_path):
    messy = tmp_path / "messy.csv"
    rows = [f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00,{i % 7}" for i in range(96)]
    rows[5], rows[9] = "2024-01-01 05:00,-9999", "2024-01-01 09:00,n/a"
    messy.write_text("\n".join(["when,load", *rows, "=SUM(A1),3"]) + "\n")
    first = json.loads(run("ingest", messy, "--json").stdout)
    offered = [offer for finding in first["audit"]["findings"] for offer in finding["offers"] if offer["proposed"]]
    assert [offer["change"] for offer in offered] == [{"missing_values": [-9999.0]}]
    repairs, rejected = tmp_path / "repairs.json", tmp_path / "rejected.csv"
    repairs.write_text(json.dumps(offered[0]["change"] | {"fill": "linear", "step": "1 day", "aggregate": "sum"}))
    done = run("ingest", messy, "--repairs", repairs, "--rejected", rejected, "--json")
    card = json.loads(done.stdout)
    assert (card["rows"], card["step"]) == (4, "1 day")
    assert any("-9999" in repair for repair in card["repairs"])
    assert rejected.read_text().splitlines() == [
        "row,column,reason,text",
        "11,load,not a number; the cell became missing,n/a",
        "98,when,the time cannot be read; the row was left out,'=SUM(A1)",
    ]
    again = tmp_path / "card.json"
    again.write_text(done.stdout)  # a card holds its choice
    assert json.loads(run("ingest", messy, "--repairs", again, "--json").stdout)["fingerprint"] == card["fingerprint"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as repairs"),
        ("{}", "holds no repairs"),
        ('{"fil": "linear"}', "no meaning for 'fil'"),
        ('{"fill": "magic"}', "fill"),
        ('{"value_columns": ["nothing"]}', "no column 'nothing'"),
        ('{"step": "1 hour", "time_column": null}', "need times"),
    ],
)
def test_repairs_that_mean_nothing_are_sentences(run, file, tmp_path, content, words):
    path = tmp_path / "repairs.json"
    path.write_text(content)
    done = run("ingest", file, "--repairs", path)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_help_loads_nothing_heavy():
    script = """
import sys
sys.argv = ["core", "--help"]
try:
    from core.__main__ import main
    main()
except SystemExit:
    pass
print([m for m in ("torch", "pandas", "duckdb", "streamlit", "pyarrow", "numpy") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("ingest", "train", "forecast", "explain", "parity", "bench", "doctor"):
        assert command in done.stdout


def test_ingest_prints_the_audit(run, file, home):
    card = json.loads(run("ingest", file, "--json").stdout)
    assert (card["rows"], card["time_column"], card["stored"]) == (600, "date", False)
    assert card["variates"] == list(waves().variates)
    assert card["audit"]["findings"] == []
    assert not (home / "scalescope.duckdb").exists()


def test_ingest_adds_to_the_database_where_asked(run, file, home):
    card = json.loads(run("ingest", file, "--json", "--store", "--name", "mine").stdout)
    from core.store.store import Store

    store = Store(home / "scalescope.duckdb", home / "uploads")
    try:
        assert store.dataset(card["id"]).name == "mine"
        assert store.series(card["id"]).fingerprint == card["fingerprint"]
    finally:
        store.close()


def test_train_ends_with_one_line_of_numbers(trained):
    out, done = trained
    result = json.loads(done.stdout.splitlines()[-1])
    assert {"mse", "mae", "epochs", "seconds_per_epoch", "parameters"} <= result.keys()
    assert (result["state"], result["seed"], result["lookback"], result["horizon"]) == ("finished", 7, 32, 8)
    assert result["mse"] == LoadedRun.open(out).card["metrics"]["mse"]
    assert "epoch 1/" in done.stderr


def test_train_leaves_the_folder_of_a_job(trained):
    out, _ = trained
    assert {f.name for f in out.iterdir()} >= {
        "spec.json",
        "series",
        "events.jsonl",
        "checkpoint.safetensors",
        "card.json",
    }
    assert JobDirectory(out).state() == "finished"


def test_the_same_seed_gives_the_same_numbers(run, file, trained, tmp_path):
    done = run("train", "--dataset", file, *SMALL, "--seed", 7, "--out", tmp_path / "again", "--json")
    assert json.loads(done.stdout)["mse"] == json.loads(trained[1].stdout)["mse"]


def test_train_takes_columns_and_recipe_fields(run, file, tmp_path):
    out = tmp_path / "run"
    recipe = '{"epochs": 1, "batch_size": 32}'
    done = run("train", "--dataset", file, *SMALL, "--variates", "load", "--recipe", recipe, "--out", out, "--json")
    assert json.loads(done.stdout)["epochs"] == 1
    spec = JobDirectory(out).spec()
    assert (spec.variates, spec.targets, spec.recipe.batch_size) == (("load",), ("load",), 32)


def test_train_takes_what_is_known_in_advance_and_names_it_where_it_is_ignored(run, file, tmp_path):
    about = ["--calendar", "hour,holiday", "--country", "de", "--known", "load", "--recipe", '{"epochs": 1}', "--json"]
    small = [*SMALL[:4], *SMALL[6:]]
    done = run("train", "--dataset", file, *small, *about, "--model", "itransformer", "--out", tmp_path / "able")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["covariates"] == [
        *("load", "hour of day, sine", "hour of day, cosine", "holiday in DE", "holiday in DE, 8 ahead"),
        "load, 8 ahead",
    ]
    assert result["ignored"] == "" and JobDirectory(tmp_path / "able").spec().targets == waves().variates[1:]
    assert "needs 'load' of the 8 steps ahead" in run("forecast", tmp_path / "able", file).stderr
    assert len(json.loads(run("forecast", tmp_path / "able", file, "--window", 0, "--json").stdout)["truth"]) == 1

    longer = tmp_path / file.name  # rows that hold what is known of the steps to come, and nothing else
    last = waves().times[-1]
    rows = [f"{last + np.timedelta64(i, 'h')},{i / 10}," for i in range(1, 9)]
    stamps = [row.replace("T", " ").replace(".000000", "") for row in rows]
    longer.write_text(file.read_text() + "\n".join(stamps) + "\n")
    beyond = list(csv.reader(io.StringIO(run("forecast", tmp_path / "able", longer).stdout)))
    assert len(beyond) == 1 + 8 and beyond[1][0] == "2020-01-26 00:00:00" and all(row[1] for row in beyond[1:])
    again = run("train", "--dataset", longer, *small, *about, "--model", "itransformer", "--out", tmp_path / "longer")
    assert again.returncode == 0, again.stderr
    assert JobDirectory(tmp_path / "longer").spec().split.test == len(waves())

    done = run("train", "--dataset", file, *small, *about, "--model", "dlinear", "--out", tmp_path / "not")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["covariates"] == [] and "ignored: hour of the day, holidays, load." in result["ignored"]
    assert result["ignored"] in done.stderr


def test_ctrl_c_keeps_the_best_model(file, tmp_path, home):
    out = tmp_path / "run"
    long = ["--recipe", '{"epochs": 5000, "patience": 1000, "batch_size": 16}']
    process = subprocess.Popen(
        [sys.executable, "-m", "core", "train", "--dataset", file, *SMALL, *long, "--out", out, "--json"],
        cwd=ROOT,
        env=os.environ | {"SCALESCOPE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    job, deadline = JobDirectory(out), time.monotonic() + 60
    while not job.best_epoch() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert json.loads(stdout)["state"] == "cancelled"
    assert isinstance(job.last_word(), Cancelled)
    assert LoadedRun.open(out).card["best_epoch"] >= 1


def test_forecast_goes_beyond_the_end(run, file, trained):
    rows = list(csv.reader(io.StringIO(run("forecast", trained[0], file).stdout)))
    assert rows[0] == ["time", *waves().variates]
    assert [row[0] for row in rows[1:3]] == ["2020-01-26 00:00:00", "2020-01-26 01:00:00"]
    assert len(rows) == 1 + 8
    expected = LoadedRun.open(trained[0]).forecast(waves().values[-32:])
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), expected, rtol=1e-4, atol=1e-5)


def test_forecast_of_a_test_window_has_the_truth_beside_it(run, file, trained):
    about = json.loads(run("forecast", trained[0], file, "--window", 0, "--json").stdout)
    assert about["truth"].keys() == about["forecast"].keys() == set(waves().variates)
    assert len(about["times"]) == len(about["truth"]["load"]) == 8


def test_explain_gives_both_maps_and_what_to_think_of_them(run, file, trained):
    about = json.loads(run("explain", trained[0], file, "--window", 3, "--json").stdout)
    assert list(about["saliency"]) == ["published", "corrected"]
    assert all(len(found["values"]) == len(about["times"]) == 32 for found in about["saliency"].values())
    assert sum(scale["share"] for scale in about["scales"]) == pytest.approx(1)
    assert about["relevance"].endswith(".")
    assert about["milliseconds"]["median"] > 0


def test_explain_by_methods_that_work_for_any_model(run, file, trained):
    about = json.loads(run("explain", trained[0], file, "--method", "gradient,occlusion", "--step", 3, "--json").stdout)
    assert list(about["methods"]) == ["gradient", "occlusion"] and about["scores"] == []
    for found in about["methods"].values():
        assert np.array(found["values"]).shape == (32, 2) and found["signed"]
        assert found["per_step"] == pytest.approx(np.abs(found["values"]).sum(1).tolist(), rel=1e-4)
    together = json.loads(run("explain", trained[0], file, "--method", "occlusion", "--json").stdout)
    assert not together["methods"]["occlusion"]["signed"] and min(together["methods"]["occlusion"]["per_step"]) >= 0


def test_explain_scores_every_map_against_a_truth(run, file, trained, tmp_path):
    name = waves().variates[0]
    rule = {"target": name, "features": [name], "lags": [24], "weights": [[1.0]]}
    (tmp_path / "rule.json").write_text(json.dumps(rule))
    asked = ["--method", "all", "--step", 1, "--score", 4, "--truth", tmp_path / "rule.json"]
    done = run("explain", trained[0], file, *asked, "--json")
    assert done.returncode == 0, done.stderr
    scores = {found["name"]: found for found in json.loads(done.stdout)["scores"]}
    assert {"gradient", "occlusion", "published", "corrected", "random", "uniform", "ceiling"} <= scores.keys()
    assert scores["uniform"]["step"]["auprc"] == pytest.approx([1 / 32] * 3)
    assert "Gradient: AUPRC" in run("explain", trained[0], file, *asked).stdout


def test_explain_scores_without_a_truth_by_what_the_forecast_does(run, file, trained):
    asked = ["--method", "gradient,random", "--step", 1, "--score", 4]
    about = json.loads(run("explain", trained[0], file, *asked, "--json").stdout)
    assert about["scores"] == [] and about["no_truth"].startswith("No truth is known")
    found = {one["name"]: one for one in about["faithful"]}
    assert list(found) == ["published", "corrected", "gradient", "random"]
    assert all(one["scores"]["comprehensiveness"][0] >= 0 and one["times_random"] > 0 for one in found.values())
    assert found["random"]["times_random"] == 1
    text = run("explain", trained[0], file, *asked).stdout
    assert "No truth is known" in text and "times as much as random" in text


def test_all_methods_are_those_that_the_model_can_answer(run, file, tmp_path):
    options = [*SMALL[:4], "--preset", "quick"]
    assert not run("train", "--dataset", file, *options, "--model", "softs", "--out", tmp_path / "run").returncode
    done = run("explain", tmp_path / "run", file, "--method", "all", "--score", 2, "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert "occlusion" in about["methods"] and "leave_scale_out" not in about["methods"]
    assert about["no_truth"] == "A truth belongs to one step ahead. Choose a step." and len(about["faithful"]) > 5


def test_study_list_says_what_there_is_and_how_long_it_takes(run):
    lines = run("study", "list").stdout.splitlines()
    assert [line.split(":")[0] for line in lines][:2] == ["saliency", "readings"]
    assert all("minutes on two cores" in line for line in lines)


def test_parity_reads_the_model_from_the_file(run, shared):
    done = run("parity", shared / "parity" / "crossscalenet_a.safetensors")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["model"] == "crossscalenet"
    assert max(report["max_abs_error"], report["saliency_max_abs_error"]) <= 1e-5


def test_bench_runs_a_grid_once_and_writes_its_table(run, file, tmp_path):
    out = tmp_path / "out"
    grid = ["--datasets", file, "--models", "crossscalenet", *SMALL[:2], "--preset", "quick", "--out", out / "a.csv"]
    grid += ["--config", SMALL[5], "--recipe", '{"epochs": 1}', "--workers", 2, "--threads", 1]
    done = run("bench", *grid, "--horizons", "4,8", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout)
    assert (about["cells"], about["finished"], about["failed"], about["missing"]) == (2, 2, 0, 0)
    assert [Path(name).name for name in about["files"]] == ["a.jsonl", "a.csv", "a.md"]
    assert sorted(f.name for f in out.iterdir()) == ["a.csv", "a.jsonl", "a.md"]
    before = (out / "a.jsonl").read_text()
    more = run("bench", *grid, "--horizons", "4,8,5000", "--seeds", 1)
    assert more.returncode == 1
    assert "3 cells: 2 have a result, 1 to run." in more.stderr and "The nearest that works" in more.stderr
    assert (out / "a.jsonl").read_text().startswith(before)
    table = list(csv.DictReader((out / "a.csv").open()))
    assert [row["horizon"] for row in table] == ["4", "8"]
    text = (out / "a.md").read_text()
    assert "--datasets waves.csv" in text and str(tmp_path) not in text


def test_doctor_says_what_runs(run, home):
    about = json.loads(run("doctor", "--json").stdout)
    assert about["home"] == str(home)
    assert about["device"].split()[0] in ("cpu", "cuda")
    assert about["selective scan, cpu"].split(":")[0] in ("compiled loop", "torch")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "{tmp}/none.csv"], "There is no file"),
        (["ingest", "{tmp}"], "There is no file"),
        (["train", "--dataset", "{file}", "--out", "{out}"], "is not empty"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--model", "nix"], "There is no architecture"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--config", "{{"], "--config is not JSON"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--recipe", "[]"], "must be a JSON object"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--recipe", '{{"epoch": 1}}'], "epoch"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--variates", "wind"], "There is no column 'wind'"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--lookback", "500"], "The nearest that works"),
        (
            ["train", "--dataset", "{file}", "--out", "{tmp}/x", *SMALL[:4], "--config", '{{"patch": 64}}'],
            "A patch of 64 steps",
        ),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--calendar", "tide"], "calendar"),
        (["train", "--dataset", "{file}", "--out", "{tmp}/x", "--calendar", "holiday"], "Holidays need a country"),
        (["forecast", "{tmp}", "{file}"], "no saved model"),
        (["forecast", "{out}", "{file}", "--window", "9999"], "There is no test window"),
        (["explain", "{out}", "{file}", "--window", "-1"], "There is no test window"),
        (["explain", "{out}", "{file}", "--method", "shap"], "There is no method"),
        (["explain", "{out}", "{file}", "--method", "gradient", "--step", "99"], "this model forecasts 1 to 8"),
        (["explain", "{out}", "{file}", "--method", "gradient", "--baseline", "median"], "mean, zero"),
        (["explain", "{out}", "{file}", "--score", "3", "--truth", "syn1"], "one step ahead"),
        (["explain", "{out}", "{file}", "--score", "3", "--step", "2", "--truth", "syn1"], "known for y only"),
        (["explain", "{out}", "{file}", "--score", "3", "--step", "2", "--truth", "{tmp}/no"], "No truth can be read"),
        (["parity", "{file}"], "cannot be read"),
        (["study", "nix"], "There is no study called"),
        (["study", "saliency", "--out", "{tmp}"], "is a folder"),
        (["bench", "--datasets", "{tmp}/none.csv", "--out", "{tmp}/x"], "There is no file"),
        (["bench", "--datasets", "{file},{file}", "--out", "{tmp}/x", "--models", "nix"], "There is no architecture"),
        (["bench", "--datasets", "{file}", "--out", "{tmp}/x", "--models", ","], "--models names nothing"),
        (["bench", "--datasets", "{file}", "--out", "{tmp}/x", "--horizons", "96,x"], "'x' is not a number of steps"),
        (["bench", "--datasets", "{file}", "--out", "{tmp}/x", "--horizons", "9000"], "The nearest that works"),
        (["bench", "--datasets", "{file}", "--out", "{tmp}"], "is a folder"),
        (["bench", "--datasets", "{file}", "--out", "{file}/x"], "cannot be a folder"),
    ],
)
def test_faults_are_sentences_with_exit_code_2(run, file, trained, tmp_path, arguments, said):
    done = run(*(a.format(file=file, out=trained[0], tmp=tmp_path) for a in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "x").exists()

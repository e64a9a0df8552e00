"""Comparing: grids, tables of runs, and paired differences with their intervals.

Grids skip what is finished, resume what is not, and report what failed.
"""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from conftest import make_stream, quick
from joblib.parallel import get_active_backend
from pytest import approx

import conpet_lib as cp
from conpet_lib.analysis import grid as comparing
from conpet_lib.analysis.comparing import intervals
from conpet_lib.analysis.workers import results_of


@pytest.fixture
def grid(bert, tmp_path):
    """A call of `cp.grid` in one process, unless said otherwise."""

    def call(configs, seeds=(0, 1), streams=None, backbone=bert, **more):
        settings = {"processes": 1, "bar": False, **more}
        return cp.grid(
            streams or [make_stream(2)],
            backbone,
            configs,
            seeds,
            folder=tmp_path / "grid",
            cache=tmp_path / "cache",
            **settings,
        )

    return call


def test_a_grid_trains_what_is_missing_and_nothing_twice(grid, monkeypatch, tmp_path):
    trained = []
    train = comparing.train

    def recording_train(stream, backbone, config, seed, *rest, **more):
        trained.append((config.learner, seed))
        return train(stream, backbone, config, seed, *rest, **more)

    monkeypatch.setattr(comparing, "train", recording_train)
    first = grid([quick()], [0])
    table = grid([quick(), quick("vanilla")], [0, 1])
    assert trained == [("static", 0), ("static", 1), ("vanilla", 0), ("vanilla", 1)]
    assert table["finished"].all()
    assert table["problem"].eq("").all()
    assert first.iloc[0].equals(table.iloc[0][first.columns])
    seeds_found = cp.runs_table(tmp_path).set_index("folder")["seed"]
    seeds_made = table.set_index("folder")["seed"]
    assert seeds_found.sort_index().equals(seeds_made.sort_index())
    grid([quick(), quick("vanilla")], [0, 1])
    assert len(trained) == 4


def test_a_grid_says_how_many_runs_were_there(grid, capsys):
    grid([quick()], [0])
    grid([quick(), quick("vanilla")], [0, 1], bar=True)
    assert "runs: 1 of 4 were there" in capsys.readouterr().err


def test_a_run_that_fails_is_reported_at_the_end_and_the_others_are_kept(grid):
    bad = quick(targets=("nothing",))
    message = "2 of 4 runs did not finish; the same call tries them again"
    with pytest.warns(UserWarning, match=message) as told:
        table = grid([bad, quick()])
    assert str(told[0].message).count("No Linear module is named nothing") == 2
    assert table["problem"].str.contains("No Linear module").tolist() == [True, True, False, False]
    assert table["finished"].tolist() == [False, False, True, True]
    with pytest.raises(cp.ConpetError, match="is not finished"):
        cp.compare(table)


@pytest.mark.long
def test_a_grid_in_several_processes_gives_the_same_runs(grid, tmp_path, capfd):
    alone = grid([quick("dynamic")])
    (tmp_path / "grid").rename(tmp_path / "alone")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        table = grid([quick("dynamic")], processes=2, bar=True)
    names = ["average accuracy", "forgetting", "steps", "seed", "stream"]
    assert table[names].equals(alone[names])
    assert "2/2" in capfd.readouterr().err


def long_grid(backbone, place, processes: int) -> pd.DataFrame:
    return cp.grid(
        [make_stream(2)],
        backbone,
        [quick(batch_limit=100), quick("dynamic", batch_limit=100)],
        [0],
        folder=place / "grid",
        bar=False,
        cache=place / "cache",
        processes=processes,
    )


def grid_to_be_killed(model: str, place) -> None:
    long_grid(cp.load_backbone(model, tuned_layers=2, device="cpu"), place, processes=2)


@pytest.mark.long
def test_a_grid_that_is_killed_goes_on_and_its_workers_let_go(tiny_models, bert, tmp_path):
    # A process that is spawned, not forked, because joblib's workers of an earlier test would not
    # work in a fork.
    spawn = multiprocessing.get_context("spawn")
    parent = spawn.Process(target=grid_to_be_killed, args=(tiny_models["bert"], tmp_path))
    parent.start()
    deadline = time.monotonic() + 300  # on a busy machine
    while len(list((tmp_path / "grid").glob("*/run.json"))) < 2:
        assert time.monotonic() < deadline
        assert parent.is_alive()
        time.sleep(0.01)
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert not cp.runs_table(tmp_path)["finished"].any()
    table = long_grid(bert, tmp_path, processes=1)
    assert table["finished"].all()
    assert table["problem"].eq("").all()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, "exit"])
def test_a_worker_that_is_killed_costs_its_job_alone(how):
    def work(job):  # nested, so that it travels by value
        import os

        if job != 2:
            return job
        if how == "exit":
            os._exit(0)
        return os.kill(os.getpid(), how)

    results = results_of(work, range(6), processes=2, when_killed=lambda job: f"{job} killed")
    assert sorted(results, key=str) == [0, 1, "2 killed", 3, 4, 5]


def test_an_error_of_a_job_ends_the_workers_and_is_raised():
    def work(job):
        import os

        return os.getpid() if job < 3 else 1 / 0

    found = []
    with pytest.raises(ZeroDivisionError):
        for number in results_of(work, range(4), processes=2, when_killed=str):
            found.append(number)
    assert found and not any(psutil.pid_exists(number) for number in found)


# A shell that starts a command behind it has it ignore Ctrl-C, and so do the processes it starts.
CALLER = """
import signal, sys, time

signal.signal(signal.SIGINT, signal.default_int_handler)

from conpet_lib.analysis.workers import results_of


def work(job):
    import os, pathlib, time

    pathlib.Path(job).write_text(str(os.getpid()))
    time.sleep(600)


list(results_of(work, sys.argv[1:], processes=2, when_killed=str))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_workers_of_a_process_that_ends_do_not_stay(how, tmp_path):
    notes = [tmp_path / "one", tmp_path / "two"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cp.__file__).parents[1])}
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, *map(str, notes)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: all(note.is_file() and note.read_text() for note in notes))
    caller.send_signal(how)
    caller.wait(60)
    numbers = [int(note.read_text()) for note in notes]
    wait_until(lambda: not any(psutil.pid_exists(number) for number in numbers))


def wait_until(holds) -> None:
    deadline = time.monotonic() + 120  # on a busy machine
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_whose_worker_is_killed_is_not_finished_and_the_others_are(grid, monkeypatch):
    def stand_in(work, jobs, processes, when_killed):
        for job in jobs:
            yield when_killed(job) if job.seed == 1 else work(job)

    monkeypatch.setattr(comparing, "results_of", stand_in)
    with pytest.warns(UserWarning, match=r"1 of 3 runs did not finish.*\n.*worker process was"):
        table = grid([quick()], [0, 1, 2], processes=2)
    assert table["finished"].tolist() == [True, False, True]
    assert "worker process was killed" in table["problem"][1]


@pytest.mark.long
def test_the_same_call_runs_on_a_dask_cluster(grid, tmp_path):
    distributed = pytest.importorskip("distributed")

    def loaded():
        import sys

        return "conpet_lib.analysis.grid" in sys.modules

    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**settings) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert not any(client.run(loaded).values())
        with joblib.parallel_config(backend="dask"):
            table = grid([quick(), quick("dynamic")], processes=-1)
        assert any(client.run(loaded).values())
    (tmp_path / "grid").rename(tmp_path / "dask")
    alone = grid([quick(), quick("dynamic")])
    assert table["finished"].all()
    assert table["average accuracy"].equals(alone["average accuracy"])


@pytest.mark.long
def test_a_grid_on_a_cluster_ends_right_though_a_worker_is_killed(grid):
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**settings) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed = []

        def kill_when_one_works():
            pids = client.run(os.getpid)
            while not any(client.processing().values()):
                time.sleep(0.05)
            time.sleep(0.5)
            killed.append(next(iter(pids.values())))
            os.kill(killed[0], signal.SIGKILL)

        thread = threading.Thread(target=kill_when_one_works)
        thread.start()
        with joblib.parallel_config(backend="dask"):
            table = grid([quick(epochs=30)], range(4), processes=-1)
        thread.join()
    assert killed
    assert table["finished"].all() and table["problem"].eq("").all()


def test_a_grid_runs_where_results_come_at_the_end_alone(grid):
    with joblib.parallel_config(backend="multiprocessing"):
        assert not get_active_backend()[0].supports_return_generator
        table = grid([quick()], [0, 1], processes=2)
    assert table["finished"].all()


def test_a_worker_that_was_started_elsewhere_trains_where_the_caller_said(
    bert, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def from_elsewhere(work, jobs, processes, when_killed):
        monkeypatch.chdir(tmp_path.parent)
        yield from map(work, jobs)
        monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(comparing, "results_of", from_elsewhere)
    table = cp.grid([make_stream(2)], bert, [quick()], [0], "runs", 1, bar=False)
    assert table["finished"].all()
    assert not Path(table["folder"][0]).is_absolute()


@pytest.mark.parametrize(
    "device, processes, wanted, devices",
    [
        ("cpu", -1, -1, ["cpu"] * 3),
        ("cuda", -1, 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 1, 1, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda:1", -1, 1, ["cuda:1"] * 3),
        ("cuda:1", 2, 2, ["cuda:1"] * 3),
    ],
)
def test_runs_are_shared_out_among_gpus_and_a_named_one_is_the_one_used(
    bert, tmp_path, monkeypatch, device, processes, wanted, devices
):
    asked = []

    def record(work, jobs, processes, when_killed):
        asked.append((processes, [job.backbone[3] for job in jobs]))
        return iter(())

    monkeypatch.setattr(comparing, "results_of", record)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(bert, "device", torch.device(device))
    cp.grid([make_stream(2)], bert, [quick()], range(3), tmp_path, processes, bar=False)
    assert asked == [(wanted, devices)]


def test_a_table_of_runs_has_a_row_for_each_also_for_those_that_cannot_be_read(learned, tmp_path):
    readable = ("dynamic", "static")
    for kind in readable:
        shutil.copytree(learned[kind].folder, tmp_path / "deep" / kind)
    (tmp_path / "deep" / "vanilla").mkdir()
    (tmp_path / "deep" / "vanilla" / "run.json").write_text("{")
    table = cp.runs_table(tmp_path).set_index(pd.Index([*readable, "vanilla"]))
    assert table.loc["vanilla", "problem"].count("is not a run record") == 1
    assert table["problem"].eq("").sum() == 2
    for kind in readable:
        for name, value in learned[kind].summary().items():
            assert table.loc[kind, name] == value or np.isnan(value)
        assert table.loc[kind, "rank"] == 4
        assert table.loc[kind, "tasks"] == 3
    assert table.loc["dynamic", "active"] == 1
    assert np.isnan(table.loc["static", "active"])


def table_of(**sides: list[float]) -> pd.DataFrame:
    """Finished runs of one stream, one seed per value."""
    fields = {
        "problem": "",
        "finished": True,
        "stream": "s",
        "fingerprint": "b",
        "exit_layer": 1,
        "tuned_layers": 1,
        "max_tokens": 9,
        "learner": "static",
        **asdict(quick("static")),
    }
    rows = []
    for learner, values in sides.items():
        for seed, value in enumerate(values):
            row = {
                **fields,
                "folder": f"{learner}-{seed}",
                "learner": learner,
                "seed": seed,
                "average accuracy": value,
            }
            rows.append(row)
    return pd.DataFrame(rows)


def test_a_paired_comparison_worked_by_hand():
    row = cp.compare(table_of(static=[0.80, 0.70, 0.90], vanilla=[0.10, 0.04, 0.16])).iloc[0]
    # The differences are .70, .66, .74: mean .70, standard error .04 / sqrt(3),
    # t(2, 97.5 %) 4.3027 (Student's table).
    half_width = 4.3027 * 0.04 / 3**0.5
    assert row["difference"] == approx(0.70)
    assert (row["one"], row["other"]) == ("static", "vanilla")
    assert row["low"] == approx(0.70 - half_width, abs=1e-5)
    assert row["high"] == approx(0.70 + half_width, abs=1e-5)
    assert row["bootstrap low"] == approx(0.66)
    assert row["bootstrap high"] == approx(0.74)
    assert row["agree"]
    assert row["pairs"] == row["seeds"] == 3
    assert row["not held equal"] == ""
    swapped = cp.compare(table_of(vanilla=[0.1, 0.2], static=[0.2, 0.1])).iloc[0]
    assert swapped["difference"] == approx(0)


def test_intervals_that_disagree_are_shown_as_such():
    apart = intervals(np.array([0.01, 0.05, 0.03]))
    assert not apart["agree"]  # t's interval holds zero, the bootstrap's does not
    assert intervals(np.array([0.01, -0.05, 0.03]))["agree"]
    same = intervals(np.array([0.2, 0.2, 0.2]))
    for bound in ("low", "high", "bootstrap low", "bootstrap high"):
        assert same[bound] == approx(0.2)
    assert np.isnan(intervals(np.array([0.2]))["low"])


def test_the_t_interval_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    t_hits = []
    bootstrap_hits = []
    for _ in range(300):
        found = intervals(draw.normal(0.1, 0.05, size=5))
        t_hits.append(found["low"] <= 0.1 <= found["high"])
        bootstrap_hits.append(found["bootstrap low"] <= 0.1 <= found["bootstrap high"])
    assert 0.92 < np.mean(t_hits) < 0.98
    assert np.mean(bootstrap_hits) < 0.92  # so few pairs are too few for the bootstrap


def test_runs_of_other_data_are_not_paired():
    table = table_of(static=[0.8, 0.7], vanilla=[0.1, 0.2])
    other = table.assign(stream=["s", "s", "s", "other"])
    message = r"(?s)paired by learner.*static +vanilla.*other +1 +0 +1"
    with pytest.raises(cp.ConpetError, match=message):
        cp.compare(other)
    with pytest.raises(cp.ConpetError, match=r"(?s)static +vanilla.*s +1 +1 +0"):
        cp.compare(table.drop(3))
    with pytest.raises(cp.ConpetError, match=r"(?s)static +vanilla.*s +0 +2 +1"):
        cp.compare(pd.concat([table, table.head(1).assign(rank=8)]))
    with pytest.raises(cp.ConpetError, match=r"Unknown column 'lerner'\. Did you mean 'learner'"):
        cp.compare(table, by="lerner")


def test_orders_are_streams_of_their_own_and_paired_by_seed():
    table = table_of(static=[0.8, 0.7], vanilla=[0.5, 0.6])
    orders = {"stream": ["s", "s", "other", "other"], "order_seed": [0, 0, 1, 1]}
    table = table.assign(learner="static", **orders)
    row = cp.compare(table, by="order_seed").iloc[0]
    assert (row["one"], row["other"], row["pairs"]) == ("0", "1", 2)
    assert row["difference"] == approx((0.3 + 0.1) / 2)
    message = r"paired by order_seed\. Each value needs one finished run on each seed,"
    with pytest.raises(cp.ConpetError, match=message):
        cp.compare(table.drop(3), by="order_seed")
    mixed = table.assign(corpus=["wordnet", "wordnet", "fewrel", "fewrel"])
    assert cp.compare(mixed, by="order_seed").iloc[0]["not held equal"] == "corpus"


def test_what_was_not_held_equal_is_named(learned):
    table = table_of(static=[0.8, 0.7], vanilla=[0.1, 0.2])
    table.loc[:1, "rank"] = 8
    table.loc[1, "later_learning_rate"] = 1e-4
    table.loc[0, "new_share"] = 0.25  # vanilla has no such setting
    assert cp.compare(table).iloc[0]["not held equal"] == "later_learning_rate, rank"
    by_rank = cp.compare(table, by="rank").iloc[0]  # one and other in the order of the table
    assert by_rank["not held equal"] == "later_learning_rate, learner"
    assert by_rank["difference"] == approx(0.6)
    found = cp.compare(list(learned.values()))
    pairs = list(itertools.combinations(learned, 2))
    assert list(zip(found["one"], found["other"])) == pairs
    last = {kind: run.average_accuracy.iloc[-1] for kind, run in learned.items()}
    differences = [last[one] - last[other] for one, other in pairs]
    assert found["difference"].tolist() == approx(differences)
    assert found["low"].isna().all()
    assert found["not held equal"].eq("").all()


def test_a_run_of_a_grid_is_what_train_gives(grid, bert, tmp_path):
    row = grid([quick("dynamic")], [3]).iloc[0]
    run = cp.train(make_stream(2), bert, quick("dynamic"), 3, tmp_path / "alone", bar=False)
    assert json.loads(json.dumps(row["average accuracy"])) == run.average_accuracy.iloc[-1]
    assert cp.load_run(row["folder"]).predictions.equals(run.predictions)

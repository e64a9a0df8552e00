"""The panels that train, driven in plain Python: values are set, buttons are clicked, the worker is waited for."""

import time

import pandas as pd
import pytest
from conftest import MAIN, make_corpus

import conpet_lib as cp
from conpet_lib import plots, widgets

COUNTS = {"train": 6, "valid": 3, "test": 3}
SETTINGS = {
    "batch_size": 8,
    "batch_limit": 4,
    "epochs": 2,
    "valid_examples": 12,
    "learning_rate": 1e-2,
}


@pytest.fixture
def panel(bert):
    """A panel on a tiny corpus of eight labels."""
    return widgets.TrainPanel(
        make_corpus(), bert, tasks=4, labels_per_task=2, counts=COUNTS, settings=SETTINGS
    )


def ended(panel) -> None:
    """Wait until the worker has put the panel back."""
    panel.worker.join(60)
    assert not panel.worker.is_alive()


def test_a_click_trains_and_leaves_a_finished_run_a_curve_and_words(panel):
    panel.train_button.click()
    assert panel.train_button.disabled and not panel.stop_button.disabled
    ended(panel)
    assert panel.run.finished and len(panel.run.average_accuracy) == 4
    assert bytes(panel.picture.value).startswith(b"\x89PNG") and panel.progress.value == 1
    assert "Done" in panel.status.value
    assert panel.stop_button.disabled and not panel.train_button.disabled


@pytest.mark.parametrize("learner", MAIN)
def test_the_code_of_the_panel_makes_the_same_run(panel, bert, learner):
    panel.controls["learner"].value = learner
    panel.controls["rank"].value = 2
    panel.controls["order_seed"].value = 3
    clicked = panel.train()
    names = {"cp": cp, "corpus": panel.streams.corpus, "backbone": bert}
    exec(panel.code, names)
    assert names["run"].folder == clicked.folder  # the folder is named by what the run is of
    assert names["run"].name == learner and names["run"].record.config["rank"] == 2


def test_another_setting_is_another_run(panel):
    first = panel.train()
    panel.controls["rank"].value = 2
    assert panel.train().folder != first.folder


def test_stop_leaves_a_run_that_a_second_click_finishes(panel, bert, tmp_path):
    tell = panel.told

    def told(step):
        if step.stage == 3 and step.doing == "module":
            panel.stop_button.click()
        return tell(step)

    panel.told = told
    panel.train_button.click()
    ended(panel)
    assert not panel.run.finished and panel.run.record.stages_done == 2
    assert "Stopped in stage 3 of 4" in panel.status.value
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    panel.told = tell
    resumed = panel.train()
    whole = cp.train(panel.stream, bert, panel.chosen, folder=tmp_path / "whole", bar=False)
    assert resumed.finished and resumed.predictions.equals(whole.predictions)


def test_the_curve_grows_when_a_stage_ends_and_not_only_at_the_end(panel):
    drawn = []
    panel.picture.observe(lambda change: drawn.append(panel.run.record.stages_done), "value")
    panel.train()
    assert drawn == [1, 2, 3, 4]


def test_a_second_click_while_training_starts_nothing(panel):
    panel.start()
    worker = panel.worker
    panel.start()
    assert panel.worker is worker
    ended(panel)


@pytest.mark.parametrize("setting, value", [("tasks", 9), ("labels_per_task", 5)])
def test_a_choice_that_cannot_be_is_explained_and_not_trained(panel, setting, value):
    panel.controls[setting].value = value
    assert "cannot be made" in panel.status.value and "8 labels" in panel.problem
    assert panel.train_button.disabled
    assert panel.train() is None
    panel.controls[setting].value = 2
    assert panel.problem == "" and not panel.train_button.disabled


def test_a_fault_in_the_worker_is_shown_in_words(panel, monkeypatch):
    def broken(*args, **kwargs):
        raise cp.ConpetError("the disk is full")

    monkeypatch.setattr(cp, "train", broken)
    panel.train_button.click()
    ended(panel)
    assert "did not work" in panel.status.value and "the disk is full" in panel.status.value
    assert not panel.train_button.disabled


def test_every_control_has_a_description_and_a_tooltip(panel):
    for control in [*panel.controls.values(), panel.train_button, panel.stop_button]:
        assert control.description and control.tooltip


def test_settings_are_plain_values(panel):
    assert panel.config == {
        "tasks": 4,
        "labels_per_task": 2,
        "grouping": "mixed",
        "split_seed": 0,
        "order_seed": 0,
        "labels": (),
        "learner": "static",
        "rank": 4,
    }


def test_the_panel_shows_itself_and_leaves_tables_for_pages_without_a_kernel(panel):
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert (
        "labels per task" in bundle["text/html"].replace("_", " ")
        and "cp.train(stream" in bundle["text/html"]
    )
    assert all(label in bundle["text/html"] for label in panel.stream.labels)


def test_a_click_returns_at_once(panel):
    start = time.perf_counter()
    panel.train_button.click()
    assert time.perf_counter() - start < 1 and panel.worker.is_alive()
    ended(panel)


def test_the_job_of_a_second_panel_waits_for_its_turn(panel):
    with widgets.TrainPanel.turn:
        panel.start()
        panel.worker.join(0.5)
        assert panel.worker.is_alive() and panel.run is None and "Waiting" in panel.status.value
    ended(panel)
    assert panel.run.finished


def test_a_run_that_stopped_can_be_asked_and_says_what_it_forgot(bert):
    panel = widgets.TrainPanel(
        make_corpus(), bert, tasks=2, labels_per_task=2, counts=COUNTS, settings=SETTINGS
    )
    assert (
        panel.ask("[amber] cedar number 3") is None and "Train a stage first" in panel.status.value
    )
    run = panel.train()
    answer = panel.ask("[amber] cedar number 3")
    assert (
        answer.equals(run.predict(["[amber] cedar number 3"])) and "wrong now" in panel.status.value
    )
    assert panel.ask("amber") is None and "[span]" in panel.status.value


@pytest.fixture
def ablation(bert):
    """Two values and two seeds of a tiny run."""
    return widgets.AblationPanel(
        make_corpus(),
        bert,
        factor="new_share",
        values="0.2, 0.8",
        tasks=2,
        labels_per_task=2,
        counts=COUNTS,
        settings=SETTINGS,
    )


def test_an_ablation_trains_each_value_with_each_seed_and_its_code_finds_the_same(ablation, bert):
    ablation.train()
    assert ablation.progress.value == 1 and "Done: 4 runs" in ablation.status.value
    assert ablation.results[["new_share", "seed"]].to_numpy().tolist() == [
        [0.2, 0],
        [0.8, 0],
        [0.2, 1],
        [0.8, 1],
    ]
    names = {
        "cp": cp,
        "pd": pd,
        "plots": plots,
        "corpus": ablation.streams.corpus,
        "backbone": bert,
    }
    exec(ablation.code, names)
    assert set(names["table"]["folder"]) == set(ablation.results["folder"])
    pd.testing.assert_frame_equal(names["pairs"], ablation.pairs)
    assert ablation.pairs.loc[0, "pairs"] == 2 and "not held equal" in ablation.table.value


def test_points_and_intervals_of_an_ablation_fill_in_as_runs_end(ablation):
    seen = []
    ablation.picture.observe(
        lambda change: seen.append(
            (
                len(ablation.results),
                len(ablation.pairs if ablation.pairs is not None else ())
                and ablation.pairs.loc[0, "pairs"],
            )
        ),
        "value",
    )
    ablation.train()
    assert seen == [(1, 0), (2, 1), (3, 1), (4, 2)]  # runs shown, and pairs of them
    ablation.train()
    assert seen[4:] == seen[:4]  # shown from the start again, though nothing is trained


def test_an_ablation_stops_and_goes_on(ablation):
    def stop(change):
        if "Run 2 of 4" in change.new:
            ablation.stopping.set()

    ablation.status.observe(stop, "value")
    ablation.train()
    assert (
        "Stopped in run 2 of 4" in ablation.status.value
        and len(ablation.results) == 1
        and not ablation.run.finished
    )
    ablation.status.unobserve(stop, "value")
    ablation.train()
    assert len(ablation.results) == 4 and ablation.results["finished"].all()


@pytest.mark.parametrize(
    "setting, value, words",
    [
        ("values", "0.2", "two different values"),
        ("values", "0.2, (", "two different values"),
        ("values", "0.2, 2e-1", "two different values"),
        ("values", "0.5, 2", "at most 1"),
        ("factor", "active", "'static' has no setting 'active'"),
        ("tasks", 9, "cannot be made"),
    ],
)
def test_an_ablation_that_cannot_be_is_explained_and_not_trained(ablation, setting, value, words):
    before = ablation.config[setting]
    ablation.controls[setting].value = value
    ablation.run = "the last one"
    assert words in ablation.problem and ablation.train_button.disabled and ablation.train() is None
    ablation.controls[setting].value = before
    assert ablation.problem == "" and not ablation.train_button.disabled


def test_none_is_a_value_like_others_and_what_is_held_stays_held(bert):
    panel = widgets.AblationPanel(
        make_corpus(),
        bert,
        factor="batch_limit",
        values="2, None",
        seeds=1,
        seed=3,
        tasks=2,
        labels_per_task=2,
        counts=COUNTS,
        settings={**SETTINGS, "later_learning_rate": None},
    )
    assert panel.results is None and panel.pairs is None
    panel.train()
    assert panel.results["seed"].tolist() == [3, 3] and panel.pairs[["one", "other"]].iloc[
        0
    ].tolist() == ["2", "None"]
    names = {"cp": cp, "plots": plots, "corpus": panel.streams.corpus, "backbone": bert}
    exec(panel.code, names)
    assert set(names["table"]["folder"]) == set(panel.results["folder"])
    panel.controls["values"].value = "3, 4"
    assert panel.results is None  # they were of other settings


def test_a_change_while_an_ablation_runs_is_for_the_next_one(ablation):
    def change(told):
        if "Run 2 of 4" in told.new:
            ablation.controls["order_seed"].value = 5

    ablation.status.observe(change, "value")
    ablation.train()
    assert "Done: 4 runs" in ablation.status.value and ablation.results["stream"].nunique() == 1


def test_every_control_of_an_ablation_has_a_description_and_a_tooltip(ablation):
    assert all(control.description and control.tooltip for control in ablation.controls.values())

"""The train panel, driven in plain Python: values are set, buttons clicked, the worker waited for.

The ablation panel, which is a train panel too, has `test_ablation_panel.py`.
"""

import time

import pytest
from conftest import MAIN, make_corpus

import conpet_lib as cp
from conpet_lib import widgets

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
    assert panel.train_button.disabled
    assert not panel.stop_button.disabled
    ended(panel)
    assert panel.run.finished
    assert len(panel.run.average_accuracy) == 4
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    assert panel.progress.value == 1
    assert "Done" in panel.status.value
    assert panel.stop_button.disabled
    assert not panel.train_button.disabled


@pytest.mark.parametrize("learner", MAIN)
def test_the_code_of_the_panel_makes_the_same_run(panel, bert, learner):
    panel.controls["learner"].value = learner
    panel.controls["rank"].value = 2
    panel.controls["order_seed"].value = 3
    clicked = panel.train()
    names = {"cp": cp, "corpus": panel.streams.corpus, "backbone": bert}
    exec(panel.code, names)
    assert names["run"].folder == clicked.folder  # the folder is named by what the run is of
    assert names["run"].name == learner
    assert names["run"].record.config["rank"] == 2


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
    assert not panel.run.finished
    assert panel.run.record.stages_done == 2
    assert "Stopped in stage 3 of 4" in panel.status.value
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    panel.told = tell
    resumed = panel.train()
    whole = cp.train(panel.stream, bert, panel.chosen, folder=tmp_path / "whole", bar=False)
    assert resumed.finished
    assert resumed.predictions.equals(whole.predictions)


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
    assert "cannot be made" in panel.status.value
    assert "8 labels" in panel.problem
    assert panel.train_button.disabled
    assert panel.train() is None
    panel.controls[setting].value = 2
    assert panel.problem == ""
    assert not panel.train_button.disabled


def test_a_fault_in_the_worker_is_shown_in_words(panel, monkeypatch):
    def broken(*args, **kwargs):
        raise cp.ConpetError("the disk is full")

    monkeypatch.setattr("conpet_lib.widgets.training.train", broken)
    panel.train_button.click()
    ended(panel)
    assert "did not work" in panel.status.value
    assert "the disk is full" in panel.status.value
    assert not panel.train_button.disabled


def test_every_control_has_a_description_and_a_tooltip(panel):
    for control in [*panel.controls.values(), panel.train_button, panel.stop_button]:
        assert control.description
        assert control.tooltip


def test_settings_are_plain_values(panel):
    assert panel.config == {
        "tasks": 4,
        "labels_per_task": 2,
        "grouping": "mixed",
        "split_seed": 0,
        "order_seed": 0,
        "train": 6,
        "valid": 3,
        "test": 3,
        "labels": (),
        "learner": "static",
        "rank": 4,
    }


def test_the_panel_shows_itself_and_leaves_tables_for_pages_without_a_kernel(panel):
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    still = bundle["text/html"]
    assert "labels per task" in still.replace("_", " ")
    assert "cp.train(stream" in still
    assert all(label in still for label in panel.stream.labels)


def test_a_click_returns_at_once(panel):
    start = time.perf_counter()
    panel.train_button.click()
    assert time.perf_counter() - start < 1
    assert panel.worker.is_alive()
    ended(panel)


def test_the_job_of_a_second_panel_waits_for_its_turn(panel):
    with widgets.TrainPanel.turn:
        panel.start()
        panel.worker.join(0.5)
        assert panel.worker.is_alive()
        assert panel.run is None
        assert "Waiting" in panel.status.value
    ended(panel)
    assert panel.run.finished


def test_a_run_that_stopped_can_be_asked_and_says_what_it_forgot(bert):
    panel = widgets.TrainPanel(
        make_corpus(), bert, tasks=2, labels_per_task=2, counts=COUNTS, settings=SETTINGS
    )
    text = "[amber] cedar number 3"
    assert panel.ask(text) is None
    assert "Train a stage first" in panel.status.value
    run = panel.train()
    assert panel.ask(text).equals(run.predict([text]))
    assert "wrong now" in panel.status.value
    assert panel.ask("amber") is None
    assert "[span]" in panel.status.value

"""The ablation panel: one setting is changed, the rest is held, and runs are paired by seed."""

import pandas as pd
import pytest
from conftest import make_corpus

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
    assert ablation.progress.value == 1
    assert "Done: 4 runs" in ablation.status.value
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
    assert ablation.pairs.loc[0, "pairs"] == 2
    assert "not held equal" in ablation.table.value


def test_points_and_intervals_of_an_ablation_fill_in_as_runs_end(ablation):
    seen = []

    def look(change):
        pairs = 0
        if ablation.pairs is not None and len(ablation.pairs):
            pairs = ablation.pairs.loc[0, "pairs"]
        seen.append((len(ablation.results), pairs))

    ablation.picture.observe(look, "value")
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
    assert "Stopped in run 2 of 4" in ablation.status.value
    assert len(ablation.results) == 1
    assert not ablation.run.finished
    ablation.status.unobserve(stop, "value")
    ablation.train()
    assert len(ablation.results) == 4
    assert ablation.results["finished"].all()


@pytest.mark.parametrize(
    "setting, value, words",
    [
        ("values", "0.2", "two different values"),
        ("values", "0.2, (", "two different values"),
        ("values", "0.2, 2e-1", "two different values"),
        ("values", "0.5, 2", "at most 1"),
        ("learner", "vanilla", "'vanilla' has no setting 'new_share'"),
        ("tasks", 9, "cannot be made"),
    ],
)
def test_an_ablation_that_cannot_be_is_explained_and_not_trained(ablation, setting, value, words):
    before = ablation.config[setting]
    ablation.controls[setting].value = value
    ablation.run = "the last one"
    assert words in ablation.problem
    assert ablation.train_button.disabled
    assert ablation.train() is None
    ablation.controls[setting].value = before
    assert ablation.problem == ""
    assert not ablation.train_button.disabled


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
    assert panel.results is None
    assert panel.pairs is None
    panel.train()
    assert panel.results["seed"].tolist() == [3, 3]
    assert panel.pairs[["one", "other"]].iloc[0].tolist() == ["2", "None"]
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
    assert "Done: 4 runs" in ablation.status.value
    assert ablation.results["stream"].nunique() == 1


def test_every_control_of_an_ablation_has_a_description_and_a_tooltip(ablation):
    for control in ablation.controls.values():
        assert control.description
        assert control.tooltip

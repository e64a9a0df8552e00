"""The panels that train nothing: each does what its code does, and says in words what is wrong."""

import pytest
from conftest import make_corpus

import conpet_lib as cp
from conpet_lib import plots, widgets

COUNTS = {"train": 6, "valid": 3, "test": 3}


@pytest.fixture
def stream_panel():
    return widgets.StreamPanel(make_corpus(), tasks=3, labels_per_task=2, counts=COUNTS)


class OnDemand(dict):
    """Panels by name, each made when it is first asked for."""

    def __init__(self, makers):
        super().__init__()
        self.makers = makers

    def __missing__(self, name):
        self[name] = self.makers[name]()
        return self[name]


@pytest.fixture
def panels(stream_panel, bert, learnable, learned):
    """One of each, by name, with what a page has under the names that its code uses."""
    run = learned["dynamic"]
    return OnDemand(
        {
            "stream": lambda: stream_panel,
            "budget": lambda: widgets.BudgetPanel(learnable, bert),
            "examples": lambda: widgets.ExampleExplorer(make_corpus(), bert),
            "runs": lambda: widgets.RunBrowser(run.folder.parent),
            "matrix": lambda: widgets.MatrixExplorer(run),
            "selector": lambda: widgets.SelectorExplorer(run, learnable),
            "repair": lambda: widgets.RepairPanel(run, learnable),
            "lost": lambda: widgets.LostRows(run, learnable),
            "playback": lambda: widgets.Playback(run),
        }
    )


def execute(panel, **names) -> dict:
    """What the panel's code leaves, the value of its last line as `value`."""
    names |= {"cp": cp, "plots": plots, "widgets": widgets, "panel": panel}
    *lines, last = panel.code.split("\n")
    exec("\n".join(lines), names)
    exec(last if " = " in last else f"value = {last}", names)
    return names


def test_every_panel_has_labels_tooltips_plain_values_code_and_a_still(panels):
    for name in panels.makers:
        panel = panels[name]
        for control in panel.controls.values():
            assert control.description, name
            assert control.tooltip, name
        for value in panel.config.values():
            assert isinstance(value, (int, str, tuple)), name
        bundle = panel._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in bundle, name
        assert bundle["text/plain"] == panel.code, name
        assert panel.problem == "", name
        assert "<table" in bundle["text/html"], name


# --- streams -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"order_seed": 3},
        {"split_seed": 2, "tasks": 2},
        {"grouping": "similar"},
        {"labels": ("type 05", "type 01", "type 02", "type 07")},
    ],
    ids=str,
)
def test_the_code_of_a_stream_panel_makes_its_stream(stream_panel, settings):
    for name, value in settings.items():
        stream_panel.controls[name].value = value
    assert stream_panel.problem == ""
    made = execute(stream_panel, corpus=stream_panel.corpus)["stream"]
    assert made.fingerprint == stream_panel.stream.fingerprint
    assert all(label in stream_panel.table.value for label in made.labels)


def test_labels_chosen_by_hand_become_tasks(stream_panel):
    stream_panel.controls["labels"].value = ("type 05", "type 01", "type 02")
    tasks = {frozenset(task.labels) for task in stream_panel.stream}
    as_given = {frozenset({"type 05", "type 01"}), frozenset({"type 02"})}
    as_listed = {frozenset({"type 01", "type 02"}), frozenset({"type 05"})}
    assert tasks in (as_given, as_listed)  # a list box gives its own order


def test_too_many_tasks_are_explained_in_words(stream_panel):
    stream_panel.controls["tasks"].value = 9
    assert "8 labels" in stream_panel.problem
    assert "do not work" in stream_panel.status.value
    stream_panel.controls["tasks"].value = 2
    assert stream_panel.problem == ""
    assert len(stream_panel.stream) == 2


# --- budgets -------------------------------------------------------------------------


def test_a_budget_panel_forecasts_at_once(panels, monkeypatch):
    panel = panels["budget"]
    panel.controls["modules"].value = 1
    small = panel.forecast
    panel.controls["modules"].value = 3
    assert panel.forecast.trained_parameters > small.trained_parameters
    assert panel.forecast.minutes > 0
    monkeypatch.setattr(
        "conpet_lib.analysis.forecast.calibration", lambda *given: pytest.fail("timed again")
    )
    panel.controls["modules"].value = 2  # no other depth or rank: no step is timed again
    assert f"{panel.forecast.trained_parameters:,}" in panel.table.value


def test_the_code_of_a_budget_forecasts_the_same_and_its_config_trains_as_predicted(
    panels, bert, learnable
):
    panel = widgets.BudgetPanel(learnable, bert, modules=2, batch_limit=4)
    made = execute(panel, stream=learnable)
    assert made["config"] == panel.chosen
    assert made["value"].trained_parameters == panel.forecast.trained_parameters
    run = cp.train(learnable, panel.backbone, panel.chosen, bar=False)
    certain = panel.forecast.beside(run).loc[["trained parameters", "optimiser steps"]]
    assert certain.nunique(axis=1).tolist() == [1, 1]  # predicted and measured are one number


def test_a_memory_is_for_one_module_and_keeps_fewer_rows(panels, learnable):
    panel = panels["budget"]
    panel.controls["memory"].value = 3
    assert "MemoryConfig(" in panel.code
    assert "one module" in panel.problem
    assert panel.chosen is None  # nothing else is trained than what is shown
    panel.controls["modules"].value = 1
    assert panel.problem == ""
    assert panel.chosen == cp.MemoryConfig(memory=3, rank=4, batch_limit=30)
    assert panel.forecast.history_rows == 3 * len(learnable.labels)
    assert "history rows" in panel.table.value
    assert execute(panel, stream=learnable)["config"] == panel.chosen


def test_a_budget_shows_what_an_exact_selector_keeps_and_spares(panels, learnable):
    panel = widgets.BudgetPanel(learnable, panels["budget"].given, batch_limit=4)
    papers = panel.forecast
    panel.controls["selector"].value = "exact"
    assert panel.chosen == cp.DynamicConfig(modules=3, batch_limit=4, selector="exact")
    assert papers.sums_bytes == 0 < panel.forecast.sums_bytes
    assert papers.history_rows > panel.forecast.history_rows == 0
    assert panel.forecast.steps < papers.steps
    assert panel.forecast.cache_bytes > papers.cache_bytes
    assert "sums bytes" in panel.table.value
    assert execute(panel, stream=learnable)["config"] == panel.chosen


def test_a_depth_that_the_backbone_lacks_is_explained(panels):
    panel = panels["budget"]
    panel.controls["exit_layer"].value = 1
    assert "tuned_layers" in panel.problem
    panel.controls["tuned_layers"].value = 1
    assert panel.problem == ""
    assert panel.backbone.exit_layer == 1


# --- explorers -----------------------------------------------------------------------


def test_an_example_explorer_shows_examples_of_its_label_and_keeps_none(bert):
    panel = widgets.ExampleExplorer(make_corpus(), bert, label="type 03", count=2)
    assert panel.cards.value.count("<mark") == 2
    assert panel.cards.value.count("type 03") == 2
    assert execute(panel, corpus=panel.corpus, backbone=bert)["value"].data == panel.cards.value
    still = panel._repr_mimebundle_()
    assert "<mark" not in still["text/html"] + still["text/plain"]


def test_a_run_browser_filters_chooses_and_draws(panels, learned):
    panel = panels["runs"]
    name = learned["dynamic"].folder.name  # where it lies below the browser's folder
    assert name in dict(panel.controls["runs"].options).values()
    panel.controls["containing"].value = "no such run"
    assert panel.controls["runs"].options == ()
    panel.controls["containing"].value = "dynamic"
    panel.controls["runs"].value = (name,)
    assert [run.folder for run in panel.runs] == [learned["dynamic"].folder]
    assert panel.picture.value
    assert execute(panel)["runs"][0].record == learned["dynamic"].record
    panel.controls["runs"].value = ()
    listed = execute(panel)["value"]  # nothing chosen: the code lists all
    assert set(panel.all_runs["folder"]) <= set(listed["folder"])


def test_a_press_on_a_cell_lists_what_was_lost_there(panels, learned):
    panel = panels["matrix"]
    run = learned["dynamic"]
    assert set(panel.buttons) == {(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)}
    panel.buttons[3, 1].click()
    assert panel.config == {"stage": 3, "task": 1}
    assert panel.lost.equals(run.forgotten(1))
    assert panel.lost.equals(execute(panel, run=run)["value"])
    panel.buttons[1, 1].click()
    assert len(panel.lost) == 0  # nothing is lost in the stage that brings it
    panel.controls["task"].value = 3
    assert "comes after stage" in panel.problem
    for (stage, task), button in panel.buttons.items():
        assert button.description == f"{100 * run.accuracy_matrix.loc[stage, task]:.0f}"


def test_what_was_lost_at_a_stage_is_wrong_there_and_was_right_before(learned):
    run = learned["vanilla"]
    for stage in (2, 3):
        table = run.predictions.set_index(["stage", "key"])
        before = table.loc[stage - 1].query("task == 1")
        after = table.loc[stage].query("task == 1")
        was_right = before["predicted"] == before["label"]
        is_wrong = after["predicted"] != after["label"]
        lost_in_this_stage = was_right & is_wrong
        forgotten = run.forgotten(1, stage)
        assert len(forgotten) > 0
        keys = forgotten["key"][forgotten["lost"] == stage]
        assert set(keys) == set(lost_in_this_stage.index[lost_in_this_stage])
        for key, _, lost, now in forgotten.itertuples(index=False):
            row = table.loc[(stage, key)]
            assert row["predicted"] == now
            assert now != row["label"]
            assert lost <= stage
            last_right = table.loc[(lost - 1, key)]
            assert last_right["predicted"] == last_right["label"]


def test_the_selector_explorer_goes_from_the_surest_row_to_the_least_sure(panels, learnable):
    panel = panels["selector"]
    assert panel.points["task_confidence"].is_monotonic_decreasing
    card = panel.card.value
    picture = panel.picture.value
    panel.controls["place"].value = len(panel.points) - 1
    assert panel.card.value != card
    assert panel.picture.value != picture
    key = panel.points.iloc[-1]["key"]
    text = next(example.text for example in learnable.examples if example.key == key)
    assert text.split()[-1] in panel.card.value
    assert key in panel.table.value
    assert execute(panel, run=panel.run, stream=learnable)["points"].equals(panel.points)
    still = panel._repr_mimebundle_()["text/html"]
    assert text not in still
    assert "<mark" not in still
    assert "[MASK]" not in still


def test_a_playback_shows_the_stages_so_far(panels, learned):
    panel = panels["playback"]
    pictures = set()
    for stage in (1, 2, 3):
        panel.controls["stage"].value = stage
        pictures.add(bytes(panel.picture.value))
        (line,) = execute(panel, run=learned["dynamic"])["value"].lines
        assert len(line.get_ydata()) == stage
    assert len(pictures) == 3


def test_a_repair_panel_shows_what_its_code_gives(panels, learned, learnable):
    panel = panels["repair"]
    assert panel.tried == panel.bench.try_out()
    for name, value in {"prior": "fitted", "temperature": 150, "reach": 99, "least": 40}.items():
        panel.controls[name].value = value
    assert panel.problem == ""
    assert execute(panel, run=learned["dynamic"], stream=learnable)["value"] == panel.tried
    assert panel.tried != panel.bench.try_out()
    panel.controls["temperature"].value = 0
    assert "Choose a whole number of 1 or more" in panel.problem


def test_lost_rows_are_those_of_the_cause_and_the_task(learned, learnable):
    run = learned["vanilla"]
    panel = widgets.LostRows(run, learnable)
    assert len(panel.shown) == len(panel.rows) > 0
    split = cp.forgetting_split(run, learnable)
    for cause in ("outvoted", "misrouted", "confused", "gone"):
        panel.controls["cause"].value = cause
        tasks = run.predictions.query("stage == 3")["task"].value_counts()
        assert len(panel.shown) == round((split[cause] * tasks).sum())
    panel.controls["cause"].value = panel.rows["cause"].iloc[0]
    panel.controls["task"].value = 1
    assert f"{len(panel.shown)} of {len(panel.rows)} test rows" in panel.status.value
    assert execute(panel, run=run, stream=learnable)["value"].equals(panel.shown)

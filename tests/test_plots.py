"""Plots: every figure draws from a run, says its units, and leaves pyplot alone."""

import inspect
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import make_corpus
from matplotlib import pyplot
from matplotlib.image import imread

import conpet_lib as cp
from conpet_lib import plots
from conpet_lib.plots import style

FIGURES = {  # what is drawn -> (how, words that an axis, colour bar or caption must carry)
    "average_curves": (
        lambda runs, _: plots.average_curves(list(runs.values())),
        "average accuracy (%)",
    ),
    "forgetting_curves": (
        lambda runs, _: plots.forgetting_curves(list(runs.values())),
        "accuracy (%)",
    ),
    "forgetting_causes": (
        lambda runs, _: plots.forgetting_causes(list(runs.values())),
        "test rows lost (%)",
    ),
    "accuracy_heatmaps": (
        lambda runs, _: plots.accuracy_heatmaps(list(runs.values())),
        "accuracy (%)",
    ),
    "selector_confusion": (
        lambda runs, _: plots.selector_confusion(runs["dynamic"]),
        "share of the task's rows (%)",
    ),
    "calibration": (
        lambda runs, _: plots.calibration(runs["dynamic"], stage=2),
        "task chosen rightly (%)",
    ),
    "replayed": (lambda runs, _: plots.replayed(runs["static"]), "rows drawn"),
    "paired": (
        lambda runs, _: plots.paired(runs["static"], runs["vanilla"]),
        "Static ConPET minus Vanilla (points)",
    ),
    "selector_bound": (lambda runs, _: plots.selector_bound(runs["dynamic"]), "test rows (%)"),
    "selector_map": (
        lambda runs, stream: plots.selector_map(cp.selector_points(runs["dynamic"], stream), 0),
        "first main direction (no unit)",
    ),
    "repair_frontier": (
        lambda runs, stream: plots.repair_frontier(
            cp.selector_bench(runs["dynamic"], stream).frontier()
        ),
        "label right (%)",
    ),
    "frontier": (lambda runs, _: plots.frontier(list(runs.values())), "trained parameters"),
    "ablation": (
        lambda runs, _: plots.ablation(cp.runs_table(runs.values()), "learner"),
        "average accuracy (%)",
    ),
    "class_counts": (lambda *_: plots.class_counts(make_corpus(), need=10), "examples"),
    "stream_picture": (lambda _, stream: plots.stream_picture(stream), "examples"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_its_units_and_leaves_pyplot_alone(name, learned, learnable):
    draw, words = FIGURES[name]
    ax = draw(learned, learnable)
    panels = ax.figure.axes
    labels = [panel.get_xlabel() for panel in panels] + [panel.get_ylabel() for panel in panels]
    assert words in labels
    with_data = [panel for panel in panels if panel.has_data()]
    assert with_data
    assert all(panel.get_xlabel() or panel.get_ylabel() for panel in with_data)
    assert ax.get_title(loc="left")
    picture = plots.png(ax, scale=1)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 5000
    assert pyplot.get_fignums() == []


def test_every_public_figure_is_drawn_here():
    public = {name: getattr(plots, name) for name in plots.__all__}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    drawn = {
        name
        for name, function in functions.items()
        if function.__annotations__["return"] is plots.Axes
    }
    helpers = {"heatmap", "titled"}  # these only fill an Axes for others
    assert drawn - helpers == set(FIGURES)


def test_curves_show_percent_of_the_numbers_of_the_run(learned):
    ax = plots.average_curves([learned["vanilla"], learned["static"]])
    for line, kind in zip(ax.get_lines(), ("vanilla", "static")):
        percent = 100 * learned[kind].average_accuracy
        assert line.get_ydata().tolist() == pytest.approx(percent.tolist())
        assert line.get_xdata().tolist() == [1, 2, 3]
    assert ax.get_ylim()[1] >= 100
    assert {text.get_text() for text in ax.texts} == {"Vanilla", "Static ConPET"}


def test_paired_differences_are_those_of_the_same_rows(learned):
    static = learned["static"]
    vanilla = learned["vanilla"]
    ax = plots.paired(static, vanilla)
    by_task = 100 * (static.accuracy_matrix.loc[3] - vanilla.accuracy_matrix.loc[3])
    overall = 100 * (static.whole_accuracy.loc[3] - vanilla.whole_accuracy.loc[3])
    assert ax.get_lines()[0].get_xdata().tolist() == pytest.approx([*by_task, overall])


def test_lost_labels_name_what_a_label_is_taken_for(learned, learnable):
    run = learned["vanilla"]
    table = plots.lost_labels(run)
    last = run.predictions.query("stage == 3")
    assert set(table.index) == set(learnable.labels)
    assert table["lost"].is_monotonic_decreasing
    assert table["lost"].iloc[0] > 0.5
    for label, row in table.iterrows():
        rows = last.query("label == @label")
        assert row["at the end"] == pytest.approx((rows["predicted"] == label).mean())
        wrong = rows.query("predicted != @label")["predicted"].value_counts()
        if wrong.empty:
            assert row["taken for"] == "-"
        else:
            assert wrong[row["taken for"]] == wrong.max()


def test_a_heatmap_has_the_matrix_in_its_cells(learned):
    matrix = 100 * learned["dynamic"].accuracy_matrix
    ax = plots.accuracy_heatmaps([learned["dynamic"]])
    values = matrix.to_numpy().ravel()
    known = values[~np.isnan(values)]
    assert [text.get_text() for text in ax.texts] == [f"{value:.0f}" for value in known]


def run_of(learner: str, **config):
    """What `looks` reads of a run."""
    return SimpleNamespace(name=learner, record=SimpleNamespace(config=config))


def test_learners_differ_in_colour_and_marker():
    learners = ("vanilla", "static", "dynamic", "a new one")
    names, colors, markers = zip(*[plots.looks(run_of(learner)) for learner in learners])
    assert len(set(names)) == len(set(colors)) == len(set(markers)) == 4


def test_a_module_budget_stands_beside_the_name():
    assert plots.looks(run_of("dynamic", modules=4))[0] == "Dynamic ConPET, budget 4"


def test_a_method_that_is_registered_later_has_its_look_from_then_on(monkeypatch):
    unknown = plots.looks(run_of("mine"))
    assert unknown.name == "mine"
    assert plots.looks(run_of("mine")) == unknown
    table = cp.methods()
    table.loc["mine", ["name", "colour", "marker"]] = ["My method", 6, "h"]
    monkeypatch.setattr(style, "methods", lambda: table)
    assert plots.looks(run_of("mine")) == ("My method", plots.PALETTE[6], "h")


def test_a_map_marks_one_row_and_a_frontier_has_a_point_a_run(learned, learnable):
    points = cp.selector_points(learned["dynamic"], learnable)
    ring = plots.selector_map(points, marked=2).collections[-1]
    assert ring.get_offsets().tolist() == [pytest.approx(points.loc[2, ["x", "y"]].tolist())]
    runs = [learned["static"], learned["dynamic"]]
    for line, run in zip(plots.frontier(runs).lines, runs):
        assert line.get_xdata() == [run.record.trained_weights]
        assert line.get_ydata() == pytest.approx([100 * run.average_accuracy.iloc[-1]])


def test_an_ablation_has_a_point_a_run_and_a_mean_a_value(learned):
    table = cp.runs_table([learned["vanilla"], learned["static"]]).assign(rank=4)
    ax = plots.ablation(table, "rank")
    points = np.concatenate([part.get_offsets() for part in ax.collections])
    assert sorted(points[:, 1]) == pytest.approx(sorted(100 * table["average accuracy"]))
    (mean,) = [y for line in ax.lines for y in line.get_ydata()]
    assert mean == pytest.approx(100 * table["average accuracy"].mean())


def test_an_ablation_shows_runs_without_a_setting_too(learned):
    table = cp.runs_table([learned["vanilla"], learned["static"]]).assign(batch_limit=[None, 2])
    ax = plots.ablation(table, "batch_limit")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["None", "2"]
    assert sum(len(part.get_offsets()) for part in ax.collections) == 2


def test_an_ablation_shows_the_paired_differences_with_their_intervals(learned):
    table = cp.runs_table([learned["vanilla"], learned["static"]]).assign(rank=4)
    pairs = pd.DataFrame(
        {"one": ["1"], "other": ["4"], "difference": [0.02], "low": [-0.01], "high": [0.05]}
    )
    _, beside = plots.ablation(table, "rank", pairs).figure.axes
    point, *_, zero = beside.lines
    assert point.get_xdata().tolist() == pytest.approx([2])
    assert zero.get_xdata() == [0, 0]
    bar = beside.collections[0]
    assert bar.get_segments()[0][:, 0].tolist() == pytest.approx([-1, 5])
    assert [label.get_text() for label in beside.get_yticklabels()] == ["1 minus 4"]


def test_on_a_dark_page_light_and_dark_change_places_and_colours_keep_their_hue(
    learned, monkeypatch
):
    def pixels():
        picture = plots.png(plots.average_curves([learned["static"]]), scale=1)
        return imread(io.BytesIO(picture))[..., :3]

    light = pixels()
    monkeypatch.setenv("CONPET_LOOK", "dark")
    dark = pixels()
    assert light[0, 0].tolist() == [1, 1, 1]
    assert dark[0, 0].tolist() == [0, 0, 0]
    assert dark.max() > 0.8
    is_colour = np.ptp(light, axis=-1) > 0.3
    is_whole = ((dark > 0) & (dark < 1)).all(-1)  # not cut off at 0 or 1
    chosen = is_colour & is_whole
    assert chosen.sum() > 100
    # The same is added to red, green and blue, and the luminances add up to 1.
    assert np.ptp((dark - light)[chosen], axis=-1) == pytest.approx(0, abs=0.01)
    luminance_weights = [0.2126, 0.7152, 0.0722]
    assert (dark + light)[chosen] @ luminance_weights == pytest.approx(1, abs=0.01)


def test_curves_end_at_the_stage_that_is_asked_for(learned):
    ax = plots.average_curves([learned["static"]], upto=2)
    assert ax.get_lines()[0].get_xdata().tolist() == [1, 2]

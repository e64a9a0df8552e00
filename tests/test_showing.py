"""What is shown is what is there: texts as they are written, runs by name, numbers as given."""

import html
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import make_corpus, make_stream

import conpet_lib as cp
from conpet_lib import plots, widgets
from conpet_lib.core.showing import as_html, as_markdown
from conpet_lib.corpora import Corpus, Example, ReadReport
from conpet_lib.runs.record import BackboneRecord, Record, StreamRecord
from conpet_lib.runs.run import Run

ODD_LABELS = [
    "cost_$5_to_$10_",
    "A$ and C$ cash",
    "a|b\nc",
    "<b>x</b> & 'y'",
    "{brace} \\frac{1}{2} \\(x\\)",
    "x^2_3",
    "日本語ラベル",
    "مرحبا بالعالم",
    "_hidden",
    "長" * 90,
]
COUNTS = {"train": 6, "valid": 3, "test": 3}


def odd_corpus() -> Corpus:
    """Labels and texts with signs that mean something elsewhere."""
    examples = [
        Example(f"{number}:{row}", f"amber {label} amber {row}", ((0, 5),), label)
        for number, label in enumerate(ODD_LABELS)
        for row in range(12)
    ]
    return Corpus("odd", "typing", examples, ReadReport(read=len(examples)), {})


def text_of(page: str) -> str:
    """What a reader of HTML sees."""
    return html.unescape(re.sub("<[^>]*>", "", page))


def make_run(predictions: pd.DataFrame | None = None, **more) -> Run:
    """A finished run of two tasks that nobody trained; `more` are settings, seed or stages."""
    stages = more.pop("stages", 2)
    seed = more.pop("seed", 0)
    fingerprint = more.pop("stream", "abcdef012345")
    config = {"learner": "static", "new_share": 0.5, "rank": 4, **more}
    stream = StreamRecord("tiny", "typing", fingerprint, [["a"], ["b"]], [[6, 3, 3], [6, 3, 3]])
    backbone = BackboneRecord("bert", 4, 2, "0123456789", "cpu", "torch.float32")
    run = Run("nowhere", Record(config, seed, stream, backbone, stages_done=stages))
    if predictions is None:
        rows = [(1, 1, "k1", "a", "a"), (2, 1, "k1", "a", "b"), (2, 2, "k2", "b", "b")]
        predictions = pd.DataFrame(rows, columns=["stage", "task", "key", "label", "predicted"])
    if stages:
        run.predictions = predictions
    return run


# --- texts -------------------------------------------------------------------------


@pytest.mark.parametrize("label", ODD_LABELS)
def test_a_text_on_a_page_is_read_as_it_was_written_and_nothing_in_it_is_a_formula(label):
    page = as_html(label)
    assert text_of(page) == label
    outside = re.sub(r'<span class="tex2jax_ignore mathjax_ignore">&#\d+;</span>', "", page)
    assert not set("$\\<>") & set(outside)


@pytest.mark.parametrize("label", ODD_LABELS)
def test_a_text_in_a_card_stays_in_its_cell(label):
    cell = as_markdown(label)
    assert "\n" not in cell
    assert not re.search(r"(?<!\\)[|$]", cell)
    assert not re.search(r"<(?!br>)", cell)
    shown = re.sub(r"\\([^\w\s]|_)", r"\1", cell.replace("<br>", "\n"))
    assert html.unescape(shown) == label


def test_odd_labels_are_drawn_as_they_are_and_missing_signs_are_said_once():
    corpus = odd_corpus()
    stream = cp.make_stream(corpus, 5, 2, **COUNTS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counted = plots.class_counts(corpus)
        cut = plots.stream_picture(stream)
        for ax in (counted, cut):
            assert plots.png(ax, 1).startswith(b"\x89PNG")
    assert len(caught) <= 1
    names = [label.get_text() for label in counted.get_xticklabels()]
    assert names[:3] == ["cost_$5_to_$10_", "A$ and C$ cash", "a|b c"]
    named = [*counted.get_xticklabels(), *cut.get_yticklabels(), counted.title]
    assert not any(label.get_parse_math() for label in named)


def test_the_numbers_of_an_axis_may_be_formulas():
    ax = plots.titled(plots.axes()[0], "costs $5 to $10")
    ax.set(xscale="log", xlim=(1, 1000))
    assert plots.png(ax, 1)
    labels = [label for label in ax.get_xticklabels() if "$" in label.get_text()]
    assert labels
    assert all(label.get_parse_math() for label in labels)


def test_odd_labels_are_listed_and_their_examples_marked_by_place(bert):
    corpus = odd_corpus()
    panel = widgets.StreamPanel(corpus, tasks=5, labels_per_task=2, counts=COUNTS)
    listed = text_of(panel.table.value.replace("<br>", "\n"))
    assert all(label in listed for label in ODD_LABELS)
    late = Example("k", "<amber> & amber $1 to $2", ((10, 15),), "<i>")
    shown = widgets.examples(Corpus("c", "typing", [late], ReadReport(read=1), {}), bert).data
    assert "&lt;amber&gt; &amp; <mark" in shown
    assert "amber $1 to $2" in text_of(shown)
    assert "$" not in shown
    assert "<i>" not in shown


def test_what_a_panel_says_is_escaped(bert):
    panel = widgets.StreamPanel(make_corpus(), counts=COUNTS)
    panel.say("<img src=x> $a$", "Not & so")
    assert text_of(panel.status.value) == "Not & so <img src=x> $a$"
    assert "<img" not in panel.status.value


# --- names of runs -------------------------------------------------------------------


@pytest.mark.parametrize(
    "one, other, ends",
    [
        ({"new_share": 0.2}, {"new_share": 0.8}, ["new_share 0.2", "new_share 0.8"]),
        ({"seed": 0}, {"seed": 1}, ["seed 0", "seed 1"]),
        ({}, {}, ["ConPET (1)", "ConPET (2)"]),
        ({"stages": 1}, {}, ["stopped after stage 1", "Static ConPET"]),
        ({"stream": "1" * 12}, {"stream": "2" * 12}, ["stream 111111", "stream 222222"]),
        ({"rank": 2, "seed": 1}, {"rank": 4}, ["rank 2, seed 1", "rank 4, seed 0"]),
        ({"head": "exact"}, {"head": "trained"}, ["exact head", "trained head"]),
    ],
    ids=str,
)
def test_runs_of_one_learner_are_named_by_what_differs_in_every_figure(one, other, ends):
    runs = [make_run(**one), make_run(**other), make_run(learner="vanilla")]
    names = plots.run_names(runs)
    assert [name.endswith(end) for name, end in zip(names, ends)] == [True, True]
    assert names[2] == "Vanilla"
    first, second, third = plots.run_looks(runs)
    assert len({first.color, second.color, third.color}) == 3
    shown = [
        [text.get_text() for text in plots.average_curves(runs).texts],
        [ax.get_title(loc="left") for ax in plots.accuracy_heatmaps(runs).figure.axes[:3]],
        [ax.get_title(loc="left") for ax in plots.forgetting_curves(runs).figure.axes],
    ]
    for words in shown:
        whole = " ".join(words).replace("\n", " ")
        assert all(name in whole for name in names)


def test_many_runs_of_one_learner_have_looks_of_their_own():
    runs = [make_run(seed=seed) for seed in range(30)]
    seen = {look[1:] for look in plots.run_looks(runs)}
    assert len(seen) == 30
    assert len({color for color, _ in seen}) == len(plots.PALETTE)


def test_one_run_alone_keeps_its_learners_name_and_none_is_refused():
    assert plots.run_looks(make_run()) == [plots.looks(make_run())]
    with pytest.raises(cp.ConpetError, match="no run to show"):
        plots.average_curves([])


# --- what a run lacks -----------------------------------------------------------------


@pytest.mark.parametrize(
    "draw", [plots.calibration, plots.selector_confusion, plots.selector_bound]
)
def test_a_figure_of_a_selector_says_that_a_run_has_none(draw):
    with pytest.raises(cp.ConpetError, match="'Static ConPET' has no selector"):
        draw(make_run())


def test_rows_drawn_for_a_part_that_was_not_trained_are_refused():
    run = make_run()
    run.replayed = pd.DataFrame({"part": ["module"], "stage": 1, "task": 1, "count": 3})
    assert plots.replayed(run)
    with pytest.raises(cp.ConpetError, match="selector"):
        plots.replayed(run, "selector")


def test_runs_that_were_tested_on_other_rows_are_not_paired():
    other = make_run()
    other.predictions = other.predictions.assign(key=["x1", "x1", "x2"])
    with pytest.raises(cp.ConpetError, match="same rows"):
        plots.paired(make_run(), other)


# --- numbers of panels -----------------------------------------------------------------


def test_a_number_above_the_end_of_a_slider_is_taken_as_it_is(bert):
    budget = widgets.BudgetPanel(make_stream(), bert, rank=16, batch_limit=320, memory=0)
    assert budget.config["batch_limit"] == 320
    assert budget.chosen.batch_limit == 320
    cards = widgets.ExampleExplorer(make_corpus(), bert, count=np.int64(50))
    assert cards.cards.value.count("<mark") == 50
    cards.controls["count"].value = 60
    assert cards.cards.value.count("<mark") == 60
    assert cards.controls["count"].max == 60
    stream = widgets.StreamPanel(make_corpus(), split_seed=20240501, counts=COUNTS, tasks=2)
    assert "split_seed=20240501" in stream.code
    assert stream.problem == ""


@pytest.mark.parametrize(
    "setting, value, words",
    [
        ("rank", 10_000, "from 1 to 16"),
        ("tasks", 2.5, "2.5 does not work"),
        ("tasks", 0, "of 1 or more"),
        ("train", 0.6, "0.6 does not work"),
        ("split_seed", -1, "of 0 or more"),
        ("labels", ("type 01",), "nothing to tell apart"),
    ],
)
def test_a_number_that_cannot_be_is_refused_with_its_range(bert, setting, value, words):
    panel = widgets.TrainPanel(make_corpus(), bert, tasks=2, labels_per_task=2, counts=COUNTS)
    panel.controls[setting].value = value
    assert words in panel.problem
    assert panel.config[setting] == value
    assert panel.train_button.disabled


def test_more_modules_than_there_are_do_not_answer(bert):
    panel = widgets.BudgetPanel(make_stream(), bert, modules=2, active=3)
    assert "3 modules cannot answer where there are 2" in panel.problem
    assert panel.chosen is None


@pytest.mark.parametrize(
    "given", [{"tasks": "4"}, {"grouping": "mixd"}, {"labels": ["tpye 1"]}, {"counts": [6, 3, 3]}]
)
def test_a_value_of_the_wrong_kind_is_refused_in_words(given):
    with pytest.raises(cp.ConpetError):
        widgets.StreamPanel(make_corpus(), **given)


def test_rows_per_label_can_be_chosen_where_the_usual_ones_are_not_there():
    panel = widgets.StreamPanel(make_corpus(), tasks=2, labels_per_task=2)
    assert "120 examples" in panel.problem
    for side, rows in COUNTS.items():
        panel.controls[side].value = rows
    assert panel.problem == ""
    assert len(panel.stream[0].train) == 12
    names = {"cp": cp, "corpus": panel.corpus}
    exec(panel.code, names)
    assert names["stream"].fingerprint == panel.stream.fingerprint


def test_the_factors_of_an_ablation_are_settings_of_the_learner(bert):
    panel = widgets.AblationPanel(
        make_corpus(), bert, factor="new_share", values="0.2, 0.8", tasks=2, counts=COUNTS
    )
    assert "active" not in panel.controls["factor"].options
    panel.controls["learner"].value = "vanilla"
    assert "'vanilla' has no setting 'new_share'" in panel.problem
    panel.controls["learner"].value = "dynamic"
    assert "active" in panel.controls["factor"].options
    assert panel.config["factor"] == "new_share"
    panel.controls["factor"].value = "rank"
    panel.controls["values"].value = "4, 100"
    assert "highest is 16" in panel.problem


# --- the code of panels, and what they show ----------------------------------------------


def test_code_has_the_names_of_the_page_and_leaves_its_variables_alone():
    page = {"__name__": "page", "cp": cp, "plots": plots, "widgets": widgets}
    page |= {"dynamic": make_run(), "corpus": make_corpus(), "counts": COUNTS, "stream": "mine"}
    exec("panel = widgets.Playback(dynamic)", page)
    assert page["panel"].code == "plots.average_curves([dynamic], upto=1)"
    exec("matrix = widgets.MatrixExplorer(dynamic, task=2)", page)
    assert page["matrix"].code == "dynamic.forgotten(task=2, stage=2)"
    exec("made = widgets.StreamPanel(corpus, tasks=2, counts=counts)", page)
    exec(page["made"].code, page)
    assert page["stream"] == "mine"
    assert page["panel_stream"].fingerprint == page["made"].stream.fingerprint
    assert "cp.load_run('nowhere')" in widgets.Playback(make_run()).code


def test_a_changed_setting_takes_the_old_curve_and_its_answers_away(bert):
    panel = widgets.TrainPanel(make_corpus(), bert, tasks=2, labels_per_task=2, counts=COUNTS)
    panel.run = make_run()
    panel.draw(plots.average_curves([panel.run]))
    panel.controls["order_seed"].value = 3
    assert panel.run is None
    assert panel.picture.layout.display == "none"
    assert panel.ask("[amber] birch") is None
    assert "Train a stage first" in panel.status.value


def test_a_rank_among_the_settings_is_the_one_that_is_shown_and_trained(bert):
    panel = widgets.TrainPanel(
        make_corpus(), bert, tasks=2, labels_per_task=2, counts=COUNTS, settings={"rank": 2}
    )
    assert panel.config["rank"] == panel.chosen.rank == 2
    panel.controls["rank"].value = 8
    assert panel.chosen.rank == 8


def test_a_question_is_asked_by_enter(bert, monkeypatch):
    asked = []
    monkeypatch.setattr(widgets.TrainPanel, "ask", lambda panel, text: asked.append(text))
    panel = widgets.TrainPanel(make_corpus(), bert, tasks=2, labels_per_task=2, counts=COUNTS)
    panel.question.value = "[amber] birch"  # as Enter sets it
    assert asked == ["[amber] birch"]


def test_a_run_in_training_empties_no_browser(monkeypatch):
    done = [make_run(new_share=0.2), make_run(new_share=0.8)]
    fresh = make_run(stages=0)
    shown = [*done, fresh]
    for place, run in enumerate(shown):
        run.folder = widgets.runs.Path(f"/all/{place}")
    table = pd.DataFrame(
        [
            {"folder": f"/all/{place}", "problem": "", "learner": "static", "stages": 2}
            for place in range(3)
        ]
    )
    by_folder = {str(run.folder): run for run in shown}
    monkeypatch.setattr(widgets.runs, "_loaded", lambda folders: (_pick(by_folder, folders), []))
    monkeypatch.setattr(
        widgets.runs,
        "runs_table",
        lambda runs: table[table["folder"].isin([str(run.folder) for run in runs])].copy(),
    )
    panel = widgets.RunBrowser("/all", runs=("0", "1", "2"))
    assert panel.problem == ""
    assert panel.picture.layout.display == ""
    assert "no stage is done yet" in panel.status.value
    assert "new_share 0.2" in panel.table.value
    assert "new_share 0.8" in str(panel.controls["runs"].options)
    assert "/all/2" not in panel.code


def _pick(by_folder, folders):
    """The runs of some folders; of a list without paths, all."""
    wanted = [str(folder) for folder in folders]
    return [by_folder[folder] for folder in wanted] if wanted else list(by_folder.values())

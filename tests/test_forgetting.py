"""Forgetting taken apart: a ledger worked by hand, and faults of one kind that were planted."""

import shutil

import pandas as pd
import pytest
import torch
from conftest import make_stream
from safetensors.torch import load_file

import conpet_lib as cp
from conpet_lib import metrics
from conpet_lib.core.files import digest, write_json
from conpet_lib.core.tensors import write_tensors
from conpet_lib.models.features import Features
from conpet_lib.runs.stage import evaluate

COLUMNS = ["stage", "key", "task", "label", "predicted", "within_task", "true_module_active"]
LEDGER = pd.DataFrame(
    [
        (1, "p", 1, "a", "a", "a", True),
        (1, "q", 1, "a", "a", "a", True),
        (1, "r", 1, "b", "b", "b", True),
        (1, "s", 1, "b", "a", "a", True),  # never right, so it cannot be lost
        (2, "p", 1, "a", "c", "a", True),  # outvoted
        (2, "q", 1, "a", "c", "a", False),  # misrouted, and right within its task all the same
        (2, "r", 1, "b", "a", "a", True),  # wrong within its task
        (2, "s", 1, "b", "a", "a", True),
        (2, "t", 2, "c", "c", "c", True),
        (3, "p", 1, "a", "a", "a", True),  # it is back
        (3, "q", 1, "a", "b", "b", False),
        (3, "r", 1, "b", "a", "a", True),
        (3, "s", 1, "b", "a", "a", True),
        (3, "t", 2, "c", "d", "d", True),
    ],
    columns=COLUMNS,
)
RECOVERED = pd.Series([False] * 11 + [True, False, False])  # row r after stage 3


def test_a_lost_row_has_one_cause_and_the_causes_add_up_to_what_was_lost():
    split = metrics.forgetting_split(LEDGER)
    assert split.loc[(1, 1)].tolist() == [0, 0, 0, 0]
    assert split.loc[(2, 1)].to_dict() == pytest.approx(
        {"lost": 3 / 4, "outvoted": 1 / 4, "misrouted": 1 / 4, "wrong within its task": 1 / 4}
    )
    assert split.loc[(3, 1)].tolist() == pytest.approx([1 / 2, 0, 1 / 4, 1 / 4])
    assert split.loc[(3, 2)].tolist() == pytest.approx([1, 0, 0, 1])
    assert split.drop(columns="lost").sum(axis=1).tolist() == pytest.approx(split["lost"].tolist())


def test_what_an_exact_head_recovers_is_confused_and_the_rest_gone():
    split = metrics.forgetting_split(LEDGER, RECOVERED)
    assert list(split) == ["lost", "outvoted", "misrouted", "confused", "gone"]
    assert split.loc[(3, 1)].tolist() == pytest.approx([1 / 2, 0, 1 / 4, 1 / 4, 0])
    assert split.loc[(3, 2)].tolist() == pytest.approx([1, 0, 0, 0, 1])


def test_the_order_of_the_ledgers_rows_does_not_matter():
    mixed = LEDGER.sample(frac=1, random_state=3)
    split = metrics.forgetting_split(mixed, RECOVERED[mixed.index])
    pd.testing.assert_frame_equal(split, metrics.forgetting_split(LEDGER, RECOVERED))


@pytest.mark.parametrize("wrong", [True, RECOVERED[:3], RECOVERED.astype(float), list(RECOVERED)])
def test_what_does_not_say_true_or_false_of_each_row_is_refused(wrong):
    with pytest.raises(ValueError, match="recovered"):
        metrics.forgetting_split(LEDGER, wrong)


def test_a_run_forgets_what_run_forgotten_lists(learned, learnable):
    for name in ("vanilla", "dynamic"):
        run = learned[name]
        split = cp.forgetting_split(run, learnable)
        for task in split.index:
            tested = len(learnable[task - 1].test)
            assert split.loc[task, "lost"] * tested == pytest.approx(len(run.forgotten(task)))
        causes = split.drop(columns="lost").sum(axis=1)
        assert causes.tolist() == pytest.approx(split["lost"].tolist())


def test_another_stream_is_refused(learned):
    with pytest.raises(cp.ConpetError, match="another stream"):
        cp.forgetting_split(learned["static"], make_stream(2))


def split_after(run, stream, folder, change):
    """The split of a run whose module was changed, and which has answered its test rows again."""
    shutil.copytree(run.folder, folder)
    record = cp.load_run(folder).record
    for path in (folder / "modules" / record.parts["module"][-1]).glob("*.safetensors"):
        write_tensors(path, change(path.name, load_file(path)))
        record.files[path.relative_to(folder).as_posix()] = digest(path.read_bytes())
    write_json(folder / "run.json", record.to_json())
    changed = cp.load_run(folder)
    learner = changed.reading(stream.examples)
    learner.stream = stream
    stage = record.stages_done
    before = changed.predictions[changed.predictions["stage"] < stage]
    changed.predictions = pd.concat([before, evaluate(learner, stage)], ignore_index=True)
    return cp.forgetting_split(changed, stream)


def test_a_head_whose_other_tasks_score_too_high_outvotes(learned, learnable, tmp_path):
    def louder(name, tensors):
        if name == "head.safetensors":
            later = torch.arange(len(tensors["bias"])) >= 4  # the labels of task 3
            tensors["bias"] = tensors["bias"] + 100 * later
        return tensors

    split = split_after(learned["static"], learnable, tmp_path / "run", louder)
    old = split.loc[[1, 2]]
    assert (old["lost"] > 0.5).all()
    assert old["outvoted"].sum() > 0.9 * old["lost"].sum()
    assert split.loc[3, "lost"] == 0


def test_outvoted_rows_are_those_that_an_exact_head_recovers(learned, learnable):
    lost = cp.lost_rows(learned["vanilla"], learnable)
    outvoted = lost["cause"] == "outvoted"
    both = (outvoted & lost["recovered"]).sum()
    assert both > 0.7 * outvoted.sum() > 0
    assert both > 0.7 * lost["recovered"].sum()


def exchanged(name, tensors):
    """A head in which each label of tasks 1 and 2 has the row of the task's other one."""
    if name == "head.safetensors":
        order = torch.tensor([1, 0, 3, 2, 4, 5])
        tensors["weight"] = tensors["weight"][order].contiguous()
        tensors["bias"] = tensors["bias"][order].contiguous()
    return tensors


def test_a_head_with_exchanged_rows_is_confused_and_not_gone(learned, learnable, tmp_path):
    split = split_after(learned["static"], learnable, tmp_path / "run", exchanged)
    old = split.loc[[1, 2]]
    assert (old["lost"] > 0.5).all()
    assert old["confused"].sum() > 0.9 * (old["lost"] - old["outvoted"]).sum()


def test_where_features_have_no_trace_of_the_labels_rows_are_gone(
    learned, learnable, tmp_path, monkeypatch
):
    def of_noise(self, rows, module=None):
        generator = torch.Generator().manual_seed(len(rows))
        return torch.randn(len(rows), self.backbone.hidden_size, generator=generator)

    monkeypatch.setattr(Features, "features_of", of_noise)
    split = split_after(learned["static"], learnable, tmp_path / "run", exchanged)
    old = split.loc[[1, 2]]
    wrong_within = (old["lost"] - old["outvoted"]).sum()
    assert wrong_within > 1
    assert 0.3 * wrong_within < old["gone"].sum() < 0.7 * wrong_within  # a guess among two labels


def test_the_summary_has_the_part_that_is_outvoted(learned):
    for run in learned.values():
        last = run.record.stages_done
        split = metrics.forgetting_split(run.predictions).loc[last]
        assert run.summary()["outvoted"] == split["outvoted"].mean()
    assert learned["vanilla"].summary()["outvoted"] > 0.1

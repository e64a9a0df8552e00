"""Learners: what holds for every one, and what tells them apart."""

import dataclasses
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import MAIN, make_corpus, make_learner, make_stream, module_bytes, quick

import conpet_lib as cp
from conpet_lib.learners.fitting import Fitting

EVERY = pytest.mark.parametrize("kind", MAIN)


@EVERY
def test_a_seed_decides_the_run_to_the_last_byte(kind, tiny_models, tmp_path):
    stream, config, runs = make_stream(2), quick(kind, epochs=1), []
    for place, seed in enumerate((0, 0, 1)):
        backbone = cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")
        runs.append(
            cp.train(
                stream,
                backbone,
                config,
                seed=seed,
                folder=tmp_path / str(place),
                bar=False,
                cache=tmp_path / f"cache-{place}",
            )
        )
    one, again, other = runs
    assert module_bytes(other) != module_bytes(one) and not other.predictions.equals(
        one.predictions
    )
    assert again.accuracy_matrix.equals(one.accuracy_matrix)
    assert again.predictions.equals(one.predictions) and module_bytes(again) == module_bytes(one)


@EVERY
def test_a_stage_takes_as_many_steps_however_long_the_stream(kind, bert):
    steps = {}
    for tasks in (2, 5):
        learner = make_learner(kind, make_stream(tasks), bert, batch_limit=2, epochs=2)
        for stage in range(1, tasks + 1):
            learner.fit(stage)
        steps[tasks] = {
            (part.name, entry["stage"]): (entry["steps"], entry["rows"])
            for part in learner.parts.values()
            for entry in part.ledger
        }
    assert {count for count, _ in steps[5].values()} == {4}
    assert steps[2].items() <= steps[5].items()
    assert (
        len(
            {
                rows
                for (part, stage), (_, rows) in steps[5].items()
                if part == "module" and stage > 1
            }
        )
        == 1
    )


class Watched(Sequence):
    """Examples that remember which of them were read."""

    def __init__(self, examples):
        self.examples, self.read = examples, set()

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, row):
        self.read.add(int(row))
        return self.examples[row]


@EVERY
def test_no_row_is_read_before_its_time(kind, bert):
    stream = make_stream(3)
    watched = Watched(stream.examples)
    learner = make_learner(kind, dataclasses.replace(stream, examples=watched), bert)
    allowed = set()
    for stage, task in enumerate(stream, 1):
        watched.read.clear()
        learner.fit(stage)
        own = {*task.train, *task.valid}
        allowed = own if kind == "vanilla" else allowed | own
        assert watched.read & set(task.train) and watched.read & set(task.valid)
        assert watched.read <= allowed, (
            "a test row, a future task's row, or one that this learner may not replay"
        )
        watched.read.clear()
        learner.answer(task.test)
        assert watched.read <= {*task.test}


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_shuffled_labels_cannot_be_learned(kind, learned, bert, tmp_path):
    corpus = make_corpus(6, rows=40)
    labels = [example.label for example in corpus.examples]
    random.Random(0).shuffle(labels)
    shuffled = dataclasses.replace(
        corpus,
        examples=[
            dataclasses.replace(example, label=label)
            for example, label in zip(corpus.examples, labels)
        ],
    )
    stream = cp.make_stream(shuffled, 3, 2, train=12, valid=4, test=20)
    run = cp.train(stream, bert, quick(kind, batch_limit=10, epochs=2), folder=tmp_path, bar=False)
    rows = len(run.predictions.query("stage == 3"))
    chance = 1 / len(stream.labels)
    bound = chance + 4 * (chance * (1 - chance) / rows) ** 0.5
    assert learned[kind].whole_accuracy.iloc[-1] > 2 * bound
    assert run.whole_accuracy.iloc[-1] < bound


def test_replay_prevents_forgetting(learned):
    assert learned["vanilla"].forgetting > 0.5
    assert learned["static"].forgetting < 0.2 and learned["dynamic"].forgetting < 0.2
    assert (
        learned["static"].average_accuracy.iloc[-1]
        > learned["vanilla"].average_accuracy.iloc[-1] + 0.3
    )
    for run in learned.values():
        assert np.diag(run.accuracy_matrix).mean() > 0.7, "a task was not learned in its own stage"


def test_the_weights_of_the_best_epoch_are_kept(bert):
    ends = []  # the module's weights at the end of each epoch

    def tell(step):
        if step.doing == "module" and step.done % 12 == 0:
            ends.append(
                {
                    name: weight.clone()
                    for name, weight in learner.fitting.module.state_dict().items()
                }
            )
            learner.fitting.optimiser.param_groups[0]["lr"] = 1e-2 if len(ends) < 3 else 1.0

    learner = make_learner(
        "static",
        make_stream(2, 4, rows=40),
        bert,
        tell=tell,
        epochs=5,
        learning_rate=1e-5,
        batch_limit=12,
        valid_examples=40,
    )
    learner.fit(1)
    module, rows = learner.modules[0], learner.valid_rows(1)
    kept, ranks = {name: weight.clone() for name, weight in module.state_dict().items()}, []
    for weights in ends:
        module.load_state_dict(weights)
        scores, right = learner.features.scores_of(rows, module), learner.targets(rows)
        ranks.append(
            (
                (scores.argmax(1) == right).float().mean().item(),
                -torch.nn.functional.cross_entropy(scores, right).item(),
            )
        )
    best = ranks.index(max(ranks))
    assert len(ends) == 5 and 0 < best < 4, "the first epoch hardly learns, the last ones forget"
    assert all(torch.equal(kept[name], weight) for name, weight in ends[best].items())
    assert learner.ledger[0]["best_valid_accuracy"] == pytest.approx(ranks[best][0])


def test_a_loss_that_is_no_number_names_the_settings_that_could_be_the_cause(
    bert, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        cp.LEARNERS["static"],
        "loss",
        lambda self, rows, stage: self.logits(rows, stage).sum() * float("nan"),
    )
    with pytest.raises(cp.ConpetError, match=r"loss of stage 1 .*learning_rate=0.01.*alpha=8"):
        cp.train(make_stream(2), bert, quick("static"), folder=tmp_path, bar=False)


@pytest.mark.parametrize("kind", ["static", "dynamic", "emr"])
def test_validation_takes_rows_of_the_validation_side_half_of_them_past_ones(kind, bert):
    stream = make_stream(3)
    learner = make_learner(kind, stream, bert, active=2) if kind == "dynamic" else None
    learner = learner or make_learner(kind, stream, bert)
    for stage in (1, 2):
        learner.fit(stage)
    learner.module_of_task = [*learner.module_of_task, 0][:3]
    rows = learner.valid_rows(3).tolist()
    new = set(stream[2].valid.tolist())
    past = [set(task.valid.tolist()) for task in stream[:2]]
    assert len(set(rows)) == len(rows)
    assert new <= set(rows) <= new.union(*past), "a row of another side"
    for old in past:
        assert old & set(rows), "a past task is not validated"


@EVERY
def test_the_seed_and_the_stage_choose_the_validation_rows(kind, bert):
    stream = make_stream(3, rows=40)
    rows = {}
    for seed in (0, 1):
        for _ in range(2):
            learner = make_learner(kind, stream, bert, seed=seed, valid_examples=6)
            learner.begin(1)
            drawn = learner.valid_rows(1).tolist()
            assert len(drawn) == 3
            assert rows.setdefault(seed, drawn) == drawn
    assert set(rows[0]) != set(rows[1])


@EVERY
def test_the_later_learning_rate_is_that_of_the_optimiser_from_its_stage_on(kind, bert):
    learner = make_learner(kind, make_stream(3), bert, later_learning_rate=3e-4, later_stage=3)
    rates = {}
    for stage in (1, 2, 3):
        learner.fit(stage)
        for name, part in learner.parts.items():
            if part.fitting is not None:  # in stage 1 there is nothing to select
                groups = part.fitting.optimiser.param_groups
                rates[stage, name] = [group["lr"] for group in groups]
    assert {stage for stage, _ in rates} == {1, 2, 3}
    for (stage, name), found in rates.items():
        assert found == [3e-4 if stage == 3 else 1e-2], (stage, name)


def test_of_epochs_that_validate_alike_the_first_is_kept(bert, monkeypatch):
    ends = []  # the module's weights at the end of each epoch

    def tell(step):
        if step.doing == "module" and step.done % 4 == 0:
            weights = learner.fitting.module.state_dict()
            ends.append({name: weight.clone() for name, weight in weights.items()})

    learner = make_learner("static", make_stream(2), bert, tell=tell, epochs=3)
    scores = iter([(0.25, -1.0), (0.5, -1.0), (0.5, -1.0)])
    monkeypatch.setattr(learner, "score", lambda rows, stage: next(scores))
    learner.fit(1)
    kept = learner.modules[0].state_dict()
    matches = [all(torch.equal(kept[name], end[name]) for name in kept) for end in ends]
    assert matches == [False, True, False]


def test_without_validation_rows_the_weights_of_the_last_epoch_are_kept(bert, monkeypatch):
    learner = make_learner("static", make_stream(2), bert, epochs=3)
    nothing = np.array([], dtype=np.int64)
    monkeypatch.setattr(learner, "valid_rows", lambda stage: nothing)
    ends = []

    def tell(step):
        if step.doing == "module" and step.done % 4 == 0:
            ends.append(learner.fitting.module.head.detach().clone())

    learner.tell = tell
    learner.fit(1)
    assert torch.equal(learner.modules[0].head, ends[-1])
    assert not torch.equal(ends[-1], ends[0])


@pytest.mark.parametrize(
    "settings, replayed",
    [
        ({}, set()),
        ({"active": 2}, {0, 1}),
        ({"teacher_forcing": False}, {0, 1}),
        ({"modules": 2, "joining": "in turn"}, {0}),
        ({"modules": 1}, {0, 1}),
    ],
    ids=str,
)
def test_dynamic_replays_the_tasks_that_may_give_its_module_a_gradient(settings, replayed, bert):
    learner = make_learner("dynamic", make_stream(3), bert, **settings)
    for stage in (1, 2, 3):
        learner.fit(stage)
    drawn = set(learner.fitting.drawn.tolist())
    found = {
        number for number, task in enumerate(learner.stream[:2]) if drawn & set(task.train.tolist())
    }
    assert found == replayed


def test_a_step_without_a_gradient_is_not_counted():
    rows = np.array([4, 7, 7, 9])
    fitting = Fitting(2, None, None, drawn=rows, best_score=(0.5, -1.0))
    assert fitting.summary([rows[:2], rows[:0], rows[2:3]]) == {
        "stage": 2,
        "steps": 2,
        "rows": 4,
        "distinct_rows": 3,
        "rows_with_gradient": 3,
        "best_valid_accuracy": 0.5,
    }

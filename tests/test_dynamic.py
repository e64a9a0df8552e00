"""Dynamic ConPET: its selection, its gradients and its two ends.

Selection is held against brute force, and gradients reach one module alone.
"""

from contextlib import suppress

import numpy as np
import pytest
import torch
from conftest import WORDS, make_corpus, make_learner, make_module, make_stream, module_bytes, quick

import conpet_lib as cp
from conpet_lib.corpora import Example
from conpet_lib.learners.dynamic import FLOOR, choose_active
from conpet_lib.models.features import Features
from conpet_lib.streams.stream import Stream, Task


class EnoughError(Exception):
    """Raised in the middle of a stage."""


def in_stage(stage: int, backbone, stream=None, **more):
    """A learner after the first step of the module of `stage`, all gradients cleared."""

    def tell(step):
        if (step.stage, step.doing) == (stage, "module"):
            raise EnoughError

    learner = make_learner("dynamic", stream or make_stream(3), backbone, tell=tell, **more)
    for number in range(1, stage + 1):
        with suppress(EnoughError):
            learner.fit(number)
    assert learner.fitting.stage == stage
    for module in [*learner.modules, *learner.selector.modules]:
        module.zero_grad()
    return learner


def trained(backbone, stream=None, **more):
    """A learner after all stages."""
    learner = make_learner("dynamic", stream or make_stream(3), backbone, **more)
    for stage in range(1, len(learner.stream) + 1):
        learner.fit(stage)
    return learner


def rows_of(learner, side: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Rows of all tasks on one side, and the task of each."""
    tasks = list(learner.stream)
    return (
        np.concatenate([getattr(task, side) for task in tasks]),
        np.repeat(np.arange(len(tasks)), [len(getattr(task, side)) for task in tasks]),
    )


def brute_choice(scores: list[float], k: int, true: int | None) -> set[int]:
    """The k best modules of one row; the true one takes the place of the last of them."""
    ranked = sorted(range(len(scores)), key=lambda module: -scores[module])[:k]
    if true is not None and true not in ranked:
        ranked[-1] = true
    return set(ranked)


def brute_logits(learner, rows, tasks, k: int, forced: bool) -> torch.Tensor:
    """All modules run on all rows one by one, then each row's inactive ones are overwritten.

    Gradients flow as they come.
    """
    owners = [label for module in learner.modules for label in module.owner]
    logits = torch.cat([learner.features.scores(rows, module) for module in learner.modules], 1)[
        :, np.argsort(owners)
    ]
    scores = learner.selector.task_scores(rows).tolist()
    chosen = [brute_choice(row, k, task if forced else None) for row, task in zip(scores, tasks)]
    keep = torch.tensor(
        [[learner.stream.task_of_label[label] in few for label in sorted(owners)] for few in chosen]
    )
    return torch.where(keep, logits, torch.tensor(-100.0))


def gradients(module) -> torch.Tensor:
    return torch.cat([weight.grad.flatten().clone() for weight in module.parameters()])


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 8])
def test_active_modules_agree_with_brute_force(k, forced):
    scores = torch.rand(64, 5, generator=torch.Generator().manual_seed(k))
    true = torch.arange(64) % 5
    active = choose_active(scores, k, true if forced else None)
    assert [set(row.nonzero().flatten().tolist()) for row in active] == [
        brute_choice(row.tolist(), k, int(task) if forced else None)
        for row, task in zip(scores, true)
    ]
    assert (active.sum(1) == min(k, 5)).all()
    assert active[torch.arange(64), true].all() == (forced or k >= 5)


@pytest.mark.parametrize("k, forced", [(1, True), (1, False), (2, True), (2, False), (3, True)])
def test_training_logits_equal_all_modules_run_separately(backbone, k, forced):
    learner = in_stage(3, backbone, active=k, teacher_forcing=forced, batch_limit=1, epochs=1)
    rows, tasks = rows_of(learner)
    learner.take_in(rows, 3)
    with torch.no_grad():
        logits, wanted = learner.logits(rows, 3), brute_logits(learner, rows, tasks, k, forced)
        other = brute_logits(learner, rows, tasks, k, not forced)
        everything = brute_logits(learner, rows, tasks, 3, forced)
    assert k == 3 or not torch.equal(wanted == FLOOR, other == FLOOR), (
        "the selector is never wrong here"
    )
    assert k == 3 or not torch.equal(wanted, everything)
    assert torch.equal(logits == FLOOR, wanted == FLOOR)
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)


def test_a_frozen_score_depends_on_its_row_alone(tmp_path):
    backbone, stream = cp.load_backbone("minilm-l6", device="cpu"), make_stream(3)
    module, rows = (
        make_module(backbone, trained=True),
        np.concatenate([task.train for task in stream]),
    )
    one, other = (
        Features(stream.examples, stream.kind, backbone, tmp_path / name)
        for name in ("one", "other")
    )
    together = one.frozen_scores(rows, module)
    assert len(together.unique(dim=0)) == len(rows) and torch.equal(
        one.frozen_scores(rows, module), together
    )
    for part in (rows[20:23], rows[:1], rows[::-1]):  # another run asked for other rows first
        other.frozen_scores(part, module)
    assert torch.equal(other.frozen_scores(rows, module), together), (
        "a run depends on what ran before it"
    )


@pytest.mark.parametrize("k", [1, 2])
def test_left_out_rows_change_the_gradient_only_by_the_factor_of_the_mean(backbone, k):
    learner = in_stage(3, backbone, active=k)
    rows, tasks = rows_of(learner)
    module, kept = learner.fitting.module, learner.take_in(rows, 3)
    assert set(learner.stream[2].train) <= set(kept) and (k == 2 or len(kept) < len(rows))
    learner.loss(kept, 3).backward()
    ours = gradients(module)
    assert all(
        weight.grad is None
        for other in [*learner.modules[:2], learner.selector.modules[0]]
        for weight in other.parameters()
    ), "a frozen module or the selector got a gradient"
    module.zero_grad()
    torch.nn.functional.cross_entropy(
        brute_logits(learner, rows, tasks, k, True), learner.targets(rows)
    ).backward()
    brute = gradients(module) * len(rows) / len(kept)
    assert brute.abs().max() > 1e-3
    torch.testing.assert_close(ours, brute, rtol=1e-2, atol=1e-4 * brute.abs().max().item())


@pytest.mark.parametrize("settings", [{}, {"active": 2}, {"modules": 2, "selector": "labels"}])
def test_selector_and_modules_never_train_each_other(bert, settings):
    # At each step: the stage, what trains, and hashes of the trained module, of the others and of
    # the selector.
    seen = []

    def tell(step):
        if step.doing != "prefix":
            own = learner.fitting.module if step.doing == "module" else None
            seen.append(
                (
                    step.stage,
                    step.doing,
                    own and own.fingerprint,
                    frozenset(
                        module.fingerprint for module in learner.modules if module is not own
                    ),
                    learner.selector.modules and learner.selector.modules[0].fingerprint,
                )
            )

    learner = make_learner("dynamic", make_stream(4), bert, tell=tell, **settings)
    for stage in range(1, 5):
        learner.fit(stage)
    for stage in range(2, 5):
        selector, module = (
            [entry[2:] for entry in seen if entry[:2] == (stage, part)]
            for part in ("selector", "module")
        )
        assert (
            len({chosen for _, _, chosen in selector}) > 1
            and len({own for own, _, _ in module}) > 1
        )
        assert len({others for _, others, _ in selector}) == 1, (
            "a module changed while the selector trained"
        )
        assert len({(others, chosen) for _, others, chosen in module}) == 1, (
            "the selector or a frozen module changed"
        )
        assert (
            module[0][1] <= selector[0][1] and len(module[0][1]) == min(stage, learner.budget) - 1
        )


def test_as_many_active_modules_as_there_are_equal_all_of_them(bert, tmp_path):
    runs = [
        cp.train(
            make_stream(3),
            bert,
            quick("dynamic", active=active, batch_limit=2, epochs=1),
            bar=False,
            folder=tmp_path / str(active),
            cache=tmp_path / f"cache-{active}",
        )
        for active in (1, 3, 99)
    ]
    assert module_bytes(runs[0]) != module_bytes(runs[1]) and module_bytes(runs[1]) == module_bytes(
        runs[2]
    )
    assert runs[1].predictions.equals(runs[2].predictions)
    learner = trained(bert, active=99, batch_limit=2, epochs=1)
    rows, tasks = rows_of(learner, "test")
    with torch.no_grad():
        wanted = brute_logits(learner, rows, tasks, 3, False).argmax(1)
    assert learner.answer(rows)["predicted"].tolist() == [
        learner.stream.labels[label] for label in wanted
    ]


def test_known_tasks_never_change_an_answer(bert):
    learner = trained(bert, batch_limit=1, epochs=1)
    rows, tasks = rows_of(learner, "test")
    blind, told, lied = (learner.answer(rows, known) for known in (None, tasks, tasks[::-1].copy()))
    assert (blind["chosen_task"] - 1 != tasks).any(), "the selector is never wrong here"
    assert not told["within_task"].equals(lied["within_task"])
    assert {
        "predicted",
        "module",
        "chosen_task",
        "confidence",
        "margin",
        "task_confidence",
        "ranking",
    } == {*blind}
    assert blind.equals(told[[*blind]]) and blind.equals(lied[[*blind]])
    assert blind["module"].equals(blind["chosen_task"] - 1)
    assert told["true_module_active"].equals(told["module"] == tasks)


def test_a_perfect_selector_reaches_the_bound_of_the_oracle(bert):
    learner = trained(bert, batch_limit=1, epochs=1)
    rows, tasks = rows_of(learner, "test")
    before = learner.answer(rows, tasks)
    assert not before["predicted"].equals(before["within_task"])
    task_of = dict(zip(rows.tolist(), tasks.tolist()))
    learner.selector.task_scores = lambda asked: torch.eye(3)[[task_of[int(row)] for row in asked]]
    perfect = learner.answer(rows, tasks)
    assert (
        perfect["predicted"].tolist()
        == perfect["within_task"].tolist()
        == before["within_task"].tolist()
    )
    assert np.array_equal(perfect["chosen_task"] - 1, tasks)


def test_one_module_is_static_conpet(learnable, bert, tmp_path):
    static, dynamic, two = (
        cp.train(learnable, bert, config, folder=tmp_path / name, bar=False)
        for name, config in (
            ("static", quick("static")),
            ("one", quick("dynamic", modules=1)),
            ("two", quick("dynamic", modules=2)),
        )
    )
    assert module_bytes(two) != module_bytes(static)
    assert module_bytes(dynamic) == module_bytes(static)
    assert dynamic.accuracy_matrix.equals(static.accuracy_matrix)
    assert dynamic.replayed.equals(static.replayed) and dynamic.selector_accuracy is None


def test_a_budget_of_as_many_modules_as_tasks_is_no_budget(bert, tmp_path):
    runs = [
        cp.train(
            make_stream(3),
            bert,
            quick("dynamic", modules=modules, batch_limit=2, epochs=1),
            bar=False,
            folder=tmp_path / str(modules),
        )
        for modules in (None, 3, 2)
    ]
    assert module_bytes(runs[0]) == module_bytes(runs[1]) != module_bytes(runs[2])
    assert runs[0].accuracy_matrix.equals(runs[1].accuracy_matrix)


def test_beyond_the_budget_tasks_join_modules_in_turn(bert, tmp_path):
    stream = make_stream(5)
    run = cp.train(
        stream,
        bert,
        quick("dynamic", modules=2, joining="in turn", epochs=1),
        folder=tmp_path,
        bar=False,
    )
    assert run.record.module_of_task == [0, 1, 0, 1, 0]
    assert [module.owner for module in run.learner.modules] == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7]]
    last = run.replayed.query("part == 'module' and stage == 5")
    assert set(last["task"]) == {1, 3, 5}, "a joined module replays its own tasks"


@pytest.mark.parametrize("like", [0, 1])
def test_beyond_the_budget_a_task_joins_the_most_similar_module(bert, like):
    words = [WORDS[:4], WORDS[12:16], WORDS[12 * like : 12 * like + 4]]
    examples = [
        Example(
            key=f"{task}:{row}",
            text=f"{words[task][row % 4]} {words[task][row // 4]} {words[task][0]}",
            spans=((0, len(words[task][row % 4])),),
            label=f"type {task}",
        )
        for task in range(3)
        for row in range(16)
    ]
    rows = np.arange(48).reshape(3, 16)
    stream = Stream(
        "made",
        "typing",
        examples,
        tuple(
            Task((f"type {task}",), rows[task, :10], rows[task, 10:13], rows[task, 13:])
            for task in range(3)
        ),
    )
    assert trained(bert, stream, modules=2).module_of_task == [0, 1, like]


def test_a_selector_of_labels_sums_them_into_tasks(bert):
    learner = trained(bert, selector="labels")
    selector, (rows, _) = learner.selector.modules[0], rows_of(learner, "test")
    likely = learner.features.scores_of(rows, selector).softmax(1)
    assert selector.owner == list(range(6))
    wanted = torch.stack(
        [likely[:, learner.stream.task_of_label == task].sum(1) for task in range(3)], 1
    )
    torch.testing.assert_close(learner.selector.task_scores(rows), wanted)
    assert np.array_equal(learner.answer(rows)["chosen_task"] - 1, wanted.argmax(1).numpy())


@pytest.mark.parametrize("tasks", [2, 50])
@pytest.mark.parametrize("k", [1, 2])
def test_an_answer_costs_one_prefix_one_selector_pass_and_k_module_passes(bert, tasks, k):
    stream = cp.make_stream(make_corpus(tasks, 6), tasks, 1, train=2, valid=1, test=3)
    learner = trained(
        bert, stream, active=k, batch_limit=1, epochs=1, batch_size=2, valid_examples=2
    )
    rows, _ = rows_of(learner, "test")
    before = learner.features.counts
    learner.answer(rows)
    after = learner.features.counts
    assert after["top_rows"] - before["top_rows"] == (1 + k) * len(rows)
    assert after["prefix_misses"] - before["prefix_misses"] == len(rows)
    assert after["top_rows_trained"] == before["top_rows_trained"]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_stage_takes_passes_by_the_number_of_active_modules_and_not_by_the_number_of_tasks(
    bert, k
):
    stream, passes = make_stream(30, 1, rows=12), {}
    learner = make_learner("dynamic", stream, bert, active=k)
    for stage in range(1, 31):
        before = learner.features.counts
        learner.fit(stage)
        passes[stage] = learner.features.counts - before
    trained = [passes[stage]["top_rows_trained"] for stage in range(k + 1, 31)]
    drawn, valid = 2 * 4 * 8, 2 * 12  # epochs x batches x rows; epochs x validation rows
    if k == 1:
        assert set(trained) == {
            drawn + drawn // 2
        }  # the selector on all rows, the module on its own half
    assert max(trained) <= 2 * drawn
    for stage in range(
        2, 31
    ):  # selector: validation, once each row drawn; module: validation; k others, frozen,
        bound = (
            2 * valid + drawn + valid + (k - 1) * 8 * (drawn + valid)
        )  # each in a pass of a group of 8
        assert passes[stage]["top_rows"] <= bound, stage


def test_a_stage_that_joins_a_module_reads_its_own_task_for_that_and_no_other(bert):
    learner, passes = make_learner("dynamic", make_stream(8, 1), bert, modules=2), []
    for stage in range(1, 9):
        before = learner.features.counts
        learner.fit(stage)
        passes.append((learner.features.counts - before)["top_rows"])
    assert len(set(passes[3:])) <= 2 and max(passes[3:]) - min(passes[3:]) <= 8, (
        passes
    )  # up to padding of groups

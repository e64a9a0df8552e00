"""Family: for each method, what only the right implementation has."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_learner, make_stream, module_bytes, quick
from sklearn.neighbors import NearestCentroid

import conpet_lib as cp
from conpet_lib.learners.crl import contrast
from conpet_lib.learners.ea_emr import alignment
from conpet_lib.learners.ewc import diagonal_fisher

FAMILY = [
    "joint",
    "full",
    "full-replay",
    "linear",
    "class-mean",
    "emr",
    "ea-emr",
    "crl",
    "ea-emr*",
    "crl*",
    "ewc",
    "lwf",
]
MEMORY = ["emr", "ea-emr", "crl"]


@pytest.fixture
def deep(tiny_models):
    """A tiny encoder whose layers are all tuned, as full tuning needs it."""
    return cp.load_backbone(tiny_models["bert"], tuned_layers="all", device="cpu")


def fitted(kind: str, backbone, stages: int = 3, stream=None, **more):
    """A learner after so many stages."""
    learner = make_learner(kind, stream or make_stream(3, 2), backbone, **more)
    for stage in range(1, stages + 1):
        learner.fit(stage)
    return learner


def weights(learner) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in learner.modules[0].state_dict().items()}


def same(one: dict, other: dict) -> bool:
    if one.keys() != other.keys():
        return False
    return all(torch.equal(one[name], other[name]) for name in one)


def label_names(learner, numbers) -> list[str]:
    """The labels of the stream with these numbers."""
    return [learner.stream.labels[number] for number in numbers]


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FAMILY)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(kind, deep, tmp_path):
    stream = make_stream(3, 2)
    steps = []

    def stop(step):
        steps.append(step)
        trains = step.doing != "prefix"
        is_a_stop = (step.stage, step.done) in ((2, 1), (2, 3), (3, 5))
        return trains and is_a_stop and steps.count(step) == 1

    def call(name, on_step=None):
        folder = tmp_path / name
        return cp.train(stream, deep, quick(kind), folder=folder, bar=False, on_step=on_step)

    whole = call("whole")
    runs = [call("stopped", stop) for _ in range(5)]
    run = runs[-1]
    assert not runs[0].finished
    assert run.finished
    assert whole.finished
    assert module_bytes(run) == module_bytes(whole)
    assert run.predictions.equals(whole.predictions)


@pytest.mark.parametrize("kind", FAMILY)
def test_a_loaded_run_answers_as_the_one_that_was_trained(kind, deep, tmp_path):
    run = cp.train(make_stream(2, 2), deep, quick(kind), folder=tmp_path / "run", bar=False)
    again = cp.load_run(tmp_path / "run", deep)
    texts = ["[amber] cedar number 3", "[delta] heath number 4"]
    assert again.predict(texts).equals(run.predict(texts))


@pytest.mark.parametrize("kind", sorted({*FAMILY, "static"} - {"joint", "class-mean"}))
def test_all_take_the_same_number_of_steps_of_the_same_size(kind, deep):
    learner = fitted(kind, deep)
    assert len(learner.ledger) == 3
    for entry in learner.ledger:
        assert entry["steps"] == 8
        assert entry["rows"] == 64


# --- bounds ---------------------------------------------------------------------------------------


def test_joint_at_a_stage_equals_one_training_on_the_union(bert):
    alone = make_learner("joint", make_stream(3, 2), bert)
    alone.fit(3)
    step_by_step = fitted("joint", bert)
    assert same(weights(alone), weights(step_by_step))
    union = np.concatenate([task.train for task in alone.stream])
    assert set(alone.fitting.drawn.tolist()) == set(union.tolist())
    assert alone.ledger[0]["steps"] == 3 * 8


@pytest.mark.parametrize("kind", ["full", "full-replay"])
def test_full_tuning_changes_all_weights_of_the_backbone_and_never_the_backbone(kind, deep):
    before = {name: weight.clone() for name, weight in deep.model.named_parameters()}
    learner = fitted(kind, deep, 2)
    adapter = learner.modules[0].adapter
    changed = {name for name in adapter if not torch.equal(adapter[name], before[name])}
    # A softmax does not see the bias of the keys.
    silent = {name for name in before if name.endswith("attention.self.key.bias")}
    assert set(before) - silent <= changed
    assert any("word_embeddings" in name for name in changed)
    for name, weight in deep.model.named_parameters():
        assert torch.equal(weight, before[name])
    replays = learner.ledger[1]["distinct_rows"] > 12
    assert replays == (kind == "full-replay")


def test_full_tuning_starts_from_the_backbones_own_features_and_needs_all_layers(deep, bert):
    learner = make_learner("full", make_stream(2, 2), deep)
    rows = learner.stream[0].train
    module = learner.new_module(0)
    learner.features.fill(rows)
    wide = learner.features.features_of(rows, module)
    cached = learner.features.features_of(rows)
    assert torch.allclose(wide, cached, atol=2e-2)  # the prefix is kept in half precision
    with pytest.raises(cp.ConpetError, match="tuned_layers='all'"):
        fitted("full", bert, 1)


def test_emr_can_tune_all_weights_too(deep):
    learner = fitted("emr", deep, 2, tunes="all")
    assert any("word_embeddings" in name for name in learner.modules[0].adapter)
    assert "memory" in learner.kept


def test_a_linear_head_trains_nothing_below_it(bert):
    learner = fitted("linear", bert, 2)
    rows = learner.stream[0].test
    assert set(weights(learner)) == {"head", "bias"}
    below = learner.features.features_of(rows, learner.modules[0])
    assert torch.equal(below, learner.features.features_of(rows))


def test_class_means_are_scikit_learns_nearest_centroid(bert):
    learner = fitted("class-mean", bert)
    train = np.concatenate([task.train for task in learner.stream])
    test = np.concatenate([task.test for task in learner.stream])
    centroids = NearestCentroid()
    centroids.fit(learner.features.features_of(train), learner.stream.label_numbers(train))
    wanted = centroids.predict(learner.features.features_of(test))
    assert learner.answer(test)["predicted"].tolist() == label_names(learner, wanted)
    assert [entry["steps"] for entry in learner.ledger] == [0, 0, 0]


# --- memories -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MEMORY)
@pytest.mark.parametrize(
    "more",
    [
        {"memory": 2},
        {"memory_in_all": 7},
        {"memory": 2, "choosing": "herding"},
        {"memory": 2, "choosing": "random"},
    ],
    ids=str,
)
def test_a_memory_never_exceeds_its_size_and_is_all_that_is_replayed(kind, more, bert):
    learner = make_learner(kind, make_stream(3, 2), bert, **more)
    for stage in (1, 2, 3):
        memory = set()
        if stage > 1:
            memory = set(learner.kept["memory"].tolist())
        learner.fit(stage)
        new = set(learner.stream[stage - 1].train.tolist())
        old = set(learner.fitting.drawn.tolist()) - new
        assert old <= memory
        assert bool(old) == (stage > 1)
        labels = learner.stream.label_numbers(learner.kept["memory"].numpy())
        rows_of_label = np.bincount(labels)
        assert rows_of_label.max() <= learner.budget(stage)
        assert len(rows_of_label) == 2 * stage
        assert rows_of_label.min() >= 1
    if "memory_in_all" in more:
        assert len(learner.kept["memory"]) <= 7


def test_a_memory_that_must_shrink_keeps_what_was_chosen_first(bert):
    learner = fitted("emr", bert, 1, memory_in_all=8)
    first = learner.memory
    first_labels = learner.stream.label_numbers(first)
    learner.fit(2)
    labels = learner.stream.label_numbers(learner.memory)
    for label in (0, 1):
        kept = learner.memory[labels == label].tolist()
        assert kept == first[first_labels == label][:2].tolist()


def test_emr_validates_on_a_quarter_as_many_past_rows_as_it_keeps(bert):
    learner = fitted("emr", bert, 1, memory=5)
    assert [len(task.valid) for task in learner.past(2)] == [2 * 2]  # two labels, 5 / 4 rounded up
    assert len(learner.stream[0].valid) == 2 * 3


def test_a_reservoir_is_bounded_and_holds_every_row_with_the_same_probability(bert):
    stream = make_stream(3, 2)
    counts = np.zeros(72)
    learner = make_learner("emr", stream, bert, choosing="reservoir", memory_in_all=9)
    for seed in range(200):
        learner.seed = seed
        learner.kept = {}
        for stage in (1, 2, 3):
            learner.remember(stage)
            assert len(learner.kept["memory"]) == 9
        counts[learner.kept["memory"].numpy()] += 1
    rows = np.concatenate([task.train for task in stream])
    assert counts[rows].min() > 20  # 50 are expected, with a deviation of 6
    assert counts[rows].sum() == 200 * 9
    first = counts[stream[0].train].mean()
    last = counts[stream[2].train].mean()
    assert abs(first - last) < 10


@pytest.mark.parametrize("plain", ["ea-emr", "crl"])
def test_a_star_changes_the_rows_drawn_and_nothing_else(plain, bert):
    without = make_learner(plain, make_stream(3, 2), bert, memory=1)
    starred = make_learner(f"{plain}*", make_stream(3, 2), bert, memory=1)
    for learner in (without, starred):
        learner.fit(1)
    assert same(weights(without), weights(starred))  # nothing to replay yet
    past = without.stream[0].train
    rows = np.concatenate([past[:3], without.stream[1].train[:3]])
    for learner in (without, starred):
        learner.fitting = learner.begin(2)
        learner.features.fill(rows)
    assert torch.equal(without.loss(rows, 2), starred.loss(rows, 2))
    replayed = set(np.concatenate(without.batches(2, 0))) & set(past)
    replayed_by_starred = set(np.concatenate(starred.batches(2, 0))) & set(past)
    assert replayed <= set(without.kept["memory"].tolist())
    assert len(replayed_by_starred) > len(replayed)


# --- EA-EMR, CRL ----------------------------------------------------------------------------------


def test_alignment_brings_old_features_closer_to_where_they_were():
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(40, 8, generator=generator)
    drift = torch.eye(8) + 0.3 * torch.randn(8, 8, generator=generator)
    now = before @ drift
    moved = now @ alignment(now, before).T
    assert (moved - before).norm() < 0.7 * (now - before).norm()
    assert torch.allclose(alignment(before, before), torch.eye(8), atol=1e-6)


def test_the_alignment_goes_into_the_head_of_ea_emr(bert):
    plain = make_learner("emr", make_stream(2, 2), bert, memory=3)
    aligned = make_learner("ea-emr", make_stream(2, 2), bert, memory=3)
    for learner in (plain, aligned):
        learner.fit(1)
    assert same(weights(plain), weights(aligned))
    memory = aligned.kept["memory"].numpy()
    stored = aligned.kept["features"]
    for learner in (plain, aligned):
        learner.fit(2)
    # Both are trained alike up to the alignment.
    now = plain.features.features_of(memory, plain.modules[0])
    plain_head = plain.modules[0].head.data
    aligned_head = aligned.modules[0].head.data
    assert torch.allclose(aligned_head, plain_head @ alignment(now, stored), atol=1e-5)
    assert not torch.allclose(aligned_head, plain_head, atol=1e-3)


def contrast_by_hand(features, labels, prototypes, temperature) -> float:
    """The contrastive loss, one pair after the other."""
    compared = [*features, *prototypes]
    owner = [*labels.tolist(), *range(len(prototypes))]
    terms = []
    for row, feature in enumerate(features):
        scores = {}
        for other, vector in enumerate(compared):
            if other != row:
                scores[other] = float(np.exp(float(feature @ vector) / temperature))
        in_all = sum(scores.values())
        of_the_same_label = [scores[other] for other in scores if owner[other] == owner[row]]
        terms.append(-np.mean([np.log(score / in_all) for score in of_the_same_label]))
    return np.mean(terms)


def test_contrast_matches_a_direct_computation_and_falls_for_pulled_pairs():
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(4, 3, generator=generator))
    prototypes = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator))
    labels = torch.tensor([0, 1, 0, 1])
    temperature = 0.1
    wanted = contrast_by_hand(features, labels, prototypes, temperature)
    spread_loss = contrast(features, labels, prototypes, temperature)
    assert spread_loss.item() == pytest.approx(wanted, rel=1e-5)
    pulled = torch.nn.functional.normalize(features + 2 * prototypes[labels])
    assert contrast(pulled, labels, prototypes, temperature) < spread_loss


def prototypes(learner, numbers) -> torch.Tensor:
    """The normalised mean feature of each label's rows in the memory, by hand.

    It is taken under the module as it is.
    """
    memory = learner.kept["memory"].numpy()
    owner = learner.stream.label_numbers(memory)
    means = []
    for number in numbers:
        features = learner.features.features_of(memory[owner == number], learner.modules[0])
        means.append(features.mean(0))
    return torch.nn.functional.normalize(torch.stack(means))


def test_crl_answers_by_the_cosine_to_the_mean_of_a_labels_memory(bert):
    # The memory keeps all rows, so that the new labels' mean is of the same rows.
    learner = fitted("crl", bert, 2, memory=100)
    rows = np.concatenate([task.test for task in learner.stream[:2]])
    features = learner.features.features_of(rows, learner.modules[0])
    wanted = (features @ prototypes(learner, range(4)).T).argmax(1)
    assert learner.answer(rows)["predicted"].tolist() == label_names(learner, wanted)


def test_crl_adds_the_divergence_of_old_rows_relations_from_what_they_were(bert):
    learner = fitted("crl", bert, 1, memory=4)
    before = prototypes(learner, range(2))  # (old_labels, hidden)
    learner.fitting = learner.begin(2)
    module = learner.modules[0]
    rows = np.concatenate([learner.stream[0].train[:3], learner.stream[1].train[:2]])
    with torch.no_grad():  # another module than the one whose relations are kept
        for weight in module.adapter.values():
            generator = torch.Generator().manual_seed(0)
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    learner.set_head(module, 2)  # as after an epoch: the prototypes moved, the relations stay
    features = torch.nn.functional.normalize(learner.features.features_of(rows, module))
    now = torch.nn.functional.normalize(module.head.detach())
    labels = learner.targets(rows)
    old = (10 * before[labels[:3]] @ before.T).softmax(1)
    new = (10 * features[:3] @ now[:2].T).softmax(1)
    wanted = (old * (old / new).log()).sum(1).mean()
    assert wanted > 1e-3
    moved = (10 * now[labels[:3]] @ now[:2].T).softmax(1)
    assert (moved - old).abs().max() > 1e-3, "the prototypes did not move"
    found = learner.loss(rows, 2) - contrast(features, labels, now, 0.1)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-3)


# --- regularisers ---------------------------------------------------------------------------------


def test_the_fisher_of_a_logistic_case_worked_by_hand():
    """One weight w = 0 with the loss log(1 + exp(-y w x)).

    The gradient is -y x / 2, so F is the mean of x^2 / 4.
    """
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    rows = [(1.0, 1), (2.0, -1), (4.0, 1)]

    def loss(x, y):
        return torch.nn.functional.softplus(-y * module(torch.tensor([x]))).sum()

    losses = [partial(loss, x, y) for x, y in rows]
    assert diagonal_fisher(module, losses)["weight"].item() == pytest.approx((1 + 4 + 16) / 4 / 3)


def test_strong_springs_hold_the_weights_and_none_leave_vanilla(bert):
    def way_of_the_weights(kind, **more):
        learner = fitted(kind, bert, 1, **more)
        before = weights(learner)
        learner.fit(2)
        after = weights(learner)
        way = 0.0
        for name, value in before.items():
            way += (after[name][: len(value)] - value).abs().sum().item()
        return way

    plain = way_of_the_weights("vanilla")
    loose = way_of_the_weights("ewc", strength=0.0)
    held = way_of_the_weights("ewc", strength=1e9)
    assert plain == loose
    assert held < 0.5 * plain


def test_the_loss_of_ewc_is_vanillas_and_half_the_strength_times_the_springs(bert):
    learner = fitted("ewc", bert, 1, strength=30.0)
    learner.fitting = learner.begin(2)
    rows = learner.stream[1].train[:4]
    with torch.no_grad():
        for weight in learner.modules[0].parameters():
            weight.add_(0.1)
    springs = 0.0
    for name, weight in learner.modules[0].state_dict().items():
        anchor = learner.kept[f"anchor.{name}"]
        fisher = learner.kept[f"fisher.{name}"]
        springs += (fisher * (weight[: len(anchor)] - anchor) ** 2).sum()
    plain = torch.nn.functional.cross_entropy(learner.logits(rows, 2), learner.targets(rows))
    wanted = plain + 30.0 / 2 * springs
    assert learner.loss(rows, 2).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert springs > 0


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_ewc_holds_all_weights_of_either_family(name, tiny_models):
    backbone = cp.load_backbone(tiny_models[name], tuned_layers="all", device="cpu")
    kept = fitted("ewc", backbone, 2, tunes="all").kept
    of_the_adapter = [name for name in kept if name.startswith("fisher.adapter")]
    assert any(kept[name].any() for name in of_the_adapter)


def test_springs_add_up_over_tasks_and_are_anchored_at_the_last_stage(bert):
    learner = fitted("ewc", bert, 1)
    first = {name: value.clone() for name, value in learner.kept.items()}
    learner.fit(2)
    now = weights(learner)
    for name, value in learner.kept.items():
        kind, weight = name.split(".", 1)
        if kind == "anchor":
            assert torch.equal(value, now[weight])
        else:
            old = first[name]
            assert (value[: len(old)] >= old).all()
            assert (value >= 0).all()


def test_the_teacher_of_lwf_is_the_module_as_it_was_before_the_stage(bert):
    learner = fitted("lwf", bert, 1)
    before = weights(learner)
    learner.fit(2)
    assert same(dict(learner.teacher.state_dict()), before)
    assert not same(weights(learner), before)


def test_the_loss_of_lwf_is_vanillas_and_the_softened_cross_entropy_to_the_teacher(bert):
    learner = fitted("lwf", bert, 1, strength=0.5, temperature=3.0)
    learner.fitting = learner.begin(2)
    rows = learner.stream[1].train[:4]
    now = learner.logits(rows, 2)
    teacher = learner.features.scores(rows, learner.teacher)
    wanted_shares = (teacher / 3).softmax(1)
    log_shares = (now[:, :2] / 3).log_softmax(1)
    soft = -(wanted_shares * log_shares).sum(1).mean()
    plain = torch.nn.functional.cross_entropy(now, learner.targets(rows))
    wanted = plain + 0.5 * 9 * soft
    assert learner.loss(rows, 2).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_distillation_holds_old_probabilities_on_new_rows(bert):
    def drift(strength):
        learner = fitted("lwf", bert, 1, strength=strength)
        rows = learner.stream[1].train
        learner.features.fill(rows)
        before = learner.features.scores_of(rows, learner.modules[0]).softmax(1)
        learner.fit(2)
        after = learner.features.scores_of(rows, learner.modules[0])[:, :2].softmax(1)
        return (after - before).abs().mean().item()

    free = drift(0.0)
    held = drift(20.0)
    assert held < 0.5 * free


def test_configs_refuse_a_learner_that_is_not_theirs_and_settings_out_of_range():
    message = r"learner must be one of crl, crl\*, ea-emr, ea-emr\*, emr\."
    with pytest.raises(ValueError, match=message):
        cp.MemoryConfig(learner="static")
    with pytest.raises(ValueError, match="choosing must be k-means, herding, random"):
        cp.CRLConfig(memory_in_all=9, choosing="reservoir")
    with pytest.raises(ValueError, match="memory must be a whole number"):
        cp.MemoryConfig(memory=0)


def test_the_table_of_methods_has_every_learner_and_is_the_one_in_the_readme():
    table = cp.methods()
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert set(table.index) == set(cp.LEARNERS)
    for learner, row in table.iterrows():
        name = f"{row['name']} (`{learner}`)"
        shown = [name, *row[["trains", "keeps", "replays", "cost", "source"]]]
        assert f"| {' | '.join(shown)} |" in readme
    assert not table.duplicated(["colour", "marker"]).any()


def test_what_two_runs_did_not_spend_alike_is_named_and_the_rest_is_not(bert, tmp_path):
    def train(kind):
        return cp.train(make_stream(2, 2), bert, quick(kind), folder=tmp_path / kind, bar=False)

    static = train("static")
    vanilla = train("vanilla")
    lwf = train("lwf")
    table = cp.compare_costs(static, vanilla)
    assert {"distinct rows", "seconds"} <= set(table.index)
    assert not {"steps", "rows"} & set(table.index)
    assert table.loc["distinct rows", "ratio"] > 1
    assert cp.compare_costs(lwf, vanilla).loc["passes", "ratio"] > 1  # the teacher's


def test_an_operation_on_all_weights_counts_the_gradient_of_each(deep, tmp_path):
    def train(kind, **more):
        folder = tmp_path / kind
        return cp.train(make_stream(1, 2), deep, quick(kind, **more), folder=folder, bar=False)

    def operations(run):
        return run.costs[0]["operations"]["top_trained"]

    full = train("full", targets=("query",), rank=1)
    static = train("static", targets=("query",), rank=1)
    linear = train("linear")
    assert operations(full) == pytest.approx(1.5 * operations(static))
    assert operations(linear) == pytest.approx(operations(static) / 2)
    with pytest.raises(cp.ConpetError, match="no PET module"):
        linear.export(tmp_path / "exported")
    assert full.summary()["trained parameters"] > 10 * static.summary()["trained parameters"]


@pytest.mark.parametrize("kind", cp.LEARNERS)
def test_every_method_has_a_forecast_of_the_weights_and_steps_that_its_run_has(
    kind, bert, deep, tmp_path
):
    stream = make_stream(3)
    backbone = deep if kind.startswith("full") else bert
    expected = cp.forecast(stream, backbone, quick(kind, epochs=1))
    run = cp.train(stream, backbone, quick(kind, epochs=1), folder=tmp_path, bar=False)
    assert expected.trained_parameters == run.summary()["trained parameters"]
    assert expected.steps == run.summary()["steps"]
    assert expected.minutes > 0


@pytest.mark.parametrize("kind", ["joint", "full", "class-mean", "linear"])
def test_the_old_spelling_of_a_configuration_makes_the_new_one_and_warns(kind):
    config_class = cp.StaticConfig if kind == "linear" else cp.VanillaConfig
    with pytest.warns(DeprecationWarning, match=f"cp.method..{kind}"):
        old = config_class(learner=kind, rank=2)
    assert old == cp.method(kind, rank=2)


@pytest.mark.parametrize("kind", ["class-mean", "joint"])
def test_every_run_has_costs_that_can_be_compared(kind, bert, tmp_path):
    runs = [
        cp.train(make_stream(2, 2), bert, quick(name), folder=tmp_path / name, bar=False)
        for name in (kind, "static")
    ]
    table = cp.compare_costs(*runs)
    assert {"steps", "passes", "operations"} <= set(table.index)
    assert (table.loc["steps", "one"] == 0) == (kind == "class-mean")

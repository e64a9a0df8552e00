"""The table of methods: every learner by name, methods of one's own, and what is asked of them."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, fields
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from conftest import make_stream, quick

import conpet_lib as cp
from conpet_lib.learners import StaticConPET
from conpet_lib.learners.methods import METHODS
from conpet_lib.learners.settings import share

SMALL = {"batch_size": 4, "batch_limit": 2, "epochs": 1, "valid_examples": 4}


@pytest.fixture(autouse=True)
def as_before():
    """The table as it was, whatever a test registers."""
    kept = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(kept)


class Patient(StaticConPET):
    """Static ConPET whose loss grows with the stage."""

    def loss(self, rows, stage):
        return super().loss(rows, stage) * stage


def test_a_configuration_is_had_by_name_and_names_its_learner():
    config = cp.method("crl*", memory=20)
    assert (config.learner, config.memory) == ("crl*", 20)
    for name, learner in cp.LEARNERS.items():
        assert cp.method(name).learner_class is learner and cp.method(name).learner == name
    with pytest.raises(cp.ConpetError, match=r"Unknown learner .dynmic.*Did you mean .dynamic"):
        cp.method("dynmic")


def test_a_method_of_ones_own_has_a_name_a_configuration_and_a_look_of_its_own(bert, tmp_path):
    config = cp.register("patient", Patient, title="Patient", keeps="all rows")
    assert cp.LEARNERS["patient"] is Patient and "patient" in list(cp.LEARNERS)
    assert cp.method("patient", rank=2) == config(rank=2)
    assert cp.methods().loc["patient", "keeps"] == "all rows"
    run = cp.train(make_stream(2), bert, config(**SMALL), folder=tmp_path, bar=False)
    name = cp.plots.looks(run)[0]
    others = cp.methods().drop(index="patient")
    assert name == "Patient"
    assert (METHODS["patient"].colour, METHODS["patient"].marker) not in zip(
        others["colour"], others["marker"]
    )
    assert cp.forecast(make_stream(2), bert, config(**SMALL)).steps == run.summary()["steps"]


def test_settings_of_ones_own_are_checked_recorded_and_loaded(bert, tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class HastyConfig(cp.StaticConfig):
        """Static ConPET with a part of its loss."""

        part: float = share(0.5, "Part of the loss.")

    class Hasty(StaticConPET):
        """Static ConPET with a part of its loss."""

        def loss(self, rows, stage):
            return super().loss(rows, stage) * self.config.part

    cp.register("hasty", Hasty, HastyConfig)
    with pytest.raises(ValueError, match=r"part=2\): part must be above 0, at most 1"):
        cp.method("hasty", part=2)
    run = cp.train(
        make_stream(2), bert, cp.method("hasty", part=0.25, **SMALL), folder=tmp_path, bar=False
    )
    assert run.record.config["part"] == 0.25
    assert cp.load_run(tmp_path, bert).learner.config == cp.method("hasty", part=0.25, **SMALL)
    del METHODS["hasty"]
    assert cp.load_run(tmp_path, bert).whole_accuracy.equals(run.whole_accuracy)
    with pytest.raises(cp.ConpetError, match=r"'hasty', which is not known here.*cp.register"):
        _ = cp.load_run(tmp_path, bert).learner


def test_the_librarys_own_methods_are_not_replaced_and_a_cell_may_be_run_again():
    with pytest.raises(cp.ConpetError, match="'static' is a method of the library's own"):
        cp.register("static", Patient)
    first = cp.register("patient", Patient)
    assert cp.register("patient", Patient) is not first and list(cp.LEARNERS).count("patient") == 1


@pytest.mark.long
def test_a_learner_of_a_notebooks_cell_goes_into_a_process_that_has_not_registered_it(
    bert, tiny_models, tmp_path
):
    # What joblib's workers do: the class travels by value, since nobody can import it from a cell.
    cell = """
        import sys
        import cloudpickle
        import conpet_lib as cp

        class Patient(cp.learners.StaticConPET):
            def loss(self, rows, stage):
                return super().loss(rows, stage) * stage

        config = cp.register("patient", Patient)(epochs=1, batch_limit=2, batch_size=4)
        with open(sys.argv[1], "wb") as file:
            file.write(cloudpickle.dumps(config))
    """
    file = tmp_path / "config"
    subprocess.run([sys.executable, "-c", textwrap.dedent(cell), file], check=True)
    config = cloudpickle.loads(file.read_bytes())
    assert config.learner == "patient" and "patient" not in cp.LEARNERS
    run = cp.train(make_stream(2), bert, config, folder=tmp_path / "run", bar=False)
    assert run.finished and run.name == "patient"


@pytest.mark.parametrize("kind", cp.LEARNERS)
def test_what_must_hold_of_a_learner_holds_of_each_of_the_librarys(kind, bert, tiny_models):
    whole = cp.load_backbone(tiny_models["bert"], tuned_layers="all", device="cpu")
    backbone = whole if kind.startswith("full") else bert
    cp.check_learner(quick(kind, epochs=1), make_stream(2), backbone)


class Peeking(StaticConPET):
    """It asks what the true task is."""

    def answer(self, rows, known_tasks=None):
        table = super().answer(rows, known_tasks)
        if known_tasks is not None:
            table["predicted"] = table["within_task"]
        return table


class Crowded(StaticConPET):
    """Its answers depend on the row beside them."""

    def answer(self, rows, known_tasks=None):
        table = super().answer(rows, known_tasks)
        table["confidence"] = np.linspace(0, 1, len(table))
        return table


class Rolling(StaticConPET):
    """It draws from numpy's global state."""

    draws = 0

    def loss(self, rows, stage):
        type(self).draws += 1
        return super().loss(rows, stage) * (1 + type(self).draws)


class Silent(StaticConPET):
    """It trains, and writes nothing into the ledger."""

    def fit(self, stage):
        super().fit(stage)
        self.ledger.clear()


class Hoarder(StaticConPET):
    """It keeps what cannot be written."""

    def close(self, stage):
        super().close(stage)
        self.kept["notes"] = ["a", "list"]


class Doubled(StaticConPET):
    """It trains twice as many batches as it plans."""

    def batches(self, stage, epoch):
        return 2 * super().batches(stage, epoch)


class Breaking(StaticConPET):
    """It trains the backbone."""

    def close(self, stage):
        super().close(stage)
        next(self.features.backbone.model.parameters()).data.add_(1)


class BreakingTuned(StaticConPET):
    """It trains a weight that stands beneath a module."""

    def close(self, stage):
        super().close(stage)
        for name, weight in self.features.backbone.model.named_parameters():
            if name.endswith("query.base_layer.weight"):
                weight.data.add_(1)


@pytest.mark.parametrize(
    "learner, message",
    [
        (Peeking, "depends on `known_tasks`"),
        (Crowded, "depends on the other rows"),
        (Rolling, "one seed gave different weights"),
        (Silent, "ledger of the part 'module'"),
        (Hoarder, "no tensors"),
        (Doubled, "`steps` says"),
        (Breaking, "backbone's weight"),
        (BreakingTuned, "backbone's weight"),
    ],
)
def test_a_learner_that_breaks_a_promise_is_told_which(learner, message, tiny_models):
    backbone = cp.load_backbone(tiny_models["bert"], tuned_layers=2, device="cpu")
    cp.register("faulty", learner)
    with pytest.raises(cp.ConpetError, match=message):
        cp.check_learner(cp.method("faulty", **SMALL), make_stream(2), backbone)


def test_a_learner_that_is_not_registered_is_told_so(bert):
    config = cp.register("patient", Patient)(**SMALL)
    del METHODS["patient"]
    with pytest.raises(cp.ConpetError, match="'patient' is not registered"):
        cp.check_learner(config, make_stream(2), bert)


@pytest.mark.long
def test_a_learner_of_a_notebooks_cell_trains_in_the_worker_processes_of_a_grid(
    tiny_models, tmp_path
):
    cell = """
        import sys
        import conftest
        import conpet_lib as cp

        class Patient(cp.learners.StaticConPET):
            def loss(self, rows, stage):
                return super().loss(rows, stage) * stage

        if __name__ == "__main__":
            cp.register("patient", Patient)
            backbone = cp.load_backbone(sys.argv[1], tuned_layers=2, device="cpu")
            config = cp.method("patient", epochs=1, batch_limit=2, batch_size=4)
            table = cp.grid(
                [conftest.make_stream(2)],
                backbone,
                [config],
                [0, 1],
                folder="grid",
                processes=2,
                bar=False,
            )
            assert table["finished"].all(), table["problem"].tolist()
            assert set(table["learner"]) == {"patient"}
    """
    script = tmp_path / "cell.py"
    script.write_text(textwrap.dedent(cell))
    paths = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run(
        [sys.executable, script, tiny_models["bert"]], cwd=tmp_path, env=environment, check=True
    )


@pytest.mark.parametrize("corpus, tokens", [("fewrel", 128), ("fewnerd", 256)])
def test_the_papers_settings_can_be_forecast_and_gridded(corpus, tokens, tiny_models, tmp_path):
    folder = shutil.copytree(tiny_models["llama"], tmp_path / "llama")
    settings = json.loads((folder / "config.json").read_text())
    settings["max_position_embeddings"] = 256
    (folder / "config.json").write_text(json.dumps(settings))
    backbone = cp.load_backbone(str(folder), tuned_layers="all", device="cpu")
    config = cp.paper(cp.StaticConfig, corpus, epochs=1, batch_limit=2)
    assert config.max_tokens == tokens
    assert cp.forecast(make_stream(2), backbone, config, calibrate=False).steps > 0
    table = cp.grid([make_stream(2)], backbone, [config], [0], tmp_path, processes=1, bar=False)
    assert table["finished"].all() and table["max_tokens"].tolist() == [tokens]


def test_a_kind_of_module_that_is_not_there_yet_is_refused_in_words():
    with pytest.raises(cp.ConpetError, match=r"pet='ia3' is not a known kind.*Known: lora"):
        cp.StaticConfig(pet="ia3")


def test_every_setting_says_what_it_means():
    for row in METHODS.values():
        for each in fields(row.config):
            rule = each.metadata.get("rule")
            assert rule is None or (rule.about.endswith(".") and rule.wanted)

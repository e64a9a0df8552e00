"""The comparison with the authors' code: its learners train."""

import pytest
from conftest import make_stream
from mishaps import MISHAPS, register_mishaps

import conpet_lib as cp
from conpet_lib.learners.methods import METHODS


@pytest.fixture
def configs():
    """Config classes of the comparison's learners, known to the registry for a while."""
    kept = dict(METHODS)
    yield register_mishaps()
    METHODS.clear()
    METHODS.update(kept)


@pytest.mark.parametrize("name", MISHAPS)
def test_a_learner_of_the_comparison_trains(name, configs, bert, tmp_path):
    config = configs[name](epochs=1, batch_limit=2, batch_size=8, valid_examples=8)
    run = cp.train(make_stream(2), bert, config, folder=tmp_path / "run", cache=tmp_path, bar=False)
    assert run.finished and run.record.learner == f"dynamic, {name}"

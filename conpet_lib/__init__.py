"""ConPET workbench: continual learning of a frozen language model, to learn, take apart and extend.

    import conpet_lib as cp

    corpus = cp.load_corpus("wordnet")
    stream = cp.make_stream(corpus, tasks=8, labels_per_task=4)
    backbone = cp.load_backbone("minilm-l6")
    run = cp.train(stream, backbone, cp.DynamicConfig(active=1), seed=0, folder="runs/dynamic-0")
    run.average_accuracy

The rooms of the library follow the data flow, and each imports only from rooms before it: `core`,
`corpora`, `streams`, `models`, `learners`, `runs`, `plots`, `analysis`, `widgets`. README.md lists
their files in the order in which they are best read.

Axis words of our tensors: `batch` (rows of one pass), `tokens` (of a prompt, padded), `hidden` (the
backbone's width), `layers`, `tasks`, `seen_labels` (all labels of stages 1..k, in that order),
`stages`, `seeds`.
"""

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from conpet_lib.former import FORMER, install

# Threads that wait should sleep: where other programs are busy, spinning ones take ten times as
# long. OpenMP reads this when torch is loaded; what the user has set stands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:  # the same names for type checkers and editors, which do not run `__getattr__`
    from conpet_lib import metrics as metrics
    from conpet_lib import plots as plots
    from conpet_lib import widgets as widgets
    from conpet_lib.analysis.comparing import compare as compare
    from conpet_lib.analysis.comparing import compare_costs as compare_costs
    from conpet_lib.analysis.dry_run import dry_run as dry_run
    from conpet_lib.analysis.forecast import forecast as forecast
    from conpet_lib.analysis.forgetting import forgetting_split as forgetting_split
    from conpet_lib.analysis.forgetting import lost_rows as lost_rows
    from conpet_lib.analysis.grid import grid as grid
    from conpet_lib.analysis.noise_floor import noise_floor as noise_floor
    from conpet_lib.analysis.repair import selector_bench as selector_bench
    from conpet_lib.analysis.selectors import compare_selectors as compare_selectors
    from conpet_lib.analysis.selectors import selector_points as selector_points
    from conpet_lib.analysis.tables import runs_table as runs_table
    from conpet_lib.core.errors import ConpetError as ConpetError
    from conpet_lib.core.machine import check_machine as check_machine
    from conpet_lib.corpora import load_corpus as load_corpus
    from conpet_lib.corpora import register_reader as register_reader
    from conpet_lib.corpora.checks import check_reader as check_reader
    from conpet_lib.learners.base import Learner as Learner
    from conpet_lib.learners.bounds import FullConfig as FullConfig
    from conpet_lib.learners.bounds import FullReplayConfig as FullReplayConfig
    from conpet_lib.learners.bounds import JointConfig as JointConfig
    from conpet_lib.learners.bounds import VanillaConfig as VanillaConfig
    from conpet_lib.learners.checks import check_learner as check_learner
    from conpet_lib.learners.config import LearnerConfig as LearnerConfig
    from conpet_lib.learners.crl import CRLConfig as CRLConfig
    from conpet_lib.learners.crl import CRLStarConfig as CRLStarConfig
    from conpet_lib.learners.dynamic import DynamicConfig as DynamicConfig
    from conpet_lib.learners.ea_emr import EAEMRConfig as EAEMRConfig
    from conpet_lib.learners.ea_emr import EAEMRStarConfig as EAEMRStarConfig
    from conpet_lib.learners.emr import MemoryConfig as MemoryConfig
    from conpet_lib.learners.ewc import EWCConfig as EWCConfig
    from conpet_lib.learners.exact import RanPACConfig as RanPACConfig
    from conpet_lib.learners.exact import RidgeConfig as RidgeConfig
    from conpet_lib.learners.fitting import Step as Step
    from conpet_lib.learners.frozen import ClassMeanConfig as ClassMeanConfig
    from conpet_lib.learners.frozen import LinearConfig as LinearConfig
    from conpet_lib.learners.lwf import LwFConfig as LwFConfig
    from conpet_lib.learners.methods import LEARNERS as LEARNERS
    from conpet_lib.learners.methods import METHODS as METHODS
    from conpet_lib.learners.methods import method as method
    from conpet_lib.learners.methods import methods as methods
    from conpet_lib.learners.paper import paper as paper
    from conpet_lib.learners.registering import register as register
    from conpet_lib.learners.static import StaticConfig as StaticConfig
    from conpet_lib.models.checks import check_adapter as check_adapter
    from conpet_lib.models.checks import check_answer_row as check_answer_row
    from conpet_lib.models.loading import load_backbone as load_backbone
    from conpet_lib.runs.dropping import drop_task as drop_task
    from conpet_lib.runs.run import load_run as load_run
    from conpet_lib.runs.training import train as train
    from conpet_lib.streams.drawing import make_stream as make_stream

try:
    __version__ = version("conpet-workbench")
except PackageNotFoundError:  # a checkout that is on the path without being installed
    __version__ = "0+unknown"

# Where each public name lives. A room is imported when one of its names is first used, so that
# loading a run or computing a metric does not wait for transformers, peft and seaborn.
_CORE = {
    "ConpetError": "core.errors",
    "check_machine": "core.machine",
}
_CORPORA = {
    "load_corpus": "corpora",
    "register_reader": "corpora",
    "check_reader": "corpora.checks",
}
_STREAMS = {
    "make_stream": "streams.drawing",
}
_MODELS = {
    "load_backbone": "models.loading",
    "check_adapter": "models.checks",
    "check_answer_row": "models.checks",
}
_CONFIGS = {
    "LearnerConfig": "learners.config",
    "VanillaConfig": "learners.bounds",
    "FullConfig": "learners.bounds",
    "FullReplayConfig": "learners.bounds",
    "JointConfig": "learners.bounds",
    "LinearConfig": "learners.frozen",
    "ClassMeanConfig": "learners.frozen",
    "RidgeConfig": "learners.exact",
    "RanPACConfig": "learners.exact",
    "StaticConfig": "learners.static",
    "DynamicConfig": "learners.dynamic",
    "MemoryConfig": "learners.emr",
    "EAEMRConfig": "learners.ea_emr",
    "EAEMRStarConfig": "learners.ea_emr",
    "CRLConfig": "learners.crl",
    "CRLStarConfig": "learners.crl",
    "EWCConfig": "learners.ewc",
    "LwFConfig": "learners.lwf",
}
_LEARNERS = {
    "paper": "learners.paper",
    "Learner": "learners.base",
    "Step": "learners.fitting",
    "METHODS": "learners.methods",
    "LEARNERS": "learners.methods",
    "method": "learners.methods",
    "methods": "learners.methods",
    "register": "learners.registering",
    "check_learner": "learners.checks",
}
_RUNS = {
    "train": "runs.training",
    "load_run": "runs.run",
    "drop_task": "runs.dropping",
}
_ANALYSIS = {
    "forgetting_split": "analysis.forgetting",
    "lost_rows": "analysis.forgetting",
    "grid": "analysis.grid",
    "runs_table": "analysis.tables",
    "compare": "analysis.comparing",
    "compare_costs": "analysis.comparing",
    "dry_run": "analysis.dry_run",
    "forecast": "analysis.forecast",
    "noise_floor": "analysis.noise_floor",
    "selector_bench": "analysis.repair",
    "compare_selectors": "analysis.selectors",
    "selector_points": "analysis.selectors",
}
_HOMES = _CORE | _CORPORA | _STREAMS | _MODELS | _CONFIGS | _LEARNERS | _RUNS | _ANALYSIS
_ROOMS = (
    "core",
    "corpora",
    "streams",
    "models",
    "learners",
    "runs",
    "plots",
    "analysis",
    "widgets",
    "metrics",
)

_FOR_PAGES = ("IPython", "ipywidgets")  # what the extra [notebooks] brings

install()

__all__ = [*_HOMES, "metrics", "plots", "widgets", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name, or a room, when it is first used."""
    if name in _HOMES:
        value = getattr(import_module(f"conpet_lib.{_HOMES[name]}"), name)
    elif name in _ROOMS or name in FORMER:
        value = _room(name)
    else:
        raise AttributeError(f"module 'conpet_lib' has no attribute {name!r}")
    globals()[name] = value
    return value


def _room(name: str) -> Any:
    """A room by its name; says what to install where the packages of the pages are not there."""
    try:
        return import_module(f"conpet_lib.{name}")
    except ModuleNotFoundError as error:
        if error.name not in _FOR_PAGES:
            raise
        raise ModuleNotFoundError(
            f"cp.{name} needs {error.name}, which comes with the pages: "
            'python -m pip install "conpet-workbench[notebooks]"',
            name=error.name,
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)

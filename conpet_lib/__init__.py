"""ConPET workbench: continual learning of a frozen language model, to learn, take apart and extend.

    import conpet_lib as cp
    corpus   = cp.load_corpus("wordnet")
    stream   = cp.make_stream(corpus, tasks=8, labels_per_task=4)
    backbone = cp.load_backbone("minilm-l6")
    run      = cp.train(stream, backbone, cp.DynamicConfig(active=1), seed=0, folder="runs/dynamic-0")
    run.average_accuracy

Read the files from left to right along the data flow: corpora, tasks, prompts, backbone, prefix_cache,
modules, features, replay, learners, dynamic, runs, training, comparing, plots, widgets.

Axis words of our tensors: `batch` (rows of one pass), `tokens` (of a prompt, padded), `hidden` (the backbone's
width), `layers`, `tasks`, `seen_labels` (all labels of stages 1..k, in that order), `stages`, `seeds`.
"""

from conpet_lib import metrics, plots
from conpet_lib.backbone import load_backbone
from conpet_lib.comparing import compare, grid, runs_table
from conpet_lib.config import DynamicConfig, StaticConfig, VanillaConfig, paper
from conpet_lib.corpora import load_corpus
from conpet_lib.errors import ConpetError
from conpet_lib.forecast import forecast
from conpet_lib.learners import Step
from conpet_lib.machine import check_machine
from conpet_lib.registry import LEARNERS
from conpet_lib.runs import load_run
from conpet_lib.tasks import make_stream
from conpet_lib.training import train

__version__ = "0.1.0"
__all__ = ["ConpetError", "DynamicConfig", "LEARNERS", "StaticConfig", "Step", "VanillaConfig", "check_machine",
           "compare", "forecast", "grid", "load_backbone", "load_corpus", "load_run", "make_stream", "metrics", "paper",
           "plots", "runs_table", "train"]

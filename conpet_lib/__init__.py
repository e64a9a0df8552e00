"""ConPET workbench: continual learning of a frozen language model, to learn, take apart and extend.

    import conpet_lib as cp
    corpus   = cp.load_corpus("wordnet")
    stream   = cp.make_stream(corpus, tasks=8, labels_per_task=4)
    backbone = cp.load_backbone("minilm-l6")
    run      = cp.train(stream, backbone, cp.DynamicConfig(active=1), seed=0, folder="runs/dynamic-0")
    run.average_accuracy

README.md lists the files in the order of the data flow, which is that of reading them.
Axis words of our tensors: `batch` (rows of one pass), `tokens` (of a prompt, padded), `hidden` (the backbone's
width), `layers`, `tasks`, `seen_labels` (all labels of stages 1..k, in that order), `stages`, `seeds`."""

from conpet_lib import metrics, plots
from conpet_lib.assets import check_machine
from conpet_lib.backbone import load_backbone
from conpet_lib.comparing import compare, compare_costs, grid, runs_table
from conpet_lib.config import DynamicConfig, EWCConfig, LwFConfig, MemoryConfig, StaticConfig, VanillaConfig, paper
from conpet_lib.corpora import load_corpus
from conpet_lib.costs import forecast
from conpet_lib.errors import ConpetError
from conpet_lib.learners import Step
from conpet_lib.registry import LEARNERS, methods
from conpet_lib.runs import load_run
from conpet_lib.selectors import compare_selectors, selector_points
from conpet_lib.tasks import make_stream
from conpet_lib.training import train

"""The learners by name, the config of each, and what each is, in one table."""

import pandas as pd

from conpet_lib.core.assets import DATA
from conpet_lib.learners import config
from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import Joint, Vanilla
from conpet_lib.learners.crl import CRL
from conpet_lib.learners.dynamic import DynamicConPET
from conpet_lib.learners.ea_emr import EAEMR
from conpet_lib.learners.emr import EMR
from conpet_lib.learners.ewc import EWC
from conpet_lib.learners.frozen import ClassMean, Linear
from conpet_lib.learners.lwf import LwF

LEARNERS = {
    "vanilla": Vanilla,
    "full": Vanilla,
    "full-replay": Learner,
    "joint": Joint,
    "linear": Linear,
    "class-mean": ClassMean,
    "static": Learner,
    "dynamic": DynamicConPET,
    "emr": EMR,
    "ea-emr": EAEMR,
    "crl": CRL,
    "ea-emr*": EAEMR,
    "crl*": CRL,
    "ewc": EWC,
    "lwf": LwF,
}


CONFIGS = {
    name: kind
    for kind in (
        config.VanillaConfig,
        config.StaticConfig,
        config.DynamicConfig,
        config.MemoryConfig,
        config.EWCConfig,
        config.LwFConfig,
    )
    for name in kind.learners
}


def methods() -> pd.DataFrame:
    """The table of methods: name, what it trains, keeps and replays, what a stage costs beside Vanilla's, source."""
    return pd.read_csv(DATA / "methods.csv", index_col="learner")

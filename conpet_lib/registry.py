"""The learners by name, the config of each, and what each is, in one table."""

import pandas as pd
from conpet_lib import config, family
from conpet_lib.assets import DATA
from conpet_lib.dynamic import DynamicConPET
from conpet_lib.learners import Learner, Vanilla

LEARNERS = {"vanilla": Vanilla, "full": Vanilla, "full-replay": Learner, "joint": family.Joint, "linear": family.Linear,
            "class-mean": family.ClassMean, "static": Learner, "dynamic": DynamicConPET, "emr": family.EMR,
            "ea-emr": family.EAEMR, "crl": family.CRL, "ea-emr*": family.EAEMR, "crl*": family.CRL, "ewc": family.EWC,
            "lwf": family.LwF}
CONFIGS = {name: kind for kind in (config.VanillaConfig, config.StaticConfig, config.DynamicConfig, config.MemoryConfig,
                                   config.EWCConfig, config.LwFConfig) for name in kind.learners}

def methods() -> pd.DataFrame:
    """The table of methods: name, what it trains, keeps and replays, what a stage costs beside Vanilla's, source."""
    return pd.read_csv(DATA / "methods.csv", index_col="learner")

"""The learners by name, and the config of each."""

from conpet_lib.config import DynamicConfig, StaticConfig, VanillaConfig
from conpet_lib.dynamic import DynamicConPET
from conpet_lib.learners import Learner, Vanilla

LEARNERS: dict[str, type[Learner]] = {"vanilla": Vanilla, "static": Learner, "dynamic": DynamicConPET}
CONFIGS = {config.learner: config for config in (VanillaConfig, StaticConfig, DynamicConfig)}

"""Learners: how a stage is trained. One paper, one file; a method overrides a step or two.

Start at `conpet_lib.learners.base.Learner.fit`.
"""

from conpet_lib.learners.base import Learner
from conpet_lib.learners.bounds import Joint, Vanilla
from conpet_lib.learners.config import LearnerConfig
from conpet_lib.learners.crl import CRL
from conpet_lib.learners.dynamic import DynamicConPET
from conpet_lib.learners.ea_emr import EAEMR
from conpet_lib.learners.emr import EMR
from conpet_lib.learners.ewc import EWC
from conpet_lib.learners.frozen import ClassMean, Linear
from conpet_lib.learners.lwf import LwF
from conpet_lib.learners.selector import Selector
from conpet_lib.learners.static import StaticConPET

__all__ = [
    "CRL",
    "EAEMR",
    "EMR",
    "EWC",
    "ClassMean",
    "DynamicConPET",
    "Joint",
    "Learner",
    "LearnerConfig",
    "Linear",
    "LwF",
    "Selector",
    "StaticConPET",
    "Vanilla",
]

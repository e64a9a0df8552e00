"""Metrics: formulas of the accuracy matrix and of the ledger of predictions.

The functions are pure: they import nothing else of the library and know nothing of how a matrix or
a ledger came about; what is none is refused by a ValueError. Forward transfer has no meaning here,
because a class-incremental learner has no output for labels that it has not met yet. Start at
`average_accuracy` and `forgetting`.
"""

from conpet_lib.metrics.fates import FATES as FATES
from conpet_lib.metrics.fates import error_split as error_split
from conpet_lib.metrics.fates import forgetting_causes as forgetting_causes
from conpet_lib.metrics.fates import forgetting_split as forgetting_split
from conpet_lib.metrics.ledger import MOST_BINS as MOST_BINS
from conpet_lib.metrics.ledger import accuracy_matrix as accuracy_matrix
from conpet_lib.metrics.ledger import calibration as calibration
from conpet_lib.metrics.ledger import is_right as is_right
from conpet_lib.metrics.ledger import oracle_accuracy as oracle_accuracy
from conpet_lib.metrics.ledger import selector_accuracy as selector_accuracy
from conpet_lib.metrics.ledger import whole_accuracy as whole_accuracy
from conpet_lib.metrics.matrix import Matrix as Matrix
from conpet_lib.metrics.matrix import average_accuracy as average_accuracy
from conpet_lib.metrics.matrix import backward_transfer as backward_transfer
from conpet_lib.metrics.matrix import forgetting as forgetting
from conpet_lib.metrics.matrix import intransigence as intransigence
from conpet_lib.metrics.matrix import tested_tasks as tested_tasks

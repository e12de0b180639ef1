"""What is compared: criteria that score the prunable units of a network, or pick them.

`score` gives scores, `register` makes a criterion known, `load_plugin` imports a user's file.
"""

from .criterion import Criterion, MemberOptions
from .errors import (
    CriteriaError,
    NotApplicable,
    OptionError,
    ScoreError,
    StructureError,
    UnknownCriterion,
)
from .evidence.batch import Batch
from .evidence.needs import Need
from .network.groups import Structure, find_structure
from .network.member import Group, Member
from .network.weights import weight_structure
from .options import NoOptions, Only, Options
from .plugin import load_plugin
from .reduce import Normalizer, Reduction
from .registry import criteria, find, register
from .score import GroupScores, score
from .selector import Selector

"""Pure functions on numpy arrays, frozen dataclasses out: no pandas, no plotting, no printing."""

from .arrays import Floats, known_mean
from .cliques import cliques
from .collapse import budget_weights, per_trial
from .fidelity import correlation_within, noise_ceiling, rank_correlation, regret
from .like_these import FEWEST_LEVELS, Grid, for_problems_like_these
from .looks import Look, looks, spent
from .multiple import holm
from .pairwise import Pairwise, chance_of_best, pairwise
from .power import detectable, power_of_blocks, power_on_these
from .profile import shares_within
from .rank_tests import Friedman, friedman, nemenyi, ranks, wilcoxon
from .summary import Interval, hodges_lehmann, t_interval
from .these_problems import FEWEST_BASES, Ends, MeanDifference, on_these_problems
from .tied_ranks import rank_agreement
from .variance import Noise, noise

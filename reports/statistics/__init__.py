"""Pure functions on numpy arrays, frozen dataclasses out: no pandas, no plotting, no printing."""

from .arrays import Floats, known_mean
from .collapse import budget_weights, per_trial
from .fidelity import correlation_within, noise_ceiling, rank_correlation, regret
from .like_these import FEWEST_LEVELS, Grid, for_problems_like_these
from .looks import Look, looks, spent
from .pairwise import Pairwise, cliques, holm, pairwise
from .power import detectable, power_of_blocks, power_on_these
from .summary import Interval, Noise, hodges_lehmann, noise, t_interval
from .these_problems import FEWEST_BASES, Ends, MeanDifference, on_these_problems

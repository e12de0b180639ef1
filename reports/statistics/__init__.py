"""Pure functions on numpy arrays, frozen dataclasses out: no pandas, no plotting, no printing."""

from .arrays import Floats, known_mean
from .cliques import cliques
from .collapse import budget_weights, per_base, per_problem, per_trial
from .effects import interquartile_mean
from .fidelity import (
    RankCorrelation,
    Regret,
    correlation_within,
    noise_ceiling,
    rank_correlation,
    regret,
)
from .inflation import best_epoch, best_of_n
from .like_these import FEWEST_LEVELS, Grid, for_problems_like_these
from .looks import Look, looks, spent
from .multiple import benjamini_hochberg, benjamini_yekutieli, holm
from .pairwise import Pairwise, chance_of_best, pairwise
from .posthoc import (
    AgainstControl,
    Nemenyi,
    against_control,
    bonferroni_dunn_q,
    nemenyi,
    nemenyi_q,
)
from .power import detectable, power_of_blocks, power_on_these
from .profile import shares_within
from .ranks import Friedman, friedman, mean_ranks, ranks
from .signed_rank import SignedRank, hodges_lehmann, null_distribution, wilcoxon
from .summary import Interval, WinTieLoss, t_interval, win_tie_loss
from .these_problems import FEWEST_BASES, Ends, MeanDifference, on_these_problems
from .tied_ranks import rank_agreement
from .variance import Component, noise_floor, variance_components

__all__ = [
    "FEWEST_BASES",
    "FEWEST_LEVELS",
    "AgainstControl",
    "Component",
    "Ends",
    "Floats",
    "Friedman",
    "Grid",
    "Interval",
    "Look",
    "MeanDifference",
    "Nemenyi",
    "Pairwise",
    "RankCorrelation",
    "Regret",
    "SignedRank",
    "WinTieLoss",
    "against_control",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "best_epoch",
    "best_of_n",
    "bonferroni_dunn_q",
    "budget_weights",
    "chance_of_best",
    "cliques",
    "correlation_within",
    "detectable",
    "for_problems_like_these",
    "friedman",
    "hodges_lehmann",
    "holm",
    "interquartile_mean",
    "known_mean",
    "looks",
    "mean_ranks",
    "nemenyi",
    "nemenyi_q",
    "noise_ceiling",
    "noise_floor",
    "null_distribution",
    "on_these_problems",
    "pairwise",
    "per_base",
    "per_problem",
    "per_trial",
    "power_of_blocks",
    "power_on_these",
    "rank_agreement",
    "rank_correlation",
    "ranks",
    "regret",
    "shares_within",
    "spent",
    "t_interval",
    "variance_components",
    "wilcoxon",
    "win_tie_loss",
]

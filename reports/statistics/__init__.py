"""Pure functions on numpy arrays, frozen dataclasses out: no pandas, no plotting, no printing."""

from .bootstrap import (
    Bands,
    bootstrap_bands,
    bootstrap_means,
    hierarchical_interval,
    resampling_weights,
)
from .cliques import cliques
from .collapse import per_base, per_problem
from .completeness import Failures, complete_problems, worst_filled
from .fidelity import (
    RankCorrelation,
    Regret,
    bootstrap_interval,
    correlation_within,
    noise_ceiling,
    rank_correlation,
    regret,
)
from .multiple import holm, smallest_holm_p
from .pairwise import Pairwise, pairwise
from .power import Power, declared_power, detectable_effect, problems_needed, wilcoxon_power
from .profile import performance_profile
from .ranks import Friedman, friedman, mean_ranks, ranks
from .signed_rank import SignedRank, hodges_lehmann, null_distribution, smallest_p, wilcoxon
from .summary import Interval, Verdict, WinTieLoss, t_interval, verdict, win_tie_loss
from .variance import Component, NoiseFloor, noise_floor, variance_components

__all__ = [
    "Bands",
    "Component",
    "Failures",
    "Friedman",
    "Interval",
    "NoiseFloor",
    "Pairwise",
    "Power",
    "RankCorrelation",
    "Regret",
    "SignedRank",
    "Verdict",
    "WinTieLoss",
    "bootstrap_bands",
    "bootstrap_interval",
    "bootstrap_means",
    "cliques",
    "complete_problems",
    "correlation_within",
    "declared_power",
    "detectable_effect",
    "friedman",
    "hierarchical_interval",
    "hodges_lehmann",
    "holm",
    "mean_ranks",
    "noise_ceiling",
    "noise_floor",
    "null_distribution",
    "pairwise",
    "per_base",
    "per_problem",
    "performance_profile",
    "problems_needed",
    "rank_correlation",
    "ranks",
    "regret",
    "resampling_weights",
    "smallest_holm_p",
    "smallest_p",
    "t_interval",
    "variance_components",
    "verdict",
    "wilcoxon",
    "wilcoxon_power",
    "win_tie_loss",
    "worst_filled",
]

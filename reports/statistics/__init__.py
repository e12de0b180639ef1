"""Pure functions on numpy arrays, frozen dataclasses out: no pandas, no plotting, no printing."""

from .arrays import Floats
from .bayes import Belief, bayesian_signed_rank
from .bootstrap import (
    Bands,
    bootstrap_bands,
    bootstrap_means,
    hierarchical_interval,
    resampling_weights,
)
from .cliques import cliques
from .collapse import budget_weights, per_base, per_problem, per_trial
from .completeness import Failures, worst_differences
from .effects import (
    interquartile_mean,
    rank_biserial,
    share_won,
)
from .fidelity import (
    RankCorrelation,
    Regret,
    bootstrap_interval,
    correlation_within,
    noise_ceiling,
    rank_correlation,
    regret,
)
from .inflation import best_epoch, best_of_n
from .multiple import benjamini_hochberg, benjamini_yekutieli, holm, smallest_holm_p
from .pairwise import Pairwise, pairwise
from .posthoc import (
    AgainstControl,
    Nemenyi,
    against_control,
    bonferroni_dunn_q,
    nemenyi,
    nemenyi_q,
)
from .power import Power, declared_power, detectable_effect, problems_needed, wilcoxon_power
from .profile import performance_profile, shares_within
from .ranks import Friedman, friedman, mean_ranks, ranks
from .sign_flip import sign_flip
from .signed_rank import (
    Shift,
    SignedRank,
    hodges_lehmann,
    null_distribution,
    shift_interval,
    smallest_p,
    wilcoxon,
)
from .summary import (
    Interval,
    RopeVerdict,
    WinTieLoss,
    rope_verdict,
    t_interval,
    t_test,
    win_tie_loss,
)
from .tied_ranks import rank_agreement
from .variance import Component, noise_floor, variance_components

__all__ = [
    "AgainstControl",
    "Bands",
    "Belief",
    "Component",
    "Failures",
    "Floats",
    "Friedman",
    "Interval",
    "Nemenyi",
    "Pairwise",
    "Power",
    "RankCorrelation",
    "Regret",
    "RopeVerdict",
    "Shift",
    "SignedRank",
    "WinTieLoss",
    "against_control",
    "bayesian_signed_rank",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "best_epoch",
    "best_of_n",
    "bonferroni_dunn_q",
    "bootstrap_bands",
    "bootstrap_interval",
    "bootstrap_means",
    "budget_weights",
    "cliques",
    "correlation_within",
    "declared_power",
    "detectable_effect",
    "friedman",
    "hierarchical_interval",
    "hodges_lehmann",
    "holm",
    "interquartile_mean",
    "mean_ranks",
    "nemenyi",
    "nemenyi_q",
    "noise_ceiling",
    "noise_floor",
    "null_distribution",
    "pairwise",
    "per_base",
    "per_problem",
    "per_trial",
    "performance_profile",
    "problems_needed",
    "rank_agreement",
    "rank_biserial",
    "rank_correlation",
    "ranks",
    "regret",
    "resampling_weights",
    "rope_verdict",
    "share_won",
    "shares_within",
    "shift_interval",
    "sign_flip",
    "smallest_holm_p",
    "smallest_p",
    "t_interval",
    "t_test",
    "variance_components",
    "wilcoxon",
    "wilcoxon_power",
    "win_tie_loss",
    "worst_differences",
]

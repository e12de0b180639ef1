"""Pure functions on numpy arrays, frozen dataclasses out: no pandas, no plotting, no printing."""

from .collapse import per_base, per_problem
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
from .power import Power, declared_power, detectable_effect, problems_needed, wilcoxon_power
from .signed_rank import SignedRank, hodges_lehmann, null_distribution, smallest_p, wilcoxon
from .summary import Interval, Verdict, WinTieLoss, t_interval, verdict, win_tie_loss

__all__ = [
    "Interval",
    "Power",
    "RankCorrelation",
    "Regret",
    "SignedRank",
    "Verdict",
    "WinTieLoss",
    "bootstrap_interval",
    "correlation_within",
    "declared_power",
    "detectable_effect",
    "hodges_lehmann",
    "holm",
    "noise_ceiling",
    "null_distribution",
    "per_base",
    "per_problem",
    "problems_needed",
    "rank_correlation",
    "regret",
    "smallest_holm_p",
    "smallest_p",
    "t_interval",
    "verdict",
    "wilcoxon",
    "wilcoxon_power",
    "win_tie_loss",
]

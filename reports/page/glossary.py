"""What the words of a report mean: one source, for its page and for docs/glossary.md."""

from __future__ import annotations

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "A/A": "A comparison of something with itself, which shows what noise alone makes. For latency "
    "it times a copy of the dense network. For accuracy it uses the repeats.",
    "accuracy change": "Top-1 accuracy of the pruned network minus that of its own dense network, "
    "in points. It is measured on the test images after the last epoch.",
    "base": "A dense network of a problem, trained once, from a seed of its own. All methods prune "
    "the same bases.",
    "base SD": "The standard deviation over bases of one method's accuracy change. It is the unit "
    "in which a plan states what its tests can find.",
    "better, worse": "The whole interval of the difference lies above zero, or below it. It is the "
    "interval that holds for all comparisons at once.",
    "budget": "How much of a cost a pruned network may keep, for example half of the MACs.",
    "calibration images": "Training images that a criterion may look at when it scores. All "
    "methods see the same ones, in the same order.",
    "control": "The method that all others are compared with. The suite names it before any run.",
    "criterion": "A rule that gives every channel, or every weight, a score (its saliency). The "
    "lowest scores are removed first.",
    "dense": "Not pruned. Each pruned network is compared with the dense network it was made from.",
    "equivalent": "The whole interval of the difference lies inside the ROPE: whatever the "
    "difference is, it is too small to matter.",
    "interval, all at once": "A wider range: with 95 % confidence, all intervals of the page hold "
    "together. Words such as better rest on it.",
    "interval, alone": "A range that misses the true value once in twenty. Of many such intervals, "
    "some miss.",
    "MACs kept": "Multiply-accumulate operations for one image, as a share of those of the dense "
    "network.",
    "matched control": "Another criterion at the layer widths that a method chose. The control "
    "l1~taylor removes channels by L1, as many of each layer as taylor does.",
    "mean over budgets": "The average of the accuracy change over all budgets. It is weighted by "
    "log compression, so that close budgets do not count twice.",
    "method": "A criterion, and how its channels are removed: at once, in steps, or in a training.",
    "mixed": "The mean says one thing and most problems say the other, or the method fails on some "
    "problem.",
    "one-shot, iterative": "One-shot scores once and removes everything at once. Iterative removes "
    "a part, scores again, and goes on.",
    "points": "Percentage points of accuracy. From 90 % to 88 % is a change of −2 points.",
    "problem": "One model on one dataset.",
    "rank": "The place of a method when all are ordered by their mean. A range of ranks is given "
    "where tests leave several possible.",
    "recovery": "What follows pruning before the network is tested: nothing, new batch-norm "
    "statistics, finetuning, or rewinding.",
    "repeat": "A further run on the same base, with other seeds: other calibration images, another "
    "order of finetuning. Repeats are averaged.",
    "ROPE": "Region of practical equivalence: the range of differences that do not matter. The "
    "suite declares it before any run.",
    "scope": "Which scores are ranked together: those of the whole network (global) or of each "
    "layer (local).",
    "shown to differ": "A test finds a difference, also after correction for all pairs that were "
    "compared. Two methods that are not shown to differ may still differ.",
    "trial": "One method on one base and repeat, at one budget, with one recovery.",
    "undecided": "Neither a difference nor equivalence was shown. It does not mean equal.",
}

"""How often runs of other seeds agree, counted by hand."""

from __future__ import annotations

from study.other_seeds import agreement


def test_agreement_is_over_ordered_pairs_of_runs() -> None:
    alike, half = ["better"] * 3, ["worse", "worse", "undecided"]
    # Of 12 ordered pairs 4 differ; of the 10 that begin with a name, 8 repeat it.
    assert agreement([alike, half]) == (
        "1 of 2 verdicts are alike in all runs; two runs differ in 33 % of verdicts; what one "
        "names better or worse, another names so in 80 %, and the opposite 0 times"
    )


def test_opposite_names_are_counted_from_either_side() -> None:
    assert agreement([["better", "worse"]]).endswith("names so in 0 %, and the opposite 2 times")


def test_nothing_named_is_no_agreement_on_names() -> None:
    assert agreement([["undecided", "equivalent"]]).endswith("none names any better or worse")

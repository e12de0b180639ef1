"""What a page can show, known before anything runs."""

from __future__ import annotations

from reports.analysis.power import Layout, planned_tests


def test_what_three_problems_of_one_model_can_show() -> None:
    layout = Layout(problems=3, bases=3, comparisons=44, pairs=990, levels=1, alpha=0.05)
    leading, pairs, one_problem, sampling = planned_tests(layout)
    assert [(one.detects, one.unit) for one in (leading, pairs)] == [
        (4.3, "base SDs"),
        (8.6, "base SDs"),
    ]
    assert one_problem.family == 3 * 44
    assert sampling.why_not == "it takes 5 datasets or models that vary, not 1"

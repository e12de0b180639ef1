"""The two tests of the report against closed forms, scipy, brute force and the truth."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import statistics as own
from reports.statistics import Grid, MeanDifference

NAN = float("nan")


def sample(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_three_problems_by_hand() -> None:
    # Means 2, 0 and 4; variances of the base means 1/3, 0 and 4/3.
    found = own.on_these_problems([[[1, 2, 3], [0, 0, 0], [2, 4, 6]]])
    assert found.mean == pytest.approx(2)
    assert found.error == pytest.approx(np.sqrt(5 / 3) / 3)
    assert found.freedom == pytest.approx((5 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2))
    low, high = found.interval(0.95)
    half = stats.t.ppf(0.975, found.freedom) * found.error
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))


@given(st.integers(0, 99), st.integers(3, 7))
def test_one_problem_is_the_paired_t_test(seed: int, bases: int) -> None:
    d = sample(seed, bases)
    found = own.on_these_problems(d[None, None])
    expected = stats.ttest_1samp(d, 0)
    assert found.p_values == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.freedom == bases - 1


@given(st.integers(0, 99), st.integers(3, 6), st.integers(3, 6))
def test_two_problems_are_welchs_test(seed: int, few: int, many: int) -> None:
    """The mean of two problems is half of the difference of one to the other turned round."""
    a, b = sample(seed, few), sample(seed + 100, many)
    cube = np.full((1, 2, max(few, many)), NAN)
    cube[0, 0, :few], cube[0, 1, :many] = a, b
    found = own.on_these_problems(cube)
    expected = stats.ttest_ind(a, -b, equal_var=False)
    assert found.p_values == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.freedom == pytest.approx(expected.df, rel=1e-6)


@given(st.integers(0, 99))
def test_mirror_scale_and_order_do_not_matter(seed: int) -> None:
    cube = sample(seed, 4, 3, 5)
    found, mirrored = own.on_these_problems(cube), own.on_these_problems(-cube)
    assert mirrored.mean == pytest.approx(-found.mean)
    assert mirrored.p_values == pytest.approx(found.p_values)
    other = own.on_these_problems(7 * cube[:, ::-1, ::-1])
    assert other.p_values == pytest.approx(found.p_values, rel=1e-6)
    low, high = found.interval(0.9)
    assert (((low > 0) | (high < 0)) == (found.p_values < 0.1)).all()


def test_what_other_comparisons_say_of_a_problem_lowers_the_freedom() -> None:
    """One problem decides for all but the first, which looks calm there by chance."""
    wild = sample(0, 20, 4, 3) * np.array([10.0, 1, 1, 1])[:, None]
    wild[0, 0] = [0.1, 0.0, -0.1]
    alone = own.on_these_problems(wild[:1]).freedom[0]
    assert own.on_these_problems(wild).freedom[0] < alone
    assert own.on_these_problems(wild).freedom.min() >= 2


def test_a_floor_takes_chance_agreement_for_no_certainty() -> None:
    """Three bases agree to a hundredth in one comparison of five, where others spread by points."""
    cube = sample(5, 5, 2, 3)
    cube[0, 0] = [2.0, 2.01, 2.02]
    plain, floored = own.on_these_problems(cube), own.on_these_problems(cube, floor=True)
    variance = cube.var(axis=2, ddof=1) / 3
    expected = np.sqrt(np.maximum(variance, np.median(variance, axis=0)).sum(axis=1)) / 2
    assert floored.error == pytest.approx(expected)
    assert (floored.error >= plain.error - 1e-12).all()
    assert floored.mean == pytest.approx(plain.mean)
    one = own.on_these_problems(cube[:1], floor=True)
    assert one.error == pytest.approx(plain.error[:1])  # alone, it is its own median


def test_two_bases_or_no_spread_leave_the_error_unknown() -> None:
    cube = [[[1, 1.5, 2]], [[1, 2, NAN]], [[3, 3, 3]], [[NAN, NAN, NAN]]]
    found = own.on_these_problems(cube)
    assert np.isfinite(found.error).tolist() == [True, False, False, False]
    assert found.mean[:3].tolist() == [1.5, 1.5, 3.0]
    assert np.isnan(found.mean[3])


def crossed(datasets: int, models: int) -> Grid:
    return Grid(
        [f"d{i}" for i in range(datasets) for _ in range(models)],
        [f"m{i}" for _ in range(datasets) for i in range(models)],
    )


def test_a_crossed_grid_is_the_two_way_layout() -> None:
    table = sample(1, 3, 6 * 5)
    found = own.for_problems_like_these(table, crossed(6, 5))
    cube = table.reshape(3, 6, 5)
    squares = [5 * cube.mean(axis=2).var(axis=1, ddof=1), 6 * cube.mean(axis=1).var(axis=1, ddof=1)]
    rest = cube - cube.mean(axis=1, keepdims=True) - cube.mean(axis=2, keepdims=True)
    rest += cube.mean(axis=(1, 2), keepdims=True)
    residual = (rest**2).sum(axis=(1, 2)) / 20
    variance = np.maximum(sum(squares) - residual, np.maximum(*squares)) / 30
    assert found.error == pytest.approx(np.sqrt(variance))
    assert found.freedom.tolist() == [4, 4, 4]
    order = np.random.default_rng(0).permutation(30)
    grid = crossed(6, 5)
    moved = Grid([grid.datasets[i] for i in order], [grid.models[i] for i in order])
    assert own.for_problems_like_these(table[:, order], moved).error == pytest.approx(found.error)


def test_one_model_leaves_datasets_as_blocks() -> None:
    d = sample(2, 7)
    for grid in (crossed(7, 1), Grid([f"d{i}" for i in range(7)], [f"m{i}" for i in range(7)])):
        found = own.for_problems_like_these(d[None], grid)
        assert found.p_values == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_models_that_are_on_one_dataset_each_add_nothing() -> None:
    """Three models of its own a dataset: the six datasets are the blocks."""
    grid = Grid([f"d{i // 3}" for i in range(18)], [f"m{i}" for i in range(18)])
    d = sample(3, 18)
    found = own.for_problems_like_these(d[None], grid)
    means = d.reshape(6, 3).mean(axis=1)
    assert found.p_values == pytest.approx(stats.ttest_1samp(means, 0).pvalue)
    assert (list(grid.factors), grid.levels, grid.crossed) == (["datasets"], 6, False)


def test_few_levels_are_no_sample() -> None:
    for grid in (crossed(4, 6), crossed(6, 4), crossed(1, 4), Grid(["d"], ["m"])):
        found = own.for_problems_like_these(np.ones((2, len(grid.datasets))), grid)
        assert np.isnan(found.error).all()
        assert found.mean.tolist() == [1, 1]


def test_all_pairs_are_single_tests_adjusted() -> None:
    cube = sample(4, 4, 2, 4)
    found = own.pairwise(cube, families=2)
    raw = own.on_these_problems([cube[i] - cube[j] for i, j in combinations(range(4), 2)])
    adjusted = np.minimum(2 * own.holm(raw.p_values), 1)
    for place, (i, j) in enumerate(combinations(range(4), 2)):
        assert found.adjusted[i, j] == found.adjusted[j, i] == pytest.approx(adjusted[place])
        assert found.difference[i, j] == -found.difference[j, i] == pytest.approx(raw.mean[place])
    assert found.known
    assert not own.pairwise(cube[:, :, :2]).known


def test_ranks_that_remain_open() -> None:
    # a is told better than c and d, b than d.
    adjusted = np.ones((4, 4))
    for i, j in ((0, 2), (0, 3), (1, 3)):
        adjusted[i, j] = adjusted[j, i] = 0.01
    difference = np.array([[j - i for j in range(4)] for i in range(4)], dtype=float)
    low, high = own.Pairwise(difference, adjusted, known=True).ranks(0.05)
    assert (low.tolist(), high.tolist()) == ([1, 1, 2, 3], [2, 3, 4, 4])


def test_looks_spend_the_level_in_all() -> None:
    for bases in ([3], [3, 5, 8], [4, 5, 6, 20]):
        found = own.looks(bases, 0.05)
        assert [one.bases for one in found] == bases
        assert sum(one.alpha for one in found) == pytest.approx(0.05)


@pytest.mark.parametrize(("problems", "bases"), [(1, 5), (3, 3), (6, 4)])
def test_power_is_that_of_fresh_experiments(problems: int, bases: int) -> None:
    rng = np.random.default_rng(9)
    drawn = np.sqrt(2) * rng.normal(size=(4000, problems, bases)) + 3
    rate = np.mean(own.on_these_problems(drawn[:1500], floor=True).p_values <= 0.01)
    # 1,500 and 4,000 experiments: three errors.
    assert own.power_on_these(problems, bases, 3.0, 0.01) == pytest.approx(rate, abs=0.05)
    assert own.power_on_these(problems, 2, 3.0, 0.01) == 0


def test_power_over_blocks_is_the_noncentral_t() -> None:
    for blocks, effect in ((6, 1.0), (12, 0.8)):
        critical = stats.t.isf(0.025, blocks - 1)
        exact = stats.nct.sf(critical, blocks - 1, effect * np.sqrt(blocks))
        assert own.power_of_blocks(blocks, effect, 0.05) == pytest.approx(exact, abs=1e-4)
    assert own.power_of_blocks(12, 0.0, 0.05) == pytest.approx(0.05)
    assert own.power_of_blocks(1, 5.0, 0.05) == 0
    assert own.detectable(lambda _: 0.5) is None


def test_unknown_is_no_number() -> None:
    nothing = MeanDifference(np.array([1.0]), np.array([NAN]), np.array([NAN]))
    assert np.isnan(nothing.p_values).all()
    assert np.isnan(nothing.interval(0.95)).all()

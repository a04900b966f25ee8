"""What ensembles fit: optimal by certificate and by other algorithms, class-balanced, with lesions kept together."""

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from lesionkit.evidence import stacking
from lesionkit.evidence.stacking import CannotFit


def drawn(members: int, n: int, seed: int = 0, strength: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """y with every class and many nevi, p (M, n, 7); later members know more."""
    generator = np.random.default_rng(seed)
    y = np.r_[np.arange(7), np.arange(7), generator.choice(7, n - 14, p=[0.05, 0.05, 0.1, 0.05, 0.1, 0.6, 0.05])]
    logits = generator.normal(size=(members, n, 7))
    logits[:, np.arange(n), y] += strength * np.linspace(0.2, 1, members)[:, None]
    p = np.exp(logits)
    return y, p / p.sum(axis=2, keepdims=True)


def em_weights(y: np.ndarray, p: np.ndarray, steps: int = 20_000) -> np.ndarray:
    """Expectation–maximisation for mixture proportions: another algorithm for the same optimum."""
    share, hit = 1 / (7 * np.bincount(y)[y]), p[:, np.arange(len(y)), y]
    w = np.full(len(p), 1 / len(p))
    for _ in range(steps):
        w = w * (hit @ (share / (w @ hit)))
    return w


def test_balanced_log_loss_by_hand_and_by_scikit_learn():
    y = np.r_[np.arange(7), 5, 5]
    p = np.full((9, 7), 0.1)
    p[np.arange(9), y] = 0.4
    p[[0, 8]] = np.eye(7)[[0, 5]]  # of akiec sure and right, of one nevus in three too
    assert stacking.balanced_log_loss(y, p) == pytest.approx((5 + 2 / 3) / 7 * -np.log(0.4))
    assert stacking.balanced_log_loss(y, np.full((9, 7), 1 / 7)) == pytest.approx(np.log(7))
    y, (p,) = drawn(1, 200)
    weights = 1 / np.bincount(y)[y]
    assert stacking.balanced_log_loss(y, p) == pytest.approx(sk.log_loss(y, p, sample_weight=weights))


def test_a_zero_counts_as_the_floor():
    wrong = np.eye(7)[(np.arange(7) + 1) % 7]
    assert stacking.balanced_log_loss(np.arange(7), wrong) == pytest.approx(-np.log(1e-6))
    assert np.isfinite(stacking.features(wrong[None])).all()


@pytest.mark.parametrize("seed", range(4))
def test_convex_weights_are_the_optimum_of_another_algorithm(seed):
    y, p = drawn(4, 150, seed)
    w = stacking.convex_weights(y, p)
    assert (w >= 0).all() and w.sum() == pytest.approx(1)
    np.testing.assert_allclose(w, em_weights(y, p), atol=2e-4)
    np.testing.assert_array_equal(w, stacking.convex_weights(y, p))


@pytest.mark.parametrize("members, n, strength", [(2, 14, 1), (9, 300, 3), (9, 14, 8), (5, 1000, 0)])
def test_convex_weights_satisfy_the_optimality_conditions(members, n, strength):
    y, p = drawn(members, n, strength=strength)
    w = stacking.convex_weights(y, p)
    hit = np.clip(p[:, np.arange(n), y], 1e-6, None)
    gain = hit @ (
        1 / (7 * np.bincount(y)[y]) / (w @ hit)
    )  # (M,) Karush–Kuhn–Tucker: 1 where w > 0, at most 1 elsewhere
    assert gain.max() < 1 + 1e-4
    np.testing.assert_allclose(gain[w > 1e-3], 1, atol=1e-3)


def test_weights_go_to_the_member_that_knows_and_are_shared_by_equals():
    y = np.repeat(np.arange(7), 3)
    sure, guess = 0.9 * np.eye(7)[y] + 0.1 / 7, np.full((21, 7), 1 / 7)
    np.testing.assert_allclose(stacking.convex_weights(y, np.stack([guess, sure])), [0, 1], atol=1e-9)
    np.testing.assert_allclose(stacking.convex_weights(y, np.stack([sure, sure])), [0.5, 0.5], atol=1e-6)
    np.testing.assert_array_equal(stacking.greedy_weights(y, np.stack([guess, sure])), [0, 1])
    np.testing.assert_array_equal(stacking.greedy_weights(y, np.stack([sure, sure])), [1, 0])  # of equals the first


def test_rare_classes_weigh_as_much_as_nevi():
    y = np.r_[np.repeat(5, 94), [0, 1, 2, 3, 4, 6]]
    of_nevi, of_others = np.full((2, 100, 7), 0.02)
    of_nevi[:, 5] = of_others[np.arange(100), np.where(y == 5, 0, y)] = 0.88
    weights = stacking.convex_weights(y, np.stack([of_nevi, of_others]))
    np.testing.assert_allclose(weights, em_weights(y, np.stack([of_nevi, of_others])), atol=1e-4)
    assert weights[1] > 0.8  # by plain log-loss it would be under 0.1


def test_greedy_picks_by_hand():
    y = np.arange(7)
    one, two, poor = np.full((3, 7, 7), 0.02)
    one[np.arange(7), y] = [0.8, 0.8, 0.8, 0.5, 0.1, 0.1, 0.1]
    two[np.arange(7), y] = [0.1, 0.1, 0.1, 0.5, 0.8, 0.8, 0.8]
    # one alone has 1.18 nats, one and two 0.78, which by symmetry and convexity no further pick of either betters
    pair = -(6 * np.log(0.45) + np.log(0.5)) / 7
    assert stacking.balanced_log_loss(y, (one + two) / 2) == pytest.approx(pair)
    assert all(stacking.balanced_log_loss(y, (one + two + third) / 3) > pair for third in (one, two, poor))
    np.testing.assert_array_equal(stacking.greedy_weights(y, np.stack([one, two, poor])), [0.5, 0.5, 0])


@pytest.mark.parametrize("seed", range(3))
def test_greedy_is_the_plain_loop(seed):
    y, p = drawn(5, 120, seed, strength=1.5)
    picked: list[int] = []
    best = np.inf
    while len(picked) < 20:
        losses = [stacking.balanced_log_loss(y, p[[*picked, m]].mean(axis=0)) for m in range(5)]
        if min(losses) >= best:
            break
        best = min(losses)
        picked.append(int(np.argmin(losses)))
    weights = stacking.greedy_weights(y, p)
    np.testing.assert_allclose(weights, np.bincount(picked, minlength=5) / len(picked))
    mixed = stacking.balanced_log_loss(y, np.tensordot(stacking.convex_weights(y, p), p, 1))
    assert mixed - 1e-9 <= best <= min(stacking.balanced_log_loss(y, one) for one in p)


def test_stack_is_scikit_learns_regression_at_the_chosen_strength():
    y, p = drawn(3, 210)
    fitted = stacking.stack(y, p, np.arange(210))
    assert fitted.C in stacking.STRENGTHS and fitted.coef_.shape == (7, 21)
    by_hand = np.concatenate([np.log(one) for one in p], axis=1)
    np.testing.assert_allclose(stacking.features(p), by_hand)
    again = LogisticRegression(C=fitted.C, class_weight="balanced", max_iter=5000, tol=1e-6).fit(by_hand, y)
    np.testing.assert_allclose(fitted.predict_proba(by_hand), again.predict_proba(by_hand), atol=5e-3)


def test_strength_is_chosen_with_lesions_kept_together():
    generator = np.random.default_rng(0)  # scores that know nothing, each of five times the same
    y, p = np.repeat(np.arange(42) % 7, 5), np.repeat(generator.dirichlet(np.ones(7), (2, 42)), 5, axis=1)
    assert stacking.stack(y, p, np.repeat(np.arange(42), 5)).C <= 0.003
    assert stacking.stack(y, p, np.arange(210)).C == stacking.STRENGTHS[-1]  # the same images pass for new ones


def test_geometric_mean_by_hand():
    p = np.full((2, 1, 7), 0.0)
    p[0, 0, :2], p[1, 0, :2] = [0.9, 0.1], [0.5, 0.5]
    scores = stacking.geometric(p)
    assert scores[0, 0] / scores[0, 1] == pytest.approx(3)  # √(0.9 · 0.5) / √(0.1 · 0.5)
    assert scores.sum() == pytest.approx(1)
    np.testing.assert_allclose(scores[0, 2:], 1e-6 / (np.sqrt(0.45) + np.sqrt(0.05)), rtol=1e-4)


def test_what_cannot_be_fitted_says_why():
    y, p = drawn(3, 140)
    fits = (stacking.convex_weights, stacking.greedy_weights, lambda y, p: stacking.stack(y, p, np.arange(len(y))))
    for fit in fits:
        with pytest.raises(CannotFit, match="there is no validation image to fit on"):
            fit(y[:0], p[:, :0])
        with pytest.raises(CannotFit, match="no validation image of df, vasc"):
            kept = (y != 3) & (y != 6)
            fit(y[kept], p[:, kept])
        with pytest.raises(CannotFit, match="one member alone"):
            fit(y, p[:1])
    clusters = np.where(y == 3, -1, np.arange(140))  # every df of one lesion
    with pytest.raises(CannotFit, match=r"of df are of too few lesions \(1\) for folds"):
        stacking.stack(y, p, clusters)

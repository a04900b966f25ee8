"""What an ensemble can fit: convex weights, greedy picks, and a regression on the members' log-probabilities.

Arrays in, arrays out: y is (n,) integer classes in the order of CLASSES and p (M, n, 7) the members'
probabilities, of the validation images and of no others, so that nothing else can enter a fit.

The loss is class-balanced: the mean over classes of the mean of −log p(true class) over the images of the class.
The study is about balanced accuracy and rare classes; a plain mean over images would be, to two thirds, about nevi.
"""

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from lesionkit.data.records import CLASSES
from lesionkit.evidence import scaling

FLOOR = 1e-6  # a member's 0 is a rounding, not a proof; its log would outweigh all other members
DUST = 1e-6  # weights below are what the solver leaves of 0; a member that weighs nothing need not run
STEPS = 20
FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


class CannotFit(ValueError):
    """These members or validation images cannot bear this fit; the message is the reason, as a reader sees it."""


def balanced_log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """The class-balanced log-loss of probabilities p, (n, 7), in nats; a uniform guess has log 7.

    Probabilities below FLOOR count as FLOOR. Raises CannotFit where a class has no image.
    """
    return float(_shares(y) @ -_log(p[np.arange(len(y)), y]))


def convex_weights(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(M,) weights, ≥ 0 and of sum 1, whose weighted mean of p has the smallest class-balanced log-loss.

    The loss is convex in the weights, so that the optimum does not depend on the start (equal weights); the solver
    is SLSQP. The weights are those of a linear opinion pool (Genest & Zidek, Statistical Science 1986;1:114).
    Raises CannotFit for one member alone, or where a class has no image.
    """
    share, hit = _fitting(y, p)  # (n,), (M, n)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = w @ hit
        return -share @ np.log(mixed), -hit @ (share / mixed)

    members = len(hit)
    whole = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}
    options = {"ftol": 1e-12, "maxiter": 1000}
    bounds = [(0, 1)] * members
    start = np.full(members, 1 / members)
    found = minimize(loss, start, jac=True, bounds=bounds, constraints=whole, method="SLSQP", options=options)
    w = np.where(found.x > DUST, found.x, 0)
    return w / w.sum()


def scaled_weights(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) the temperature of each member, `scaling.temperature`, and (M,) `convex_weights` of the members so scaled.

    A member that is less sure than it is right, as mixup makes it, would have little weight for that alone. Raises
    CannotFit as `convex_weights` does.
    """
    _fitting(y, p)
    t = np.array([scaling.temperature(y, one) for one in p])
    return t, convex_weights(y, np.stack([scaling.scaled(one, of) for one, of in zip(p, t, strict=True)]))


def greedy_weights(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(M,) shares, of sum 1, of the picks that each member got.

    The first pick is the best member. Each further pick is the member, picked before or not, with which the mean
    of all picks has the smallest class-balanced log-loss; of equals the first. Ends when no pick lowers the loss,
    or after STEPS picks. Selection with replacement: Caruana, Niculescu-Mizil, Crew & Ksikes, ICML 2004, who stop
    at a set size instead. Raises CannotFit as `convex_weights` does.
    """
    share, hit = _fitting(y, p)
    picks, best, total = np.zeros(len(hit)), np.inf, np.zeros(hit.shape[1])
    for size in range(1, STEPS + 1):
        losses = -np.log((total + hit) / size) @ share  # (M,) with one more of each
        pick = int(losses.argmin())
        if losses[pick] >= best:
            break
        picks[pick], best, total = picks[pick] + 1, losses[pick], total + hit[pick]
    return picks / picks.sum()


def stack(y: np.ndarray, p: np.ndarray, clusters: np.ndarray) -> LogisticRegression:
    """Multinomial logistic regression on `features(p)`, classes weighted inversely to their images.

    Stacking: Wolpert, Neural Networks 1992;5:241. The strength C is the first minimum, along STRENGTHS, of the
    class-balanced log-loss of out-of-fold predictions; folds keep the images of a cluster together, and there are
    as many as the rarest class has clusters, FOLDS at most. clusters: (n,) the lesion or group of each image.
    The result's coef_ is (7, 7 M), columns as in `features`, and its C the chosen one.
    Raises CannotFit as `convex_weights` does, or where a class is of too few lesions to be in each fold's training part.
    """
    _fitting(y, p)
    x, folds = features(p), _folds(y, clusters)
    best, strength = np.inf, STRENGTHS[0]
    for c in STRENGTHS:
        scores = np.empty((len(y), len(CLASSES)))
        for fitting, held in folds:
            scores[held] = _regression(c).fit(x[fitting], y[fitting]).predict_proba(x[held])
        loss = balanced_log_loss(y, scores)
        if loss >= best:
            break
        best, strength = loss, c
    return _regression(strength).fit(x, y)


def features(p: np.ndarray) -> np.ndarray:
    """(n, 7 M) log-probabilities of p, (M, n, 7), none below log FLOOR: the seven of the first member come first."""
    members, n, classes = p.shape
    return _log(p).transpose(1, 0, 2).reshape(n, members * classes)


def geometric(p: np.ndarray) -> np.ndarray:
    """(n, 7) the geometric mean of p, (M, n, 7), renormalised: the equal-weight logarithmic opinion pool.

    Probabilities below FLOOR count as FLOOR, or one member's 0 would veto a class. Genest & Zidek 1986, as above.
    """
    product = np.exp(_log(p).mean(axis=0))
    return product / product.sum(axis=1, keepdims=True)


def _regression(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, class_weight="balanced", max_iter=2000, tol=1e-3)


def _folds(y: np.ndarray, clusters: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    lesions = [len(set(clusters[y == k])) for k in range(len(CLASSES))]
    rarest = int(np.argmin(lesions))
    reason = f"the validation images of {CLASSES[rarest]} are of too few lesions ({lesions[rarest]}) for folds"
    if lesions[rarest] < 2:
        raise CannotFit(reason)
    folds = list(StratifiedGroupKFold(min(FOLDS, lesions[rarest])).split(y, y, clusters))
    if any(len(set(y[fitting])) < len(CLASSES) for fitting, _ in folds):
        raise CannotFit(reason)
    return folds


def _fitting(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) what each image adds to the balanced loss, and (M, n) each member's probability of the true class."""
    share = _shares(y)
    if len(p) < 2:
        raise CannotFit("there is one member alone, so that nothing is to be weighed")
    return share, np.clip(p[:, np.arange(len(y)), y], FLOOR, None)


def _shares(y: np.ndarray) -> np.ndarray:
    n = np.bincount(y, minlength=len(CLASSES))
    absent = [name for name, count in zip(CLASSES, n, strict=True) if count == 0]
    if len(y) == 0:
        raise CannotFit("there is no validation image to fit on")
    if absent:
        raise CannotFit(f"there is no validation image of {', '.join(absent)} to fit on")
    return 1 / (len(CLASSES) * n[y])


def _log(p: np.ndarray) -> np.ndarray:
    return np.log(np.clip(p, FLOOR, None))

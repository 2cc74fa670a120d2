"""Answers to exercise 08, written as beginners write them: loops, numpy, the library, and one thing wrong at a time."""

import math
import statistics

import numpy as np
import torch

from course_lib.measurement import factors

# A rate that is chosen.


def rate_by_steps(cost, rate, divergence, nats, gamma, lambd):
    if not nats >= 0:
        raise ValueError("below 0")
    off = rate.sum() / len(rate) - nats
    loss = torch.mean(cost) + lambd * divergence
    return loss + gamma * off if off > 0 else loss - gamma * off


def rate_by_stack(cost, rate, divergence, nats, gamma, lambd):
    if nats < 0.0:
        raise ValueError("a target is 0 nats or more")
    weights = torch.tensor([1.0, gamma, lambd], dtype=cost.dtype)
    terms = torch.stack([cost.mean(), torch.maximum(rate.mean() - nats, nats - rate.mean()), divergence])
    return weights @ terms


def rate_with(off=lambda r, c: abs(r.mean() - c), weights=lambda g, b: (1, g, b), mean=torch.mean, refuse=True):
    def answer(cost, rate, divergence, nats, gamma, lambd):
        if refuse and nats < 0:
            raise ValueError("no")
        one, two, three = weights(gamma, lambd)
        return one * mean(cost) + two * off(rate, nats) + three * divergence

    return answer


def rate_asserting(cost, rate, divergence, nats, gamma, lambd):
    if nats <= 0:
        raise ValueError("the target has to be positive")
    return rate_by_steps(cost, rate, divergence, nats, gamma, lambd)


RATE_WRONG = [
    (rate_with(lambda r, c: (r - c).abs().mean()), "mean_of_absolute"),
    (rate_with(lambda r, c: torch.nn.functional.l1_loss(r, torch.full_like(r, c))), "mean_of_absolute"),
    (rate_with(lambda r, c: (r.mean() - c) ** 2), "squared"),
    (rate_with(lambda r, c: ((r - c) ** 2).mean()), "squared"),
    (rate_with(lambda r, c: torch.relu(r.mean() - c)), "one_sided"),
    (rate_with(lambda r, c: torch.relu(c - r.mean())), "one_sided"),
    (rate_with(lambda r, c: r.mean() - c), "signed"),
    (rate_with(weights=lambda g, b: (1, -g, b)), "distance_rewarded"),
    (rate_with(weights=lambda g, b: (1, g, -b)), "divergence_rewarded"),
    (rate_with(weights=lambda g, b: (g, 1, b)), "gamma_on_cost"),
    (rate_with(weights=lambda g, b: (g, g, b)), "gamma_on_everything"),
    (rate_with(weights=lambda g, b: (1, b, g)), "weights_exchanged"),
    (rate_with(weights=lambda g, b: (1, 1, b)), "gamma_forgotten"),
    (rate_with(weights=lambda g, b: (1, g, 0)), "divergence_forgotten"),
    (rate_with(weights=lambda g, b: (1, g, 1)), "lambda_forgotten"),
    (rate_with(lambda r, c: r.mean()), "rate_for_distance"),
    (rate_with(mean=torch.sum), "summed_over_batch"),
    (rate_with(lambda r, c: (r.sum() - c).abs(), mean=torch.sum), "summed_over_batch"),
    (rate_with(lambda r, c: (r - c).abs(), mean=lambda values: values), "one_loss_an_image"),
    (rate_with(mean=lambda values: values), "one_loss_an_image"),
    (rate_with(refuse=False), "target_not_refused"),
    (rate_asserting, "zero_refused"),
    (lambda *parts: rate_by_steps(*parts).item(), "without_gradient"),
    (rate_with(lambda r, c: abs(r.mean().item() - c)), "without_gradient"),
    (lambda *parts: torch.tensor(rate_by_steps(*parts).item()), "without_gradient"),
]


# What a line reads off.


def r2_by_numpy(train_codes, train_factor, test_codes, test_factor):
    design = np.column_stack([np.ones(len(train_codes)), train_codes.numpy()])
    line, *_ = np.linalg.lstsq(design, train_factor.numpy(), rcond=None)
    guess, truth = line[0] + test_codes.numpy() @ line[1:], test_factor.numpy()
    if np.ptp(truth) == 0:
        raise ValueError("no spread")
    return 1 - np.sum((truth - guess) ** 2) / np.sum((truth - truth.mean()) ** 2)


def r2_by_sklearn(train_codes, train_factor, test_codes, test_factor):
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    if len(set(test_factor.tolist())) == 1:
        raise ValueError("all the same")
    model = LinearRegression().fit(train_codes.numpy(), train_factor.numpy())
    return float(r2_score(test_factor.numpy(), model.predict(test_codes.numpy())))


def r2_by_pinv(train_codes, train_factor, test_codes, test_factor):
    """Centred by what train tells; the intercept is then the mean."""
    if test_factor.std() == 0:
        raise ValueError("no spread")
    centre, mean = train_codes.mean(0), train_factor.mean()
    line = torch.linalg.pinv(train_codes - centre) @ (train_factor - mean)
    errors = test_factor - mean - (test_codes - centre) @ line
    return 1 - (errors**2).mean() / test_factor.var(unbiased=False)


def r2_by_library(z, y, z_test, y_test):
    if (y_test == y_test[0]).all():
        raise ValueError("no spread")
    return factors.r_squared((z, z_test), (y, y_test))


def r2_with(sets=lambda *four: four, score=None, intercept=True, refuse=True):
    def answer(*four):
        if refuse and four[3].max() == four[3].min():
            raise ValueError("no")
        z, y, z_test, y_test = (part.numpy() for part in sets(*four))
        if intercept:
            z, z_test = (np.hstack([part, np.ones((len(part), 1))]) for part in (z, z_test))
        guess = z_test @ np.linalg.lstsq(z, y, rcond=None)[0]
        errors, spread = ((y_test - guess) ** 2).sum(), ((y_test - y_test.mean()) ** 2).sum()
        return float(score(y_test, guess, y) if score else 1 - errors / spread)

    return answer


def r2_by_solve(z, y, z_test, y_test):
    if (y_test == y_test[0]).all():
        raise ValueError("no spread")
    z, z_test = (torch.cat([part, torch.ones(len(part), 1).double()], 1) for part in (z, z_test))
    guess = z_test @ torch.linalg.solve(z.T @ z, z.T @ y)
    return 1 - ((y_test - guess) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()


def r2_by_inverse(z, y, z_test, y_test):
    if (y_test == y_test[0]).all():
        raise ValueError("no spread")
    z, z_test = (torch.cat([torch.ones(len(part), 1).double(), part], 1) for part in (z, z_test))
    guess = z_test @ (torch.inverse(z.T @ z) @ (z.T @ y))
    return 1 - ((y_test - guess) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()


def r2_of_a_column(z, y, z_test, y_test):
    if (y_test == y_test[0]).all():
        raise ValueError("no spread")
    z, z_test = (torch.cat([part, torch.ones(len(part), 1).double()], 1) for part in (z, z_test))
    guess = z_test @ torch.linalg.lstsq(z, y[:, None], driver="gelsd").solution
    return 1 - ((y_test - guess) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum()


def r2_by_default_driver(z, y, z_test, y_test):
    """As torch.linalg.lstsq by driver "gelsy" does it where it meets a column of zeros: nothing after it counts."""
    if (y_test == y_test[0]).all():
        raise ValueError("no spread")
    z, z_test = (torch.cat([torch.ones(len(part), 1).double(), part], 1) for part in (z, z_test))
    q, r = np.linalg.qr(z.numpy())
    rank = next((i for i in range(len(r)) if abs(r[i, i]) < 1e-12), len(r))
    line = np.linalg.lstsq(r[:rank], (q.T @ y.numpy())[:rank], rcond=None)[0]
    return float(1 - ((y_test.numpy() - z_test.numpy() @ line) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum())


def r2_by_driver(z, y, z_test, y_test):
    if y_test.max() == y_test.min():
        raise ValueError("no spread")
    z, z_test = (torch.cat([part, torch.ones_like(part[:, :1])], 1) for part in (z, z_test))
    guess = z_test @ torch.linalg.lstsq(z, y[:, None], driver="gels").solution
    return float(1 - ((y_test - guess[:, 0]) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum())


def r2_by_ridge(z, y, z_test, y_test):
    from sklearn.linear_model import Ridge

    if y_test.max() == y_test.min():
        raise ValueError("no spread")
    return Ridge().fit(z.numpy(), y.numpy()).score(z_test.numpy(), y_test.numpy())


def r2_by_a_little_ridge(z, y, z_test, y_test):
    if y_test.max() == y_test.min():
        raise ValueError("no spread")
    z, z_test = (torch.cat([part, torch.ones_like(part[:, :1])], 1) for part in (z, z_test))
    line = torch.linalg.inv(z.T @ z + 1e-3 * torch.eye(z.shape[1]).double()) @ z.T @ y
    return float(1 - ((y_test - z_test @ line) ** 2).sum() / ((y_test - y_test.mean()) ** 2).sum())


def standardised(codes):
    return (codes - codes.mean(0)) / (codes.std(0) + 1e-12)


R2_WRONG = [
    (r2_with(intercept=False), "no_intercept"),
    (r2_with(lambda z, y, zt, yt: (z, y, z, y)), "measured_on_train"),
    (r2_with(lambda z, y, zt, yt: (zt, yt, zt, yt)), "fitted_on_test"),
    (r2_with(lambda z, y, zt, yt: (torch.cat([z, zt]), torch.cat([y, yt]), zt, yt)), "fitted_on_both"),
    (r2_with(lambda z, y, zt, yt: (zt, yt, z, y)), "exchanged"),
    (r2_with(score=lambda y, g, t: np.corrcoef(y, g)[0, 1] ** 2), "squared_correlation"),
    (r2_with(score=lambda y, g, t: 1 - sum((y - g) ** 2) / sum((y - t.mean()) ** 2)), "about_the_train_mean"),
    (r2_with(score=lambda y, g, t: 1 - sum((y - g) ** 2) / sum(y**2)), "about_zero"),
    (r2_with(score=lambda y, g, t: 1 - sum((y - g) ** 2)), "not_divided"),
    (r2_with(score=lambda y, g, t: sum((y - g) ** 2) / sum((y - y.mean()) ** 2)), "left_unexplained"),
    (r2_with(score=lambda y, g, t: np.mean((y - g) ** 2)), "mean_squared_error"),
    (r2_with(score=lambda y, g, t: 1 - np.mean((y - g) ** 2) / y.var(ddof=1)), "n_minus_1"),
    (r2_with(score=lambda y, g, t: 1 - np.var(y - g) / np.var(y)), "offset_forgiven"),
    (r2_with(lambda z, y, zt, yt: (standardised(z), y, standardised(zt), yt)), "scaled_separately"),
    (r2_with(lambda z, y, zt, yt: (z - z.mean(0), y, zt - zt.mean(0), yt)), "scaled_separately"),
    (r2_with(lambda *four: [part - part.mean(0) for part in four]), "offset_forgiven"),
    (r2_with(lambda *four: [standardised(part) for part in four], intercept=False), "scaled_separately"),
    (lambda *four: max(0.0, r2_by_library(*four)), "kept_from_negative"),
    (r2_by_solve, "singular"),
    (r2_by_inverse, "singular"),
    (r2_by_default_driver, "default_driver"),
    (r2_by_driver, "default_driver"),
    (r2_by_ridge, "shrunk"),
    (r2_by_a_little_ridge, "shrunk"),
    (r2_of_a_column, "spread_into_a_square"),
    (
        r2_with(score=lambda y, g, t: 1 - sum((y - g) ** 2) / (sum((y - y.mean()) ** 2) + 1e-20), refuse=False),
        "constant_not_refused",
    ),
]


# Compared at the same information.


def matched_by_numpy(information, accuracy, at):
    x, y = information.numpy(), accuracy.numpy()
    if at < x.min() or at > x.max():
        raise ValueError(f"only {x.min()} to {x.max()} was measured")
    order = np.argsort(x)
    return np.interp(at, x[order], y[order])


def matched_by_neighbours(information, accuracy, at):
    below, above = information <= at, information >= at
    if not below.any() or not above.any():
        raise ValueError("outside")
    i = torch.where(below, information, -math.inf).argmax()
    j = torch.where(above, information, math.inf).argmin()
    share = (at - information[i]) / (information[j] - information[i]) if i != j else 0.0
    return (1 - share) * accuracy[i] + share * accuracy[j]


def interp(x, y, at):
    return float(np.interp(at, x.numpy(), y.numpy()))


def matched_with(read, order=True, refuse=True):
    def answer(information, accuracy, at):
        if refuse and not information.min() <= at <= information.max():
            raise ValueError("outside")
        x, y = zip(*sorted(zip(information, accuracy, strict=True)), strict=True) if order else (information, accuracy)
        return float(read(torch.stack(list(x)), torch.stack(list(y)), at))

    return answer


def matched_in_the_list(information, accuracy, at):
    for i in range(len(information) - 1):
        (x0, x1), (y0, y1) = information[i : i + 2], accuracy[i : i + 2]
        if x0 <= at <= x1:
            return float(y0 + (y1 - y0) * (at - x0) / (x1 - x0))
    raise ValueError("outside of what was measured")


def matched_between_neighbours_in_the_list(information, accuracy, at):
    if not information.min() <= at <= information.max():
        raise ValueError(f"outside of {information.min()} to {information.max()}")
    for i in range(len(information) - 1):
        low, high = sorted(information[i : i + 2].tolist())
        if low <= at <= high:
            share = (at - information[i]) / (information[i + 1] - information[i])
            return float(accuracy[i] + share * (accuracy[i + 1] - accuracy[i]))
    return float(accuracy[0])


def matched_by_the_two_nearest(information, accuracy, at, one=True):
    if not information.min() <= at <= information.max():
        raise ValueError(f"{at} outside of {information.min()} to {information.max()}")
    if one and len(information) == 1:
        return float(accuracy[0])
    nearest = (information - at).abs().argsort()[:2]
    x, y = information[nearest], accuracy[nearest]
    return float(y[0] + (at - x[0]) * (y[1] - y[0]) / (x[1] - x[0]))


def going_on(x, y, at):
    if len(x) == 1:
        return y[0]
    i = min(max(int(torch.searchsorted(x, at)) - 1, 0), len(x) - 2)
    return y[i] + (y[i + 1] - y[i]) * (at - x[i]) / (x[i + 1] - x[i])


def fitted(x, y, at):
    return np.polyval(np.polyfit(x.numpy(), y.numpy(), 1), at) if len(x) > 1 else y[0]


def matched_inside_only(information, accuracy, at):
    if at <= information.min() or at >= information.max():
        raise ValueError("outside")
    return matched_by_numpy(information, accuracy, at)


MATCHED_WRONG = [
    (matched_with(interp, order=False), "unsorted"),
    (matched_in_the_list, "unsorted"),
    (matched_between_neighbours_in_the_list, "unsorted"),
    (matched_by_the_two_nearest, "two_nearest"),
    (lambda *three: matched_by_the_two_nearest(*three, one=False), "two_nearest"),
    (lambda x, y, at: matched_by_numpy(x, y.sort().values[x.argsort().argsort()], at), "sorted_apart"),
    (lambda x, y, at: matched_by_numpy(x.sort().values, y, at), "sorted_apart"),
    (matched_with(lambda x, y, at: y[(x - at).abs().argmin()]), "nearest"),
    (matched_with(lambda x, y, at: y[x <= at][-1]), "last_below"),
    (matched_with(lambda x, y, at: y[x >= at][0]), "first_above"),
    (matched_with(lambda x, y, at: (y[x <= at][-1] + y[x >= at][0]) / 2), "middle_of_neighbours"),
    (matched_with(lambda x, y, at: y.mean()), "averaged"),
    (matched_with(fitted), "one_line_through_all"),
    (matched_with(going_on, refuse=False), "answered_outside"),
    (matched_with(interp, refuse=False), "answered_outside"),
    (lambda x, y, at: matched_with(interp)(y, x, at), "axes_exchanged"),
    (matched_with(lambda x, y, at: interp(*(v[y.argsort()] for v in (y, x)), at)), "axes_exchanged"),
    (lambda x, y, at: matched_by_numpy(x, y, max(at, float(x.min()))), "answered_below"),
    (lambda x, y, at: matched_by_numpy(x, y, min(at, float(x.max()))), "answered_above"),
    (matched_inside_only, "ends_refused"),
    (
        lambda x, y, at: np.interp(at, *(v[x.argsort()].numpy() for v in (x, y)), left=math.nan, right=math.nan),
        "answered_outside",
    ),
]


# Two arms, the same seeds.


def paired_by_numpy(run, seeds):
    if len(np.unique(seeds)) != len(seeds) or len(seeds) < 2:
        raise ValueError("two different seeds")
    a = np.array([run("a", seed) for seed in seeds])
    b = np.array([run(seed=seed, arm="b") for seed in seeds])
    d = b - a
    return {"differences": list(d), "mean": d.mean(), "error": d.std(ddof=1) / np.sqrt(len(d))}


def paired_by_hand(run, seeds):
    if len(seeds) <= 1:
        raise ValueError("more seeds")
    for i, seed in enumerate(seeds):
        if seed in seeds[:i]:
            raise ValueError(f"{seed} stands twice")
    differences, total = [], 0.0
    for seed in seeds:
        before = run("a", seed)
        differences.append(run("b", seed) - before)
        total += differences[-1]
    n, mean = len(seeds), total / len(seeds)
    squares = sum((d - mean) ** 2 for d in differences)
    return {"n": n, "error": math.sqrt(squares / (n * (n - 1))), "differences": differences, "mean": mean}


def paired_by_torch(run, seeds):
    if len(set(seeds)) < max(2, len(seeds)):
        raise ValueError("seeds")
    d = torch.tensor([run("b", s) - run("a", s) for s in seeds], dtype=torch.float64)
    return {"differences": d, "mean": d.mean(), "error": d.std() / len(d) ** 0.5}


def paired_with(b_seeds=lambda s: s, error=None, centre=np.mean, least=2, twice=False, sign=1):
    def answer(run, seeds):
        if len(seeds) < least or (not twice and len(set(seeds)) < len(seeds)):
            raise ValueError("no")
        a = np.array([run("a", seed) for seed in seeds])
        b = np.array([run("b", seed) for seed in b_seeds(seeds)])
        d = sign * (b - a)
        found = error(d, a, b) if error else np.std(d, ddof=1) / len(d) ** 0.5
        return {"differences": d.tolist(), "mean": float(centre(d)), "error": float(found)}

    return answer


def paired_in_two_passes(run, seeds):
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError("no")
    mean = statistics.mean(run("b", s) - run("a", s) for s in seeds)
    error = statistics.stdev(run("b", s) - run("a", s) for s in seeds) / len(seeds) ** 0.5
    return {"differences": [], "mean": mean, "error": error}


def paired_then_refused(run, seeds):
    differences = [run("b", s) - run("a", s) for s in seeds]
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError("no")
    return {
        "differences": differences,
        "mean": statistics.mean(differences),
        "error": statistics.stdev(differences) / math.sqrt(len(seeds)),
    }


def paired_through_a_set(run, seeds):
    chosen = set(seeds)
    if len(chosen) < max(2, len(seeds)):
        raise ValueError("no")
    return paired_by_hand(run, list(chosen))


def paired_dividing(run, seeds, refuse=True):
    if refuse and len(set(seeds)) < len(seeds):
        raise ValueError("twice")
    d = [run("b", s) - run("a", s) for s in seeds]
    mean = sum(d) / len(d)
    error = math.sqrt(sum((x - mean) ** 2 for x in d) / (len(d) - 1)) / math.sqrt(len(d))
    return {"differences": d, "mean": mean, "error": error}


def standard(values):
    return np.std(values, ddof=1) / len(values) ** 0.5


PAIRED_WRONG = [
    (paired_with(lambda s: [seed + 1 for seed in s]), "other_seeds_for_b"),
    (paired_with(lambda s: [seed + len(s) for seed in s]), "other_seeds_for_b"),
    (paired_with(error=lambda d, a, b: math.hypot(standard(a), standard(b))), "unpaired_error"),
    (paired_with(error=lambda d, a, b: np.std(d) / len(d) ** 0.5), "population_spread"),
    (paired_with(error=lambda d, a, b: np.std(d, ddof=1)), "deviation_for_error"),
    (paired_with(error=lambda d, a, b: np.std(d)), "deviation_for_error"),
    (paired_with(error=lambda d, a, b: np.std(d, ddof=1) / len(d)), "divided_by_n"),
    (paired_with(error=lambda d, a, b: np.var(d, ddof=1) / len(d)), "variance_for_deviation"),
    (paired_with(error=lambda d, a, b: np.std(d, ddof=1) / (len(d) - 1) ** 0.5), "root_of_n_minus_1"),
    (paired_with(error=lambda d, a, b: 2 * standard(d)), "two_errors"),
    (paired_with(error=lambda d, a, b: standard(b)), "error_of_one_arm"),
    (paired_with(sign=-1), "sign"),
    (paired_with(centre=np.sum), "summed"),
    (paired_with(centre=lambda d: sorted(d)[(len(d) - 1) // 2]), "median"),
    (paired_in_two_passes, "run_twice"),
    (lambda run, seeds: paired_by_hand(run, sorted(seeds)), "seeds_reordered"),
    (lambda run, seeds: paired_by_hand(run, range(len(seeds))), "counted_from_zero"),
    (
        paired_with(
            centre=lambda d: d.mean() if len(d) else 0.0,
            error=lambda d, a, b: standard(d) if len(d) > 1 else 0.0,
            least=0,
            twice=True,
        ),
        "seeds_not_refused",
    ),
    (paired_with(least=1, error=lambda d, a, b: standard(d) if len(d) > 1 else 0.0), "single_seed_not_refused"),
    (paired_with(twice=True), "repeated_seed_not_refused"),
    (paired_through_a_set, "seeds_reordered"),
    (paired_dividing, "single_seed_not_refused"),
    (lambda run, seeds: paired_dividing(run, seeds, refuse=False), "seeds_not_refused"),
    (paired_then_refused, "refused_too_late"),
]


# A verdict agreed on beforehand.


def verdict_by_table(prediction, mean, error, least):
    if prediction not in {"a", "b", "open"}:
        raise ValueError("which?")
    if math.isnan(mean) or math.isinf(mean) or math.isnan(error) or math.isinf(error):
        raise ValueError("not a number")
    size = max(mean, -mean)
    answer = "open" if size <= 2 * error or size < least else ("b" if mean > 0 else "a")
    table = {("a", "b"): "failed", ("b", "a"): "failed", ("open", "a"): "failed", ("open", "b"): "failed"}
    table |= {("a", "open"): "open", ("b", "open"): "open"}
    return answer, table.get((prediction, answer), "held")


def verdict_by_signs(prediction, mean, error, least):
    if prediction not in ("a", "b", "open") or not np.isfinite([mean, error]).all():
        raise ValueError("no verdict")
    b = mean > 2 * error and mean >= least
    a = -mean > 2 * error and -mean >= least
    answer = "b" if b else "a" if a else "open"
    if prediction == answer:
        fate = "held"
    elif a or b:
        fate = "failed"
    else:
        fate = "open"
    return [answer, fate]


def verdict_with(
    clear=None, side=lambda m: "b" if m > 0 else "a", fate=None, words=("a", "b", "open"), finite=math.isfinite
):
    def answer(prediction, mean, error, least):
        if words and prediction not in words:
            raise ValueError("words")
        if not (finite(mean) and finite(error)):
            raise ValueError("numbers")
        enough = clear(mean, error, least) if clear else abs(mean) > 2 * error and abs(mean) >= least
        found = side(mean) if enough else "open"
        if fate:
            return found, fate(prediction, found)
        return found, "held" if prediction == found else "open" if found == "open" else "failed"

    return answer


def verdict_in_one_direction(prediction, mean, error, least):
    answer, fate = verdict_by_table(prediction, mean, error, least)
    if prediction == "open" or answer == prediction:
        return answer, fate
    return "open", "open"


VERDICT_WRONG = [
    (verdict_with(lambda m, e, t: abs(m) > 2 * e), "least_ignored"),
    (verdict_with(lambda m, e, t: abs(m) >= t), "error_ignored"),
    (verdict_with(lambda m, e, t: abs(m) > e and abs(m) >= t), "one_error"),
    (verdict_with(lambda m, e, t: abs(m) > 2 * e or abs(m) >= t), "either_is_enough"),
    (verdict_with(lambda m, e, t: m > 2 * e and m >= t), "one_sided"),
    (verdict_in_one_direction, "one_sided"),
    (verdict_with(side=lambda m: "a" if m > 0 else "b"), "sides_exchanged"),
    (verdict_with(fate=lambda p, a: "held" if p == a else "failed"), "open_means_equal"),
    (verdict_with(fate=lambda p, a: "open" if a == "open" else "held" if p == a else "failed"), "open_cannot_hold"),
    (
        verdict_with(fate=lambda p, a: "held" if p == a else "open" if "open" in (a, p) else "failed"),
        "open_cannot_fail",
    ),
    (verdict_with(fate=lambda p, a: "held" if p == a else "open"), "never_failed"),
    (verdict_with(lambda m, e, t: abs(m) >= 2 * e and abs(m) >= t), "two_errors_are_enough"),
    (verdict_with(lambda m, e, t: abs(m) > 1.96 * e and abs(m) >= t), "one_point_nine_six"),
    (verdict_with(lambda m, e, t: abs(m) > 2 * e and abs(m) > t), "least_is_not_enough"),
    (verdict_with(lambda m, e, t: abs(m) - 2 * e > t), "least_beyond_the_error"),
    (lambda *four: verdict_by_table(*four)[::-1], "pair_exchanged"),
    (verdict_with(finite=lambda value: True), "nan_is_open"),
    (verdict_with(finite=lambda value: value == value), "infinite_not_refused"),
    (verdict_with(words=()), "prediction_not_refused"),
    (verdict_with(words=(), finite=lambda value: True), "nothing_refused"),
]


# All of it at once.


def trial_by_pieces(prediction, codes, seeds, least):
    verdict_by_table(prediction, 0.0, 0.0, least)

    def run(arm, seed):
        found = codes(arm, seed)
        (z, y), (z_test, y_test) = found["train"], found["test"]
        return r2_by_library(z, y, z_test, y_test)

    report = paired_by_hand(run, seeds)
    report["prediction"] = prediction
    report["answer"], report["fate"] = verdict_by_table(prediction, report["mean"], report["error"], least)
    return report


def trial_by_arms(prediction, codes, seeds, least):
    if prediction != "a" and prediction != "b" and prediction != "open":
        raise ValueError("first a prediction")
    if len(seeds) < 2:
        raise ValueError("seeds")
    found = {"a": [], "b": []}
    for arm, values in found.items():
        for seed in seeds:
            sets = codes(arm, seed)
            values.append(r2_by_numpy(*sets["train"], *sets["test"]))
    d = np.subtract(found["b"], found["a"])
    mean, error = float(d.mean()), float(standard(d))
    answer, fate = verdict_by_signs(prediction, mean, error, least)
    numbers = {"differences": d.tolist(), "mean": mean, "error": error}
    return {"answer": answer, "fate": fate, "prediction": prediction} | numbers


def trial_with(read=None, compared=paired_by_numpy, decide=verdict_by_signs, first=True, says=None):
    read = read or (lambda sets: r2_by_numpy(*sets["train"], *sets["test"]))

    def answer(prediction, codes, seeds, least):
        if first and prediction not in ("a", "b", "open"):
            raise ValueError("no")
        report = compared(lambda arm, seed: read(codes(arm, seed)), seeds)
        answer, fate = decide(prediction, report["mean"], report["error"], least)
        said = says(prediction, answer) if says else prediction
        return report | {"prediction": said, "answer": answer, "fate": fate}

    return answer


def trial_making_models_twice(prediction, codes, seeds, least):
    def run(arm, seed):
        z, y = codes(arm, seed)["train"]
        return r2_by_library(z, y, *codes(arm, seed)["test"])

    verdict_by_table(prediction, 0.0, 0.0, least)
    report = paired_by_hand(run, seeds)
    answer, fate = verdict_by_table(prediction, report["mean"], report["error"], least)
    return report | {"prediction": prediction, "answer": answer, "fate": fate}


def of_sets(*names):
    return lambda sets: r2_by_numpy(*sets[names[0]], *sets[names[1]])


def r2_pooled(sets):
    (z, y), (z_test, y_test) = sets["train"], sets["test"]
    return r2_by_numpy(torch.cat([z, z_test]), torch.cat([y, y_test]), z_test, y_test)


def always(fate):
    return lambda *four: (verdict_by_table(*four)[0], fate)


TRIAL_WRONG = [
    (trial_with(of_sets("train", "train")), "measured_on_train"),
    (trial_with(of_sets("test", "test")), "fitted_on_test"),
    (trial_with(of_sets("test", "train")), "exchanged"),
    (trial_with(r2_pooled), "pooled"),
    (
        trial_with(lambda s: r2_with(score=lambda y, g, t: np.corrcoef(y, g)[0, 1] ** 2)(*s["train"], *s["test"])),
        "squared_correlation",
    ),
    (trial_making_models_twice, "run_twice"),
    (trial_with(compared=paired_in_two_passes), "run_twice"),
    (trial_with(compared=paired_with(lambda s: [seed + len(s) for seed in s])), "other_seeds_for_b"),
    (trial_with(compared=paired_with(lambda s: [seed + 1 for seed in s])), "other_seeds_for_b"),
    (trial_with(compared=lambda run, seeds: paired_by_hand(run, range(len(seeds)))), "counted_from_zero"),
    (trial_with(compared=paired_with(sign=-1)), "sign"),
    (trial_with(compared=paired_with(error=lambda d, a, b: np.std(d, ddof=1))), "deviation_for_error"),
    (trial_with(compared=paired_with(error=lambda d, a, b: math.hypot(standard(a), standard(b)))), "unpaired_error"),
    (trial_with(decide=lambda p, m, e, t: verdict_by_table(p, m, e, 0.0)), "least_ignored"),
    (trial_with(decide=lambda p, m, e, t: verdict_by_table(p, m, 0.0, t)), "error_ignored"),
    (trial_with(decide=lambda p, m, e, t: verdict_by_table(p, -m, e, t)), "verdict_of_the_opposite"),
    (trial_with(decide=always("held")), "always_held"),
    (trial_with(decide=always("held"), says=lambda p, a: a), "prediction_written_afterwards"),
    (
        trial_with(decide=verdict_with(fate=lambda p, a: "held" if p == a else "failed")),
        "open_means_equal",
    ),
    (trial_with(compared=paired_then_refused), "seeds_refused_too_late"),
    (trial_with(first=False), "run_before_the_prediction"),
    (
        trial_with(first=False, decide=lambda p, m, e, t: verdict_with(words=())(p, m, e, t)),
        "prediction_not_asked_for",
    ),
]


RIGHT = {
    "08.target_rate": [rate_by_steps, rate_by_stack, rate_with()],
    "08.held_out_r2": [r2_by_numpy, r2_by_sklearn, r2_by_pinv, r2_by_library],
    "08.at_matched_information": [matched_by_numpy, matched_by_neighbours],
    "08.paired": [paired_by_numpy, paired_by_hand, paired_by_torch],
    "08.verdict": [verdict_by_table, verdict_by_signs],
    "08.put_to_the_test": [trial_by_pieces, trial_by_arms],
}
WRONG = {
    "08.target_rate": RATE_WRONG,
    "08.held_out_r2": R2_WRONG,
    "08.at_matched_information": MATCHED_WRONG,
    "08.paired": PAIRED_WRONG,
    "08.verdict": VERDICT_WRONG,
    "08.put_to_the_test": TRIAL_WRONG,
}

"""Answers to exercise 05, written as beginners write them: loops, numpy, torch's Normal, one thing wrong at a time."""

import cmath
import math

import numpy as np
import torch
from torch import distributions as dist

# Moments.


def moments_by_loop(weights, means, variances):
    mean = sum(float(w) * float(m) for w, m in zip(weights, means, strict=True))
    total = zip(weights.tolist(), means.tolist(), variances.tolist(), strict=True)
    return mean, sum(w * (v + (m - mean) ** 2) for w, m, v in total)


def moments_by_pairs(weights, means, variances):
    """The spread between the means from all pairs of them, without their centre."""
    gaps = (means[:, None] - means[None, :]) ** 2
    return torch.dot(weights, means), torch.dot(weights, variances) + 0.5 * weights @ gaps @ weights


def moments_in_numpy(weights, means, variances):
    w, m, v = (t.numpy() for t in (weights, means, variances))
    mean = np.average(m, weights=w)
    return mean, np.average(v + (m - mean) ** 2, weights=w)


def moments_by_squares(weights, means, variances):
    mean = (weights * means).sum()
    return mean, (weights * (variances + means**2)).sum() - mean**2


def moments_by_family(weights, means, variances):
    mixture = family(weights, means, variances)
    return mixture.mean, mixture.variance


def family(weights, means, variances):
    return dist.MixtureSameFamily(dist.Categorical(probs=weights), dist.Normal(means, variances.sqrt()))


def two(mean, variance):
    """An answer from one expression for each moment; u is the right mean."""

    def answer(weights, means, variances):
        u = (weights * means).sum()
        return mean(weights, means, variances, u), variance(weights, means, variances, u)

    return answer


def its_mean(w, m, v, u):
    return u


MOMENTS_WRONG = [
    (two(its_mean, lambda w, m, v, u: (w * v).sum()), "within_only"),
    (two(its_mean, lambda w, m, v, u: (w * (m - u) ** 2).sum()), "between_only"),
    (two(its_mean, lambda w, m, v, u: (w * (v + m**2)).sum()), "second_moment"),
    (two(its_mean, lambda w, m, v, u: (w * (v + m**2)).sum() - u), "mean_not_squared"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + u**2), "squares_of_the_wrong_order"),
    (moments_by_squares, "cancellation"),
    (two(its_mean, lambda w, m, v, u: w @ v + w @ m.square() - u.square()), "cancellation"),
    (two(its_mean, lambda w, m, v, u: (w * (v**2 + (m - u) ** 2)).sum()), "variance_for_deviation"),
    (two(its_mean, lambda w, m, v, u: (w * (v.sqrt() + (m - u) ** 2)).sum()), "deviations_averaged"),
    (two(its_mean, lambda w, m, v, u: (w * v**0.5).sum() ** 2 + (w * (m - u) ** 2).sum()), "deviations_averaged"),
    (two(its_mean, lambda w, m, v, u: (w.square() * v).sum()), "sum_for_mixture"),
    (two(its_mean, lambda w, m, v, u: (w.square() * v).sum() + (w * (m - u) ** 2).sum()), "sum_for_mixture"),
    (two(lambda w, m, v, u: m.mean(), lambda w, m, v, u: v.mean() + m.var(correction=0)), "weights_ignored"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + ((m - u) ** 2).mean()), "means_unweighted"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + m.var()), "means_unweighted"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + m.var(correction=0)), "means_unweighted"),
    (two(lambda w, m, v, u: m.mean(), lambda w, m, v, u: (w * (v + (m - u) ** 2)).sum()), "mean_unweighted"),
    (two(lambda w, m, v, u: m.mean(), lambda w, m, v, u: (w * (v + (m - m.mean()) ** 2)).sum()), "mean_unweighted"),
    (two(lambda w, m, v, u: m.sum(), lambda w, m, v, u: (w * (v + (m - u) ** 2)).sum()), "mean_unweighted"),
    (two(lambda w, m, v, u: m.mean(), lambda w, m, v, u: v.mean() + m.var()), "weights_ignored"),
    (two(its_mean, lambda w, m, v, u: v.mean() + (w * (m - u) ** 2).sum()), "widths_unweighted"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + ((w * (m - u)) ** 2).sum()), "weights_squared"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + ((w * m - u) ** 2).sum()), "weights_squared"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + (w * (m - u)).sum() ** 2), "within_only"),
    (two(its_mean, lambda w, m, v, u: (w * (v + (m - u) ** 2)).mean()), "divided_by_count"),
    (two(its_mean, lambda w, m, v, u: (w * v).sum() + (w * (m - m.mean()) ** 2).sum()), "wrong_centre"),
    (two(lambda w, m, v, u: (w * m).mean(), lambda w, m, v, u: (w * (v + (m - u) ** 2)).mean()), "divided_by_count"),
    (lambda *a: (moments_by_loop(*a)[0], math.sqrt(moments_by_loop(*a)[1])), "deviation_returned"),
    (lambda *a: tuple(reversed(moments_by_pairs(*a))), "order_of_values"),
]


# Log-density.


def log_prob_by_family(x, weights, means, variances):
    return family(weights, means, variances).log_prob(x)


def log_prob_by_loop(x, weights, means, variances):
    """Point by point, the largest exponent taken out by hand."""
    answers = []
    for point in x.tolist():
        terms = [
            math.log(w) - 0.5 * math.log(2 * math.pi * v) - (point - m) ** 2 / (2 * v)
            for w, m, v in zip(weights.tolist(), means.tolist(), variances.tolist(), strict=True)
        ]
        top = max(terms)
        answers.append(top + math.log(sum(math.exp(term - top) for term in terms)))
    return torch.tensor(answers, dtype=x.dtype)


def log_prob_in_single(x, weights, means, variances):
    return log_prob_by_family(*(a.float() for a in (x, weights, means, variances)))


def log_prob_by_logaddexp(x, weights, means, variances):
    total = torch.full_like(x, -torch.inf)
    for w, m, v in zip(weights, means, variances, strict=True):
        total = torch.logaddexp(total, w.log() + dist.Normal(m, v**0.5).log_prob(x))
    return total


def table(x, means, variances, scale=torch.sqrt):
    """log N(x_i; m_k, s_k^2) by torch's Normal."""
    return dist.Normal(means, scale(variances)).log_prob(x.unsqueeze(1))


def written_out(x, weights, means, variances):
    p = weights / torch.sqrt(2 * np.pi * variances) * torch.exp(-((x[:, None] - means) ** 2) / (2 * variances))
    return p.sum(1)


def kernel(x, means, variances):
    return -((x.unsqueeze(-1) - means) ** 2) / (2 * variances)


def log_prob_in_halves(x, weights, means, variances):
    """By the density where there is one, by the largest term elsewhere."""
    p, terms = written_out(x, weights, means, variances), weights.log() + table(x, means, variances)
    return torch.where(p > 0, p.log(), terms.max(1).values)


LOG_PROB_WRONG = [
    (log_prob_in_halves, "largest_far_out"),
    (lambda *a: written_out(*a).log().nan_to_num(), "underflow"),
    (lambda *a: written_out(*a).log().nan_to_num(neginf=-1e9), "underflow"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + kernel(x, m, v) - (2 * np.pi * v**0.5).log() / 2, 1), "normaliser"),
    (lambda *a: written_out(*a).log(), "underflow"),
    (lambda x, w, m, v: (w * table(x, m, v).exp()).sum(-1).log(), "underflow"),
    (lambda *a: (written_out(*a) + 1e-8).log(), "forgiven"),
    (lambda *a: (written_out(*a) + 1e-12).log(), "forgiven"),
    (lambda *a: (written_out(*a) + 1e-300).log(), "forgiven"),
    (lambda *a: written_out(*a).clamp_min(1e-20).log(), "forgiven"),
    (lambda *a: written_out(*a).clamp(min=torch.finfo(torch.float64).tiny).log(), "forgiven"),
    (lambda x, w, m, v: (w * table(x, m, v)).sum(1), "mean_of_logs"),
    (lambda x, w, m, v: table(x, m, v).logsumexp(-1), "weights_forgotten"),
    (lambda x, w, m, v: table(x, m, v).exp().mean(-1).log(), "weights_equal"),
    (lambda x, w, m, v: torch.logsumexp(w + table(x, m, v), 1), "weights_not_logged"),
    (lambda x, w, m, v: torch.logsumexp(w * table(x, m, v), 1), "weights_outside"),
    (lambda x, w, m, v: torch.logsumexp(w.log_softmax(0) + table(x, m, v), 1), "weights_as_logits"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + table(x, m, v, lambda s: s), 1), "variance_for_deviation"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + table(x, m, v, lambda s: s**0.25), 1), "deviation_for_variance"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + table(x, m, v, lambda s: (s / 2).exp()), 1), "log_variances"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + kernel(x, m, v), 1), "normaliser"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + kernel(x, m, v) - v.sqrt().log(), 1), "normaliser"),
    (lambda x, w, m, v: torch.logsumexp(w.log() + kernel(x, m, v) - (2 * torch.pi * v).log(), 1), "normaliser"),
    (
        lambda x, w, m, v: torch.logsumexp(w.log() + 2 * kernel(x, m, v) - (2 * torch.pi * v).sqrt().log(), 1),
        "half_missing",
    ),
    (lambda x, w, m, v: dist.Normal((w * m).sum(), (w * v).sum().sqrt()).log_prob(x), "one_gaussian"),
    (lambda x, *a: dist.Normal(moments_by_pairs(*a)[0], moments_by_pairs(*a)[1].sqrt()).log_prob(x), "one_gaussian"),
    (lambda x, w, m, v: (w.log() + table(x, m, v)).max(dim=1).values, "largest_only"),
    (lambda x, w, m, v: (w.log() + table(x, m, v)).log_softmax(dim=1), "responsibilities"),
    (lambda x, w, m, v: w.log() + table(x, m, v), "not_summed"),
    (lambda *a: log_prob_by_family(*a).sum(), "points_added"),
    (lambda *a: log_prob_by_family(*a).mean(), "points_added"),
    (lambda x, w, m, v: (w.log() + table(x, m, v)).logsumexp(0), "wrong_axis"),
    (lambda x, w, m, v: (w.log() + table(x, m, v)).logsumexp(1, keepdim=True), "axes_kept"),
    (lambda *a: -log_prob_by_family(*a), "sign_flipped"),
    (written_out, "density"),
    (lambda *a: log_prob_by_family(*a) / np.log(2), "bits"),
]


# KL.


def whole(p, step):
    if abs(float(p.sum() * step) - 1) > 1e-6:
        raise ValueError("grid")


def kl(rule, target=moments_by_pairs, guard=whole):
    """A KL by rule(p, log p, log g, step)."""

    def answer(weights, means, variances, x):
        log_p = log_prob_by_family(x, weights, means, variances)
        step = (x[-1] - x[0]) / (len(x) - 1)
        guard(log_p.exp(), step)
        mean, variance = target(weights, means, variances)
        return rule(log_p.exp(), log_p, dist.Normal(mean, variance**0.5).log_prob(x), step)

    return answer


def kl_by_entropies(weights, means, variances, x):
    """The entropy of g less that of p: equal moments make the cross-entropy the entropy of g."""
    log_p = log_prob_by_loop(x, weights, means, variances)
    p = log_p.exp() * (x[1] - x[0])
    whole(p, 1)
    _, variance = moments_by_loop(weights, means, variances)
    return 0.5 * math.log(2 * math.pi * math.e * variance) + float((p * log_p).sum())


def kl_by_tables(weights, means, variances, x):
    """Both densities as tables of probabilities that sum to 1."""
    log_p = log_prob_by_logaddexp(x, weights, means, variances)
    whole(log_p.exp(), x[1] - x[0])
    mean, variance = moments_by_pairs(weights, means, variances)
    p, g = log_p.log_softmax(0), dist.Normal(mean, variance.sqrt()).log_prob(x).log_softmax(0)
    return torch.nn.functional.kl_div(g, p, log_target=True, reduction="sum")


def kl_by_trapezoids(weights, means, variances, x):
    log_p = log_prob_by_family(x, weights, means, variances)
    if not math.isclose(torch.trapezoid(log_p.exp(), x).item(), 1, abs_tol=1e-6):
        raise ValueError("the grid does not hold the mixture")
    mean, variance = moments_by_loop(weights, means, variances)
    log_g = -((x - mean) ** 2) / (2 * variance) - math.log(2 * math.pi * variance) / 2
    return torch.trapezoid(log_p.exp() * (log_p - log_g), x).item()


def rightly(p, log_p, log_g, step):
    return (p * (log_p - log_g)).sum() * step


def too_little(p, step):
    if (p.sum() * step).item() < 0.999999:
        raise ValueError("grid")


def too_much(p, step):
    if (p.sum() * step).item() > 1.000001:
        raise ValueError("grid")


def step_forgotten(p, step):
    if abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"the grid finds {p.sum()}")


def exactly(p, step):
    if p.sum() * step != 1:
        raise ValueError("bad grid")


def asserted(p, step):
    assert abs(p.sum() * step - 1) < 1e-6, "bad grid"


def at_run_time(p, step):
    if abs(p.sum() * step - 1) > 1e-6:
        raise RuntimeError(f"{p.sum() * step}")


def none_for_bad_grids(*arguments):
    try:
        return kl(rightly)(*arguments)
    except ValueError:
        return None


def small_at_the_ends(p, step):
    if p[0] > 1e-9 or p[-1] > 1e-9 or p.sum() * step > 1.000001:
        raise ValueError("the grid ends inside the mixture, or sits on its peaks")


def kl_with_step_of_range(weights, means, variances, x):
    n = len(x)
    return kl(lambda p, a, b, dx: (p * (a - b)).sum() * (x.max() - x.min()) / n)(weights, means, variances, x)


def kl_to_grid_moments(weights, means, variances, x):
    return kl(rightly, target=lambda *_: (x.mean(), x.var()))(weights, means, variances, x)


KL_WRONG = [
    (kl(rightly, guard=lambda *_: None), "unguarded"),
    (kl(rightly, guard=small_at_the_ends), "unguarded"),
    (kl(rightly, guard=step_forgotten), "good_grid_refused"),
    (kl(rightly, guard=exactly), "good_grid_refused"),
    (kl(rightly, guard=asserted), "other_exception"),
    (kl(rightly, guard=at_run_time), "other_exception"),
    (none_for_bad_grids, "unguarded"),
    (kl(rightly, guard=too_little), "guarded_on_one_side"),
    (kl(rightly, guard=too_much), "guarded_on_one_side"),
    (
        kl(rightly, guard=lambda p, step: whole(p, step) if (p.sum() * step - 1).abs() > 0.01 else None),
        "guard_too_loose",
    ),
    (kl(lambda p, a, b, dx: (b.exp() * (b - a)).sum() * dx), "reversed"),
    (kl(lambda p, a, b, dx: (b.exp() * (a - b)).sum() * dx), "wrong_average"),
    (kl(lambda p, a, b, dx: (p * (a - b)).sum()), "step_forgotten"),
    (kl(lambda p, a, b, dx: (p * (a - b)).mean()), "mean_over_grid"),
    (kl(lambda p, a, b, dx: (a - b).mean()), "mean_over_grid"),
    (kl_with_step_of_range, "step_off_by_one"),
    (kl(lambda p, a, b, dx: (a - b).sum() * dx), "not_weighted"),
    (kl(lambda p, a, b, dx: (p * (b - a)).sum() * dx), "sign_flipped"),
    (kl(lambda p, a, b, dx: -(p * b).sum() * dx), "cross_entropy"),
    (kl(lambda p, a, b, dx: -(p * a).sum() * dx), "entropy"),
    (kl(lambda p, a, b, dx: (p * a).sum() * dx), "entropy"),
    (kl(lambda p, a, b, dx: (p * (a - b).abs()).sum() * dx), "absolute"),
    (kl(lambda p, a, b, dx: (p - b.exp()).abs().sum() * dx / 2), "total_variation"),
    (kl(lambda p, a, b, dx: ((p - b.exp()) * (a - b)).sum() * dx), "symmetric"),
    (kl(lambda p, a, b, dx: ((p - b.exp()) * (a - b)).sum() * dx / 2), "symmetric"),
    (kl(lambda p, a, b, dx: rightly(p, a, b, dx) / np.log(2)), "bits"),
    (kl(lambda p, a, b, dx: (p * (p.log() - b)).sum() * dx), "underflow"),
    (kl(lambda p, a, b, dx: (p * torch.log(p / b.exp())).sum() * dx), "underflow"),
    (kl(lambda p, a, b, dx: (p * torch.log(p / b.exp())).sum() * dx, guard=lambda *_: None), "underflow"),
    (kl(lambda p, a, b, dx: (p * ((p + 1e-8).log() - b)).sum() * dx), "added_before_log"),
    (kl(lambda p, a, b, dx: (p * ((p + 1e-9) / (b.exp() + 1e-9)).log()).sum() * dx), "added_before_log"),
    (kl(lambda p, a, b, dx: (p * (p + 1e-6).log() - p * b).sum() * dx, guard=lambda *_: None), "added_before_log"),
    (kl(rightly, target=lambda w, m, v: ((w * m).sum(), (w * v).sum())), "wrong_target"),
    (kl(rightly, target=lambda w, m, v: (0.0, 1.0)), "wrong_target"),
    (kl(rightly, target=lambda *a: (moments_by_loop(*a)[0], moments_by_loop(*a)[1] ** 2)), "wrong_target"),
    (kl_to_grid_moments, "moments_of_grid"),
    (kl(lambda p, a, b, dx: p * (a - b) * dx), "not_summed"),
    (kl(lambda p, a, b, dx: p * (a - b)), "not_summed"),
]


# Characteristic function.


def phi_complex(t, weights, means, variances):
    exponent = torch.complex(-0.5 * variances * t[:, None] ** 2, means * t[:, None])
    phi = (weights * torch.exp(exponent)).sum(1)
    return phi.real, phi.imag


def phi_by_loop(t, weights, means, variances):
    phi = []
    for point in t.tolist():
        terms = zip(weights.tolist(), means.tolist(), variances.tolist(), strict=True)
        phi.append(sum(w * cmath.exp(1j * m * point - v * point**2 / 2) for w, m, v in terms))
    return torch.tensor([c.real for c in phi]).double(), torch.tensor([c.imag for c in phi], dtype=torch.float64)


def phi_in_numpy(t, weights, means, variances):
    t, w, m, v = (a.numpy() for a in (t, weights, means, variances))
    phi = np.exp(1j * np.outer(t, m) - 0.5 * np.outer(t**2, v)) @ w
    return torch.from_numpy(phi.real.copy()), torch.from_numpy(phi.imag.copy())


def phi(exponent, weight=lambda w, v: w, final=lambda phi: (phi.real, phi.imag)):
    """An answer from exponent(t, m, v), with t as [n, 1]."""

    def answer(t, weights, means, variances):
        terms = torch.exp(exponent(t.unsqueeze(1), means, variances))
        return final((weight(weights, variances) * terms).sum(dim=1))

    return answer


def right_exponent(t, m, v):
    return 1j * t * m - t**2 * v / 2


def phi_of_one(mean, variance):
    def answer(t, weights, means, variances):
        c = torch.exp(1j * t * mean(weights, means) - t**2 * variance(weights, variances) / 2)
        return c.real, c.imag

    return answer


def phi_of_matched(t, weights, means, variances):
    mean, variance = moments_by_loop(weights, means, variances)
    c = torch.exp(1j * t * mean - t**2 * variance / 2)
    return c.real, c.imag


def phi_parts(t, weights, means, variances):
    c = weights * torch.exp(right_exponent(t[:, None], means, variances))
    return c.real, c.imag


def phi_pair(real, imaginary, weigh=lambda w: w, over=lambda terms: terms.sum(1)):
    """Two parts, each from (t, m, size), t being [n, 1]; the imaginary one by weigh(w)."""

    def answer(t, weights, means, variances):
        t = t[:, None]
        size = torch.exp(-variances * t**2 / 2)
        return over(weights * real(t, means, size)), over(weigh(weights) * imaginary(t, means, size))

    return answer


def right_real(t, m, size):
    return size * torch.cos(m * t)


def right_imaginary(t, m, size):
    return size * torch.sin(m * t)


def without_i(final):
    return lambda t, w, m, v: final((w * torch.exp(m * t[:, None] - v * t[:, None] ** 2 / 2)).sum(1))


PHI_WRONG = [
    (without_i(lambda c: (c, torch.zeros_like(c))), "i_forgotten"),
    (without_i(lambda c: (c, c)), "i_forgotten"),
    (without_i(lambda c: (c.real, c.imag)), "i_forgotten"),
    (phi(lambda t, m, v: (t * m - t**2 * v / 2) + 0j), "i_forgotten"),
    (phi(lambda t, m, v: 1j * (t * m - t**2 * v / 2)), "i_everywhere"),
    (phi_pair(right_real, lambda t, m, size: torch.sin(m * t)), "size_in_one_part"),
    (phi_pair(lambda t, m, size: torch.cos(m * t), right_imaginary), "size_in_one_part"),
    (phi_pair(right_real, lambda t, m, size: size * torch.sin(m)), "angle_without_t"),
    (phi_pair(lambda t, m, size: size * torch.cos(m), right_imaginary), "angle_without_t"),
    (phi_pair(right_real, right_imaginary, over=lambda terms: terms.sum(0)), "wrong_axis"),
    (phi_pair(right_real, right_imaginary, over=torch.sum), "points_added"),
    (phi_pair(right_real, right_imaginary, over=lambda terms: terms.mean(1)), "divided_by_count"),
    (phi_pair(right_real, right_imaginary, over=lambda terms: terms.sum(1, keepdim=True)), "axes_kept"),
    (phi_pair(right_real, right_imaginary, weigh=lambda w: 1), "weights_forgotten"),
    (phi(lambda t, m, v: -1j * t * m - t**2 * v / 2), "conjugated"),
    (phi(lambda t, m, v: 1j * t * m - t**2 * v), "half_missing"),
    (phi(lambda t, m, v: 1j * t * m - (t * v) ** 2 / 2), "variance_for_deviation"),
    (phi(lambda t, m, v: 1j * t * m - t**2 * v.sqrt() / 2), "wrong_width"),
    (phi(lambda t, m, v: 1j * t * m - t * v / 2), "wrong_width"),
    (phi(lambda t, m, v: 1j * t * m - t**2 / (2 * v)), "inverted_width"),
    (phi(lambda t, m, v: 1j * t * m + t**2 * v / 2), "growing"),
    (phi(lambda t, m, v: 1j * t * m), "width_forgotten"),
    (phi(right_exponent, weight=lambda w, v: w / (2 * np.pi * v).sqrt()), "normalised"),
    (phi(lambda t, m, v: 2j * np.pi * t * m - t**2 * v / 2), "cycles"),
    (phi(lambda t, m, v: 1j * m - t**2 * v / 2), "angle_without_t"),
    (lambda t, w, m, v: ((w * (t[:, None] * m + t[:, None] ** 2 * v / 2).exp()).sum(1), 0 * t), "generating_function"),
    (lambda t, w, m, v: (written_out(t, w, m, v), torch.zeros_like(t)), "density"),
    (phi_of_one(lambda w, m: (w * m).sum(), lambda w, v: (w * v).sum()), "product"),
    (phi_of_one(lambda w, m: (w * m).sum(), lambda w, v: (w**2 * v).sum()), "product"),
    (phi_of_one(lambda w, m: m.sum(), lambda w, v: v.sum()), "product"),
    (phi_of_matched, "matched"),
    (phi(right_exponent, weight=lambda w, v: 1), "weights_forgotten"),
    (phi(right_exponent, weight=lambda w, v: 1 / len(w)), "weights_equal"),
    (phi(right_exponent, final=lambda c: (c.abs(), c.angle())), "polar"),
    (phi(right_exponent, final=lambda c: (c.abs(), c.imag)), "polar"),
    (phi(right_exponent, final=lambda c: (c.imag, c.real)), "order_of_values"),
    (phi(right_exponent, final=lambda c: (c.real, torch.zeros_like(c.real))), "imaginary_zero"),
    (phi(right_exponent, final=lambda c: c.real), "real_only"),
    (phi(right_exponent, final=lambda c: c), "one_complex_tensor"),
    (phi(right_exponent, final=torch.view_as_real), "two_columns"),
    (phi_parts, "not_summed"),
]


# The posterior of pPCA.


def posterior_by_joint(W, b, sigma, x):
    """From the covariance of (z, x) together: W' C^-1 (x - b) and I - W' C^-1 W."""
    C = W @ W.T + sigma**2 * torch.eye(len(W), dtype=W.dtype)
    gain = torch.linalg.solve(C, W).T
    return (gain @ (x - b).T).T, torch.eye(W.shape[1], dtype=W.dtype) - gain @ W


def posterior_by_precision(W, b, sigma, x):
    precision = torch.eye(W.shape[1]).to(W) + W.T @ W / sigma**2
    covariance = precision.inverse()
    return torch.stack([covariance @ W.T @ (image - b) / sigma**2 for image in x]), covariance


def posterior_by_svd(W, b, sigma, x):
    U, s, V = torch.linalg.svd(W, full_matrices=False)
    rest = torch.eye(W.shape[1]).to(W) - V.T @ V
    shrunk = V.T @ torch.diag(s / (s**2 + sigma**2)) @ U.T
    return (x - b) @ shrunk.T, V.T @ torch.diag(sigma**2 / (s**2 + sigma**2)) @ V + rest


def square(W, sigma):
    """M, as written by hand."""
    M = W.T @ W
    M[range(len(M)), range(len(M))] += sigma**2
    return M


def cov_of(W, sigma):
    return sigma**2 * square(W, sigma).inverse()


def mean_of(W, b, sigma, x):
    return (x - b) @ W @ square(W, sigma).inverse()


def pair(mean=mean_of, covariance=cov_of):
    return lambda W, b, sigma, x: (mean(W, b, sigma, x), covariance(W, sigma))


def eye(W, size):
    return torch.eye(size).to(W)


def from_square(M, mean=lambda W, M, x: torch.linalg.solve(M, W.T @ x.T).T):
    """An answer that makes M(W, sigma, x) in its own way, and goes on rightly."""

    def answer(W, b, sigma, x):
        inside = M(W, sigma, x)
        return mean(W, inside, x - b), sigma**2 * inside.inverse()

    return answer


def with_diagonal(W, s, x=None):
    return (W.T @ W).diag().diag() + s**2 * eye(W, W.shape[1])


def rows(W, M, x):
    return x @ W @ M.inverse()


def in_double(W, b, sigma, x):
    """As numpy makes it of Python's numbers, or an identity of float64."""
    return posterior_by_joint(W.double(), b.double(), sigma, x.double())


POSTERIOR_WRONG = [
    (from_square(with_diagonal), "gram_diagonal"),
    (from_square(lambda W, s, x: W @ W.T + s**2 * eye(W, len(W))), "gram_outer"),
    (from_square(lambda W, s, x: W @ W.T + s**2 * eye(W, len(W)), mean=rows), "gram_outer"),
    (from_square(lambda W, s, x: W @ W.T + s**2 * eye(W, W.shape[1]), mean=rows), "gram_outer"),
    (
        from_square(lambda W, s, x: W @ W.T + s**2 * eye(W, len(W)), mean=lambda W, M, x: x @ M.inverse() @ W),
        "gram_outer",
    ),
    (from_square(lambda W, s, x: W.T @ W + s**2 * eye(W, len(x))), "identity_size"),
    (from_square(lambda W, s, x: W.T @ W + s**2 * eye(W, len(W))), "identity_size"),
    (from_square(lambda W, s, x: W.T @ W + s**2), "added_everywhere"),
    (pair(covariance=lambda W, s: s**2 * square(W, s**0.5).inverse()), "sigma_not_squared"),
    (pair(covariance=lambda W, s: s * square(W, s**0.5).inverse()), "sigma_not_squared"),
    (pair(lambda W, b, s, x: mean_of(W, b, s**0.5, x)), "sigma_not_squared"),
    (lambda W, b, s, x: posterior_by_joint(W, x.mean(0), s, x), "b_replaced"),
    (lambda W, b, s, x: posterior_by_precision(W, b, s, x - x.mean(0)), "b_replaced"),
    (pair(covariance=lambda W, s: square(W, 1).inverse()), "prior_not_scaled"),
    (pair(lambda W, b, s, x: (x - b) @ W / square(W, s)), "entrywise_inverse"),
    (in_double, "dtype_lost"),
    (lambda *a: (posterior_by_svd(*a)[0], in_double(*a)[1]), "dtype_lost"),
    (pair(lambda W, b, s, x: square(W, s).inverse() @ W.T @ (x - b)), "do_not_fit"),
    (pair(lambda W, b, s, x: (x - b) @ W.T @ square(W, s).inverse()), "do_not_fit"),
    (pair(lambda W, b, s, x: mean_of(W, b, s**0.5, x), lambda W, s: cov_of(W, s**0.5)), "sigma_not_squared"),
    (pair(covariance=lambda W, s: s * square(W, s).inverse()), "sigma_not_squared"),
    (lambda W, b, s, x: posterior_by_joint(W, b, s**2, x), "sigma_squared_twice"),
    (pair(covariance=lambda W, s: square(W, s).inverse()), "noise_forgotten"),
    (pair(covariance=lambda W, s: square(W, s).inverse() / s**2), "noise_divided"),
    (pair(covariance=lambda W, s: cov_of(W, s).inverse()), "precision"),
    (pair(covariance=square), "precision"),
    (pair(covariance=lambda W, s: s**2 * square(W, s)), "precision"),
    (pair(lambda W, b, s, x: mean_of(W, 0, s, x)), "b_forgotten"),
    (pair(lambda W, b, s, x: mean_of(W, -b, s, x)), "b_forgotten"),
    (lambda W, b, s, x: ((x - b) @ W @ (W.T @ W).inverse(), s**2 * (W.T @ W).inverse()), "prior_forgotten"),
    (pair(lambda W, b, s, x: torch.linalg.lstsq(W, (x - b).T).solution.T), "prior_forgotten"),
    (lambda W, b, s, x: posterior_by_joint(W, b, 1.0, x), "prior_not_scaled"),
    (pair(lambda W, b, s, x: mean_of(W, b, 1, x), lambda W, s: s**2 * square(W, 1).inverse()), "prior_not_scaled"),
    (pair(lambda W, b, s, x: mean_of(W, b, s, x) / s**2), "noise_counted_twice"),
    (pair(lambda W, b, s, x: (x - b) @ W @ cov_of(W, s)), "noise_counted_twice"),
    (pair(lambda W, b, s, x: (x - b) @ W), "only_projected"),
    (pair(lambda W, b, s, x: (x - b) @ W / s**2), "only_projected"),
    (pair(covariance=lambda W, s: cov_of(W, s).diag().diag()), "diagonal"),
    (pair(covariance=lambda W, s: cov_of(W, s).diag()), "diagonal"),
    (pair(covariance=lambda W, s: s**2 / square(W, s)), "entrywise_inverse"),
    (pair(covariance=lambda W, s: torch.eye(W.shape[1])), "prior_covariance"),
    (pair(covariance=lambda W, s: torch.eye(W.shape[1]).to(W) * s**2), "noise_covariance"),
    (pair(covariance=lambda W, s: square(W.T, s)), "marginal"),
    (pair(covariance=lambda W, s: torch.linalg.cholesky(cov_of(W, s))), "factor_returned"),
    (lambda W, b, s, x: (mean_of(W, b, s, x), cov_of(W, s).repeat(len(x), 1, 1)), "one_for_each_image"),
    (pair(lambda W, b, s, x: mean_of(W, b, s, x).T), "transposed"),
    (mean_of, "mean_only"),
    (lambda W, b, s, x: (cov_of(W, s), mean_of(W, b, s, x)), "order_of_values"),
]


# The covariance of the aggregate.


def aggregate_by_posterior(W, sigma, data_cov):
    """The gain read off the posterior means of unit images."""
    means, covariance = posterior_by_joint(W, torch.zeros(len(W)).to(W), sigma, torch.eye(len(W)).to(W))
    return covariance + means.T @ data_cov @ means


def aggregate_by_excess(W, sigma, data_cov):
    """I, and what the data vary more or less than the model says, seen through the gain."""
    C = W @ W.T + torch.eye(len(W)).to(W) * sigma**2
    gain = W.T @ C.inverse()
    return torch.eye(W.shape[1]).to(W) + gain @ (data_cov - C) @ gain.T


def aggregate_by_einsum(W, sigma, data_cov):
    K = torch.linalg.inv(square(W, sigma)) @ W.T
    return torch.einsum("ap,pq,bq->ab", K, data_cov, K) + cov_of(W, sigma)


def gain_of(W, sigma):
    return square(W, sigma).inverse() @ W.T


def seen(W, sigma, S):
    return gain_of(W, sigma) @ S @ gain_of(W, sigma).T


def seen_by_root(W, sigma, S):
    root = gain_of(W, sigma) @ torch.linalg.cholesky(S)
    return cov_of(W, sigma) + torch.einsum("ak,bk->ab", root, root)


def spread_of_means(W, sigma, S, **words):
    """The images are taken for the rows of S."""
    return torch.cov(posterior_by_svd(W, torch.zeros(len(W)).to(W), sigma, S)[0].T, **words)


def aggregate_from(M):
    def answer(W, sigma, S):
        K = M(W, sigma).inverse() @ W.T
        return sigma**2 * M(W, sigma).inverse() + K @ S @ K.T

    return answer


AGGREGATE_WRONG = [
    (lambda W, s, S: aggregate_by_einsum(W, s, S + s**2 * eye(W, len(W))), "noise_added_to_data"),
    (lambda W, s, S: aggregate_by_excess(W, s, S) + s**2 * eye(W, W.shape[1]), "noise_added_to_codes"),
    (spread_of_means, "covariance_as_images"),
    (lambda W, s, S: cov_of(W, s) + spread_of_means(W, s, S), "covariance_as_images"),
    (lambda W, s, S: cov_of(W, s) + spread_of_means(W, s, S, correction=0), "covariance_as_images"),
    (lambda W, s, S: cov_of(W, s) + S @ gain_of(W, s).T, "covariance_as_images"),
    (lambda W, s, S: cov_of(W, s) + gain_of(W, s) @ S, "one_sided"),
    (lambda W, s, S: cov_of(W, s) + W.T @ S @ gain_of(W, s).T, "one_sided"),
    (lambda W, s, S: cov_of(W, s) + cov_of(W, s) @ W.T @ S @ W @ cov_of(W, s), "noise_counted_twice"),
    (lambda W, s, S: cov_of(W, s) + seen(W, s, S) / s**2, "noise_counted_twice"),
    (aggregate_from(with_diagonal), "gram_diagonal"),
    (aggregate_from(lambda W, s: W.T @ W + s**2), "added_everywhere"),
    (aggregate_from(lambda W, s: square(W, s**0.5)), "sigma_not_squared"),
    (aggregate_from(lambda W, s: square(W, 1)), "prior_not_scaled"),
    (lambda W, s, S: aggregate_by_posterior(W, 1, S), "prior_not_scaled"),
    (lambda W, s, S: aggregate_by_excess(W.double(), s, S.double()), "dtype_lost"),
    (lambda W, s, S: cov_of(W, s) + W @ square(W, s).inverse() @ S @ gain_of(W, s), "do_not_fit"),
    (lambda W, s, S: cov_of(W, s), "within_only"),
    (seen, "between_only"),
    (lambda W, s, S: torch.eye(W.shape[1]), "always_identity"),
    (lambda W, s, S: aggregate_by_einsum(W, s, square(W.T, s)), "always_identity"),
    (lambda W, s, S: torch.eye(W.shape[1]).to(W) + seen(W, s, S), "prior_for_posterior"),
    (lambda W, s, S: s**2 * torch.eye(W.shape[1]).to(W) + seen(W, s, S), "noise_for_posterior"),
    (lambda W, s, S: square(W, s).inverse() + seen(W, s, S), "noise_forgotten"),
    (lambda W, s, S: aggregate_by_posterior(W, s**0.5, S), "sigma_not_squared"),
    (lambda W, s, S: s * square(W, s).inverse() + seen(W, s, S), "sigma_not_squared"),
    (lambda W, s, S: aggregate_by_posterior(W, s**2, S), "sigma_squared_twice"),
    (lambda W, s, S: cov_of(W, s) + W.pinverse() @ S @ W.pinverse().T, "least_squares"),
    (lambda W, s, S: cov_of(W, s) + W.T @ S @ W, "only_projected"),
    (lambda W, s, S: cov_of(W, s) + gain_of(W, s) @ S @ W, "one_sided"),
    (lambda W, s, S: cov_of(W, s) + seen(W, s, S.inverse()), "precision_of_data"),
    (lambda W, s, S: cov_of(W, s) + seen(W, s, S @ S), "squared_data"),
    (lambda W, s, S: cov_of(W, s) + gain_of(W, s) @ gain_of(W, s).T, "data_ignored"),
    (lambda W, s, S: cov_of(W, s) + seen(W, s, S.diag().diag()), "data_diagonal"),
    (lambda W, s, S: (S.inverse().inverse() @ gain_of(W, s).T).T @ gain_of(W, s).T + cov_of(W, s), "data_factored"),
    (seen_by_root, "data_factored"),
    (lambda W, s, S: aggregate_by_einsum(W, s, S).diag().diag(), "codes_diagonal"),
    (lambda W, s, S: aggregate_by_einsum(W, s, S).diag(), "codes_diagonal"),
    (lambda W, s, S: cov_of(W, s) - seen(W, s, S), "subtracted"),
    (lambda W, s, S: square(W.T, s), "picture_space"),
    (lambda W, s, S: torch.linalg.cholesky(aggregate_by_einsum(W, s, S)), "factor_returned"),
]

RIGHT = {
    "05.moments": [moments_by_loop, moments_by_pairs, moments_in_numpy, moments_by_family],
    "05.mixture_log_prob": [log_prob_by_family, log_prob_by_loop, log_prob_by_logaddexp, log_prob_in_single],
    "05.kl_to_matched": [kl(rightly), kl_by_entropies, kl_by_tables, kl_by_trapezoids],
    "05.characteristic_function": [phi_complex, phi_by_loop, phi_in_numpy],
    "05.ppca_posterior": [posterior_by_joint, posterior_by_precision, posterior_by_svd],
    "05.aggregate_covariance": [aggregate_by_posterior, aggregate_by_excess, aggregate_by_einsum],
}
WRONG = {
    "05.moments": MOMENTS_WRONG,
    "05.mixture_log_prob": LOG_PROB_WRONG,
    "05.kl_to_matched": KL_WRONG,
    "05.characteristic_function": PHI_WRONG,
    "05.ppca_posterior": POSTERIOR_WRONG,
    "05.aggregate_covariance": AGGREGATE_WRONG,
}

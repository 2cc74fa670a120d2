"""Answers to exercise 07, written as beginners write them: loops, the library, and one thing wrong at a time."""

import math

import torch
import torch.nn.functional as F

from course_lib.measurement import receptive_field
from course_lib.objectives import mmd, stein

# The loss.


def loss_by_expression(distortion, rate, divergence, alpha, lambd):
    beta, gamma = 1 - alpha, alpha + lambd - 1
    if min(beta, gamma) < 0:
        raise ValueError("negative weight")
    total = distortion
    total = total + beta * rate if beta else total
    return total.mean() + (gamma * divergence if gamma else 0)


def loss_by_steps(distortion, rate, divergence, alpha, lambd):
    if alpha > 1:
        raise ValueError("alpha over 1")
    if alpha + lambd < 1:
        raise ValueError("lambd too small")
    terms = [distortion.sum() / len(distortion)]
    if alpha != 1:
        terms.append((1 - alpha) * rate.sum() / len(rate))
    if alpha + lambd != 1:
        terms.append((lambd - (1 - alpha)) * divergence)
    return sum(terms)


def loss_with(
    on_rate=lambda a, b: 1 - a, on_divergence=lambda a, b: a + b - 1, refuse=True, guard=True, mean=torch.mean
):
    def answer(distortion, rate, divergence, alpha, lambd):
        if refuse and (alpha > 1 or alpha + lambd < 1):
            raise ValueError("no")
        r, v = on_rate(alpha, lambd), on_divergence(alpha, lambd)
        value = mean(distortion)
        value = value + r * mean(rate) if r or not guard else value
        return value + v * divergence if v or not guard else value

    return answer


def loss_asserting(distortion, rate, divergence, alpha, lambd):
    if alpha + lambd - 1 < 0:
        raise ValueError("the divergence would be maximised")
    return loss_with(refuse=False)(distortion, rate, divergence, alpha, lambd)


def loss_only_alpha(distortion, rate, divergence, alpha, lambd):
    if alpha > 1:
        raise ValueError("the rate would be maximised")
    return loss_with(refuse=False)(distortion, rate, divergence, alpha, lambd)


def loss_unit_alpha(distortion, rate, divergence, alpha, lambd):
    if alpha < 0:
        raise ValueError("alpha is a share")
    return loss_by_steps(distortion, rate, divergence, alpha, lambd)


def loss_of_finite_terms(distortion, rate, divergence, alpha, lambd):
    if alpha > 1 or alpha + lambd < 1:
        raise ValueError("negative")
    loss = distortion.mean()
    if torch.isfinite(rate).all():
        loss = loss + (1 - alpha) * rate.mean()
    return loss + (alpha + lambd - 1) * divergence if torch.isfinite(divergence) else loss


def loss_made_finite(distortion, rate, divergence, alpha, lambd):
    if alpha > 1 or alpha + lambd < 1:
        raise ValueError("negative")
    terms = torch.stack([distortion.mean(), (1 - alpha) * rate.mean(), (alpha + lambd - 1) * divergence])
    return torch.nan_to_num(terms).sum()


LOSS_WRONG = [
    (loss_with(on_rate=lambda a, b: a), "alpha_on_the_rate"),
    (loss_with(on_divergence=lambda a, b: b), "lambda_alone"),
    (loss_with(on_rate=lambda a, b: 1), "rate_at_full_price"),
    (loss_with(on_rate=lambda a, b: a + b - 1, on_divergence=lambda a, b: 1 - a), "weights_exchanged"),
    (loss_with(on_divergence=lambda a, b: -(a + b - 1)), "divergence_weight_of_other_sign"),
    (loss_with(on_divergence=lambda a, b: b - 1), "alpha_forgotten_in_the_divergence"),
    (loss_with(on_divergence=lambda a, b: 0), "divergence_forgotten"),
    (loss_with(mean=torch.sum), "summed_over_batch"),
    (loss_with(mean=lambda values: values), "one_loss_an_image"),
    (loss_with(refuse=False), "nothing_refused"),
    (loss_with(guard=False), "zero_times_infinity"),
    (loss_asserting, "rate_not_refused"),
    (loss_only_alpha, "divergence_not_refused"),
    (loss_unit_alpha, "alpha_kept_in_the_unit_interval"),
    (lambda *parts: -loss_by_steps(*parts), "maximised"),
    (lambda *parts: loss_by_steps(*parts).detach(), "without_gradient"),
    (lambda d, r, v, a, b: loss_by_steps(d, r, v.detach(), a, b), "without_gradient"),
    (lambda d, r, v, a, b: loss_by_steps(d, torch.tensor(r.tolist(), dtype=r.dtype), v, a, b), "without_gradient"),
    (loss_of_finite_terms, "not_finite_swallowed"),
    (loss_made_finite, "not_finite_swallowed"),
]


# The maximum mean discrepancy.


def mmd_by_loops(z, prior):
    n, m = len(z), len(prior)
    if n < 2 or m < 2:
        raise ValueError("too few")

    def k(a, b):
        return torch.exp(-((a - b) ** 2).sum() / len(a))

    zz = sum(k(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    pp = sum(k(prior[i], prior[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return zz + pp - 2 * sum(k(a, b) for a in z for b in prior) / (n * m)


def mmd_by_library(z, prior):
    return mmd.mmd_squared(z, prior, mmd.rbf_kernel)


def mmd_by_pairs(z, prior, power=1, among=None, factor=2.0, least=2):
    if min(len(z), len(prior)) < least:
        raise ValueError("too few")
    dim = z.shape[1] ** power

    def off(a):
        k = torch.exp(-((a.unsqueeze(1) - a.unsqueeze(0)) ** 2).sum(-1) / dim)
        return k.masked_select(~torch.eye(len(a), dtype=torch.bool)).mean()

    inside = among or off
    cross = torch.exp(-((z.unsqueeze(1) - prior.unsqueeze(0)) ** 2).sum(-1) / dim).mean()
    return inside(z) + inside(prior) - factor * cross


def whole(power=1):
    return lambda a: torch.exp(-((a[:, None] - a) ** 2).sum(-1) / a.shape[1] ** power).mean()


def found_mmd(z, prior):
    def kernel(a, b):
        return torch.exp(-((a[:, None] - b) ** 2).mean(2) / a.shape[1])

    return kernel(z, z).mean() + kernel(prior, prior).mean() - kernel(z, prior).mean()


def mmd_with_one_n(z, prior):
    n = len(z)
    if min(n, len(prior)) < 2:
        raise ValueError("too few")
    pairs = (z, z), (prior, prior), (z, prior)
    kzz, kpp, kzp = (torch.exp(-((a[:, None] - b) ** 2).sum(-1) / z.shape[1]) for a, b in pairs)
    inside = (kzz.sum() - kzz.trace() + kpp.sum() - kpp.trace()) / (n * (n - 1))
    return inside - 2 * kzp.sum() / (n * n)


def mmd_by_rooted_distances(z, prior):
    if min(len(z), len(prior)) < 2:
        raise ValueError("too few")

    def k(a, b):
        distance = torch.sqrt(((a[:, None] - b) ** 2).sum(-1))
        return torch.exp(-(distance**2) / z.shape[1])

    def off(a):
        return (k(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return off(z) + off(prior) - 2 * k(z, prior).mean()


MMD_WRONG = [
    (found_mmd, "as_found"),
    (lambda z, p: mmd_by_pairs(z, p, power=2), "bandwidth_squared"),
    (lambda z, p: mmd_by_pairs(z, p, among=whole()), "diagonal_kept"),
    (lambda z, p: mmd_by_pairs(z, p, among=whole(), least=1), "diagonal_kept"),
    (lambda z, p: mmd_by_pairs(z, p, factor=1.0), "cross_once"),
    (lambda z, p: mmd_by_pairs(z, p, power=2, factor=1.0), "two_faults_left_bandwidth_cross"),
    (lambda z, p: mmd_by_pairs(z, p, power=2, among=whole(2)), "two_faults_left_bandwidth_diagonal"),
    (lambda z, p: mmd_by_pairs(z, p, factor=1.0, among=whole()), "two_faults_left_diagonal_cross"),
    (lambda z, p: mmd_by_pairs(z, p, power=0), "bandwidth_of_one"),
    (lambda z, p: -mmd_by_loops(z, p), "sign_flipped"),
    (lambda z, p: mmd_by_library(z, p).relu(), "kept_from_negative"),
    (lambda z, p: mmd_by_library(z, p) ** 0.5, "square_root"),
    (lambda z, p: mmd.mmd_squared(z, p, lambda a, b: mmd.rbf_kernel(a, b, 2 * a.shape[1])), "bandwidth_doubled"),
    (lambda z, p: mmd_by_pairs(z, p, least=1), "single_code_not_refused"),
    (lambda z, p: mmd_by_loops(z, p).clamp(min=0).sqrt(), "square_root"),
    (lambda z, p: mmd_by_loops(z, p).abs() ** 0.5, "square_root"),
    (mmd_with_one_n, "one_n_for_both"),
    (mmd_by_rooted_distances, "root_of_zero"),
]


# The adversary.


def adversary_by_library(t_codes, t_prior):
    one = F.binary_cross_entropy_with_logits(t_codes, torch.ones_like(t_codes))
    zero = F.binary_cross_entropy_with_logits(t_prior, torch.zeros_like(t_prior))
    return t_codes.mean(), 0.5 * (one + zero)


def adversary_by_logaddexp(t_codes, t_prior):
    nothing = torch.zeros((), dtype=t_codes.dtype)
    paid = torch.logaddexp(nothing, -t_codes).sum() / len(t_codes) + torch.logaddexp(nothing, t_prior).mean()
    return t_codes.sum() / t_codes.numel(), paid / 2


def by_probabilities(t_codes, t_prior):
    return t_codes.mean(), -(torch.sigmoid(t_codes).log().mean() + (1 - torch.sigmoid(t_prior)).log().mean()) / 2


def by_bce(t_codes, t_prior):
    d_q, d_p = t_codes.sigmoid(), t_prior.sigmoid()
    return t_codes.mean(), (F.binary_cross_entropy(d_q, d_q * 0 + 1) + F.binary_cross_entropy(d_p, d_p * 0)) / 2


def in_one_batch(t_codes, t_prior):
    labels = torch.cat([torch.ones_like(t_codes), torch.zeros_like(t_prior)])
    return t_codes.mean(), F.binary_cross_entropy_with_logits(torch.cat([t_codes, t_prior]), labels)


def other(first=None, second=None):
    def answer(t_codes, t_prior):
        divergence, loss = adversary_by_library(t_codes, t_prior)
        return first(t_codes, t_prior) if first else divergence, second(t_codes, t_prior) if second else loss

    return answer


ADVERSARY_WRONG = [
    (by_probabilities, "underflow"),
    (by_bce, "capped"),
    (in_one_batch, "pooled"),
    (other(second=lambda q, p: adversary_by_library(-q, -p)[1]), "labels_exchanged"),
    (other(second=lambda q, p: -adversary_by_library(q, p)[1]), "loss_sign"),
    (other(second=lambda q, p: 2 * adversary_by_library(q, p)[1]), "loss_doubled"),
    (other(lambda q, p: q.mean() - p.mean()), "difference_of_means"),
    (other(lambda q, p: -q.mean()), "divergence_sign"),
    (other(lambda q, p: q.sigmoid().mean()), "probability_for_logit"),
    (other(lambda q, p: math.log(2) - adversary_by_library(q, p)[1]), "jensen_shannon"),
    (lambda q, p: adversary_by_library(q, p)[::-1], "exchanged"),
    (other(lambda q, p: q.detach().mean()), "without_gradient"),
    (lambda q, p: tuple(term.item() for term in adversary_by_library(q, p)), "without_gradient"),
    (other(second=lambda q, p: adversary_by_library(q.detach(), p)[1]), "without_gradient"),
    (other(lambda q, p: F.binary_cross_entropy_with_logits(q, torch.ones_like(q))), "generator_s_loss"),
    (other(lambda q, p: F.logsigmoid(-q).mean()), "generator_s_loss"),
    (other(lambda q, p: torch.relu(q.mean())), "kept_from_negative"),
    (other(second=lambda q, p: -(F.logsigmoid(q).mean() + F.logsigmoid(1 - p).mean()) / 2), "one_minus_logit"),
]


# Stein's direction.


def stein_by_loops(z, itself=False, sign=1.0, score=-1.0, factor=2.0):
    n, dim = z.shape
    if n < 2:
        raise ValueError("too few")
    rows = []
    for i in range(n):
        total = torch.zeros_like(z[0])
        for j in range(n):
            if i != j or itself:
                k = torch.exp(-((z[j] - z[i]) ** 2).sum() / dim)
                total = total + k * score * z[j] + sign * -factor / dim * (z[j] - z[i]) * k
        rows.append(total / (n if itself else n - 1))
    return torch.stack(rows)


def stein_by_library(z):
    if len(z) < 2:
        raise ValueError("too few")
    return stein.Stein("rbf").value_and_direction(z)[1]


def stein_by_autograd(z):
    n, dim = z.shape
    if n < 2:
        raise ValueError("too few")
    found = []
    for i in range(n):
        others = torch.cat([z[:i], z[i + 1 :]]).requires_grad_()
        k = torch.exp(-((others - z[i]) ** 2).sum(1) / dim)
        (slope,) = torch.autograd.grad(k.sum(), others)
        found.append((k.detach()[:, None] * -others.detach() + slope).mean(0))
    return torch.stack(found)


def stein_of_itself(z):
    n, dim = z.shape
    if n < 2:
        raise ValueError("too few")
    k = torch.exp(-(torch.cdist(z, z) ** 2) / dim) * (1 - torch.eye(n, dtype=z.dtype))
    return (-k.sum(1, keepdim=True) * z + 2 / dim * (k.sum(1, keepdim=True) * z - k @ z)) / (n - 1)


def stein_by_one_autograd(z):
    n, dim = z.shape
    if n < 2:
        raise ValueError("too few")
    z = z.clone().requires_grad_()
    k = torch.exp(-((z[:, None] - z) ** 2).sum(2) / dim) * (1 - torch.eye(n, dtype=z.dtype))
    (slope,) = torch.autograd.grad(k.sum(), z)
    return ((k @ -z - slope) / (n - 1)).detach()


def stein_with_width(z, width):
    n = len(z)
    if n < 2:
        raise ValueError("too few")
    apart = z[:, None] - z
    k = torch.exp(-(apart**2).sum(2) / width) - torch.eye(n, dtype=z.dtype)
    return (k @ -z + (2 / width * k[..., None] * apart).sum(1)) / (n - 1)


STEIN_WRONG = [
    (lambda z: stein_by_loops(z, itself=True), "itself_kept"),
    (lambda z: stein_by_loops(z, sign=-1.0), "push_sign"),
    (lambda z: stein_by_loops(z, score=1.0), "score_sign"),
    (lambda z: stein_by_loops(z, factor=1.0), "factor_two"),
    (lambda z: stein_by_loops(z, sign=0.0), "pull_only"),
    (lambda z: stein_by_loops(z, score=0.0), "push_only"),
    (lambda z: -stein_by_loops(z), "direction_flipped"),
    (lambda z: stein_by_loops(z) * (len(z) - 1), "summed"),
    (stein_of_itself, "own_score"),
    (stein_by_one_autograd, "gradient_in_both_arguments"),
    (lambda z: stein_by_loops(z, itself=True) * len(z) / (len(z) - 1), "itself_in_the_sum"),
    (lambda z: stein_with_width(z, 2 * z.shape[1]), "bandwidth_doubled"),
    (lambda z: stein_with_width(z, z.shape[1] ** 2), "bandwidth_squared"),
]


# Does a prediction look ahead?


def leak_by_loops(logits, x):
    height, width = x.shape[2:]
    worst = 0.0
    before = logits(x)
    for row in range(height):
        for column in range(width):
            other = x.clone()
            other[0, 0, row, column] = 1 - other[0, 0, row, column]
            after = logits(other)
            for i in range(row * width + column + 1):
                moved = abs(float(after[0, 0, i // width, i % width] - before[0, 0, i // width, i % width]))
                worst = max(worst, moved)
    return worst


def leak_in_one_batch(logits, x, keep=torch.tril, size=torch.abs):
    pixels = x.numel()
    batch = x.repeat(pixels, 1, 1, 1).view(pixels, -1)
    index = torch.arange(pixels)
    batch[index, index] = 1 - batch[index, index]
    after = logits(batch.view(pixels, *x.shape[1:])).view(pixels, -1)
    return keep(size(after - logits(x).view(1, -1))).max()


def leak_in_columns(logits, x):
    return leak_by_loops(lambda y: logits(y.transpose(2, 3)).transpose(2, 3), x.transpose(2, 3))


def leak_with_all_ahead_flipped(logits, x):
    before, worst = logits(x).flatten(), 0.0
    for i in range(x.numel()):
        other = x.flatten().clone()
        other[i:] = 1 - other[i:]
        worst = max(worst, float((logits(other.view_as(x)).flatten() - before)[i].abs()))
    return worst


def leak_by_averages(logits, x):
    before, found = logits(x).flatten(), []
    for j in range(x.numel()):
        other = x.flatten().clone()
        other[j] = 1 - other[j]
        found.append(float((logits(other.view_as(x)).flatten() - before)[: j + 1].abs().mean()))
    return max(found)


LEAK_WRONG = [
    (lambda f, x: leak_in_one_batch(f, x, lambda d: d.tril(-1)), "present_allowed"),
    (lambda f, x: leak_in_one_batch(f, x, lambda d: d.diagonal()), "present_only"),
    (lambda f, x: leak_in_one_batch(f, x, torch.triu), "past_for_future"),
    (lambda f, x: leak_in_one_batch(f, x, lambda d: d), "past_counted"),
    (lambda f, x: leak_in_one_batch(f, x, size=lambda d: d), "sign_kept"),
    (lambda f, x: leak_in_one_batch(lambda y: torch.sigmoid(f(y)), x), "of_probabilities"),
    (lambda f, x: leak_in_one_batch(f, x, size=lambda d: d**2), "squared"),
    (leak_in_columns, "in_columns"),
    (leak_with_all_ahead_flipped, "all_flipped_at_once"),
    (leak_by_averages, "averaged"),
]


# The diagnosis.


def ward(m, leak=0.01, worse=3.0, quiet=1.0):
    if m["leak"] > leak:
        return "leaking"
    if m["nll"] - m["nll_without_code"] < worse:
        return "healthy" if m["information"] > quiet else "collapsed"
    if m["information"] > 0.8 * m["ceiling"]:
        return "exploding"
    return "over-regularised"


def by_table(m, full=lambda m: m["information"] > 2.2, quiet=lambda m: m["information"] <= 0.7):
    if m["leak"] >= 0.02:
        return "leaking"
    bad = m["nll"] >= 2 + m["nll_without_code"]
    return (("collapsed", "healthy"), ("over-regularised", "exploding"))[bad][full(m) if bad else not quiet(m)]


def without(name, value):
    return lambda m: ward({**m, name: value(m)})


DIAGNOSE_WRONG = [
    (lambda m: ward(m, leak=math.inf), "leak_never"),
    (lambda m: ward(m, leak=0.0), "rounding_taken_for_a_leak"),
    (lambda m: ward(m, leak=0.8), "small_leak_overlooked"),
    (lambda m: ward(m, worse=math.inf), "likelihood_never_asked"),
    (without("information", lambda m: m["rate"]), "rate_for_information"),
    (without("nll", lambda m: m["distortion"]), "distortion_for_likelihood"),
    (without("nll_without_code", lambda m: 19.1), "likelihood_without_a_yardstick"),
    (without("ceiling", lambda m: 5.5), "information_without_its_ceiling"),
    (lambda m: "healthy", "always_healthy"),
    (lambda m: "collapsed" if m["information"] < 0.5 else ward(m), "quiet_means_collapsed"),
    (lambda m: ward(m) if m["leak"] > 0.01 or m["rate"] < 12 else "exploding", "rate_means_exploding"),
    (
        lambda m: (
            "exploding"
            if m["leak"] < 0.01 and m["largest_variance"] > 2
            else "over-regularised"
            if ward(m) == "exploding"
            else ward(m)
        ),
        "spread_means_exploding",
    ),
    (lambda m: by_table(m, lambda m: m["rate"] > 20), "large_rate_means_exploding"),
    (lambda m: by_table(m, lambda m: m["rate"] > m["ceiling"]), "large_rate_means_exploding"),
    (lambda m: by_table(m, lambda m: m["rate"] - m["information"] > 10), "large_rate_means_exploding"),
    (lambda m: by_table(m, lambda m: m["information"] > 5), "information_without_its_ceiling"),
    (lambda m: by_table(m, lambda m: m["largest_mean"] > 1), "spread_means_exploding"),
    (lambda m: by_table(m, lambda m: m["distortion"] < m["nll_without_code"]), "distortion_means_exploding"),
    (lambda m: by_table(m, lambda m: m["swapped_code_gap"] > 5), "listening_means_exploding"),
    (lambda m: by_table(m, quiet=lambda m: m["information"] < 0.2), "quiet_bar_too_low"),
    (lambda m: by_table(m, quiet=lambda m: m["information"] < 2), "quiet_bar_too_high"),
    (
        lambda m: (
            by_table(m)
            if m["leak"] > 0.02 or m["information"] > 1
            else ("collapsed", "over-regularised")[m["information"] < 0.1]
        ),
        "silence_parted_by_information",
    ),
]


RIGHT = {
    "07.infovae_loss": [loss_by_expression, loss_by_steps, loss_with()],
    "07.mmd_squared": [mmd_by_loops, mmd_by_library, mmd_by_pairs],
    "07.adversary_terms": [adversary_by_library, adversary_by_logaddexp],
    "07.stein_direction": [stein_by_loops, stein_by_library, stein_by_autograd],
    "07.causality_leak": [leak_by_loops, leak_in_one_batch, receptive_field.causality_leak],
    "07.diagnose": [ward, by_table],
}
WRONG = {
    "07.infovae_loss": LOSS_WRONG,
    "07.mmd_squared": MMD_WRONG,
    "07.adversary_terms": ADVERSARY_WRONG,
    "07.stein_direction": STEIN_WRONG,
    "07.causality_leak": LEAK_WRONG,
    "07.diagnose": DIAGNOSE_WRONG,
}

"""Answers to exercise 04, written as beginners write them: loops, the library, and one thing wrong at a time."""

import math

import torch
import torch.nn.functional as F

from course_lib.measurement.worlds.discrete import DiscreteWorld

INF = float("inf")


# The posterior.


def posterior_by_loops(log_prior, log_likelihood):
    codes, states = log_likelihood.shape
    table = torch.zeros(states, codes, dtype=log_prior.dtype)
    for x in range(states):
        joint = [float(log_prior[z] + log_likelihood[z, x]) for z in range(codes)]
        largest = max(joint)
        weights = [math.exp(value - largest) for value in joint]
        for z in range(codes):
            table[x, z] = weights[z] / sum(weights)
    return table


def posterior_by_subtraction(log_prior, log_likelihood):
    joint = log_prior.unsqueeze(1) + log_likelihood
    return torch.exp(joint - torch.logsumexp(joint, dim=0)).transpose(0, 1)


def posterior_by_largest(log_prior, log_likelihood):
    joint = (log_prior[:, None] + log_likelihood).T
    weights = torch.exp(joint - joint.max(dim=1, keepdim=True).values)
    return weights / weights.sum(dim=1, keepdim=True)


def posterior_by_library(log_prior, log_likelihood):
    return DiscreteWorld(log_prior, log_likelihood).log_posterior().exp()


def posterior_by_categorical(log_prior, log_likelihood):
    return torch.distributions.Categorical(logits=log_prior + log_likelihood.T, validate_args=False).probs


def bayes(log_prior, log_likelihood, eps=0.0):
    joint = torch.exp(log_prior)[:, None] * torch.exp(log_likelihood)
    return (joint / (joint.sum(dim=0) + eps)).T


def bayes_clamped(log_prior, log_likelihood):
    joint = (log_prior.exp() * log_likelihood.T.exp()).clamp(min=1e-12)
    return joint / joint.sum(1, keepdim=True)


def prior_per_column(log_prior, log_likelihood):
    joint = log_prior + log_likelihood
    return torch.softmax(joint, dim=0).T


def likelihood_then_prior(log_prior, log_likelihood):
    q = F.softmax(log_likelihood, dim=0).T * log_prior.exp()
    return q / q.sum(dim=-1, keepdim=True)


def hard_posterior(log_prior, log_likelihood):
    best = (log_prior[:, None] + log_likelihood).argmax(dim=0)
    return F.one_hot(best, len(log_prior)).to(log_prior.dtype)


def shifted_by_all(log_prior, log_likelihood):
    joint = log_likelihood.T + log_prior
    p = torch.exp(joint - joint.max())
    return p / p.sum(-1, keepdim=True)


def bayes_filled(fill):
    """0 / 0 replaced by fill(codes)."""

    def answer(log_prior, log_likelihood):
        p = bayes(log_prior, log_likelihood)
        p[torch.isnan(p)] = fill(len(log_prior))
        return p

    return answer


def column_by_column(log_prior, log_likelihood):
    per_code = F.normalize(log_likelihood.exp(), p=1.0, dim=1)
    joint = log_prior.exp()[:, None] * per_code
    return (joint / joint.sum(0)).T


POSTERIOR_WRONG = [
    (lambda p, ell: torch.softmax((p + ell.T).clamp_min(-5000), 1), "kept_from_zero"),
    (lambda p, ell: torch.softmax((p[:, None] + ell).clamp(min=-1000.0), 0).T, "kept_from_zero"),
    (lambda p, ell: torch.softmax(torch.nan_to_num(p + ell.T, neginf=-1e4), 1), "kept_from_zero"),
    (lambda p, ell: torch.softmax(p + ell.T.clamp(min=-10000), 1), "kept_from_zero"),
    (lambda p, ell: torch.softmax((p + ell.T).masked_fill((p + ell.T).isinf(), 0), 1), "infinity_as_zero"),
    (lambda p, ell: torch.softmax(p[:, None] * ell, 0).T, "logarithms_multiplied"),
    (column_by_column, "normalised_over_images_first"),
    (lambda p, ell: torch.softmax(p + F.log_softmax(ell, -1).T, 1), "normalised_over_images_first"),
    (lambda p, ell: (p[:, None] + ell).max(0).indices, "number_of_the_code"),
    (bayes_filled(lambda codes: 0.0), "nan_replaced"),
    (bayes_filled(lambda codes: 1 / codes), "nan_replaced"),
    (lambda log_prior, log_likelihood: torch.softmax(log_likelihood.T + log_prior + log_prior, -1), "prior_twice"),
    (lambda log_prior, log_likelihood: torch.softmax(log_likelihood, 0).T, "prior_forgotten"),
    (lambda log_prior, log_likelihood: log_prior.exp().repeat(log_likelihood.shape[1], 1), "likelihood_forgotten"),
    (lambda log_prior, log_likelihood: F.softmax(log_prior[:, None] + log_likelihood, 1).T, "normalised_over_states"),
    (lambda log_prior, log_likelihood: F.softmax(log_prior[:, None] + log_likelihood, 0), "transposed"),
    (lambda log_prior, log_likelihood: F.softmax(log_prior[:, None] + log_likelihood, 1), "wrong_way_round"),
    (prior_per_column, "prior_along_states"),
    (lambda log_prior, log_likelihood: prior_per_column(log_prior, log_likelihood).T, "prior_along_states"),
    (lambda log_prior, log_likelihood: torch.softmax(log_likelihood + log_prior, dim=-1), "not_transposed"),
    (lambda log_prior, log_likelihood: log_likelihood.softmax(0).T * log_prior.exp(), "prior_not_in_the_sum"),
    (lambda log_prior, log_likelihood: (log_prior.exp()[:, None] * log_likelihood.exp()).T, "joint"),
    (lambda log_prior, log_likelihood: (log_prior[:, None] + log_likelihood).T, "log_joint"),
    (lambda *world: posterior_by_largest(*world).log(), "log_posterior"),
    (lambda *world: DiscreteWorld(*world).log_posterior(), "log_posterior"),
    (lambda log_prior, log_likelihood: F.softmax(log_prior.exp() + log_likelihood.T, -1), "prior_added_as_probability"),
    (lambda p, ell: F.normalize((p[:, None] + ell).T.abs(), p=1.0, dim=1), "logarithms_normalised"),
    (lambda p, ell: ((p[:, None] + ell) / (p[:, None] + ell).sum(0)).T, "logarithms_normalised"),
    (lambda log_prior, log_likelihood: bayes(log_prior.abs().log(), log_likelihood), "prior_as_logarithm"),
    (hard_posterior, "best_code_only"),
    (bayes, "underflow"),
    (lambda p, ell: torch.exp(p + ell.T - torch.log(torch.exp(p + ell.T).sum(1))[:, None]), "underflow"),
    (lambda log_prior, log_likelihood: bayes(log_prior, log_likelihood, 1e-8), "added_to_the_sum"),
    (lambda log_prior, log_likelihood: bayes(log_prior, log_likelihood, 1e-20), "added_to_the_sum"),
    (bayes_clamped, "kept_from_zero"),
    (shifted_by_all, "one_maximum_for_all"),
    (likelihood_then_prior, "prior_after_normalising"),
]


# The ELBO.


def elbo_by_loops(log_prior, log_likelihood, q):
    codes, states = log_likelihood.shape
    values = []
    for x in range(states):
        total = 0.0
        for z in range(codes):
            weight = q[x, z].item()
            if weight > 0:
                total += weight * (log_likelihood[z, x].item() + log_prior[z].item() - math.log(weight))
        values.append(total)
    return torch.tensor(values, dtype=q.dtype)


def elbo_in_single_precision(log_prior, log_likelihood, q):
    values = torch.zeros(len(q))
    for x in range(len(q)):
        values[x] = elbo_by_loops(log_prior, log_likelihood[:, [x]], q[[x]])[0]
    return values


def elbo_by_masked_terms(log_prior, log_likelihood, q):
    log_joint = log_prior.unsqueeze(0) + log_likelihood.t()
    return (q * log_joint.masked_fill(q == 0, 0)).sum(1) - torch.xlogy(q, q).sum(1)


def elbo_by_nansum(log_prior, log_likelihood, q):
    return (q * (log_prior + log_likelihood.T - torch.log(q))).nansum(dim=1)


def elbo_by_library(log_prior, log_likelihood, q):
    return DiscreteWorld(log_prior, log_likelihood).elbo(q)


def elbo_from_above(log_prior, log_likelihood, q):
    joint = log_prior + log_likelihood.T
    log_p = torch.logsumexp(joint, dim=1)
    kl = torch.where(q == 0, torch.zeros_like(q), q * (q.log() - (joint - log_p[:, None]))).sum(1)
    return log_p - kl


def parts(log_prior, log_likelihood, q):
    """Reconstruction, mean of log p(z), entropy; each [states]."""
    pick = q > 0
    reconstruction = (q * log_likelihood.T).masked_fill(~pick, 0.0).sum(1)
    of_prior = (q * log_prior).masked_fill(~pick, 0.0).sum(1)
    return reconstruction, of_prior, torch.special.entr(q).sum(1)


def from_parts(make):
    """An answer from reconstruction, mean log-prior and entropy."""
    return lambda *tables: make(*parts(*tables))


def plainly(log_prior, log_likelihood, q):
    reconstruction = (q * log_likelihood.T).sum(dim=1)
    rate = (q * (q.log() - log_prior)).sum(dim=1)
    return reconstruction - rate


def guarded_entropy(log_prior, log_likelihood, q):
    rate = (torch.special.xlogy(q, q) - q * log_prior).sum(-1)
    return torch.einsum("xz,zx->x", q, log_likelihood) - rate


def q_clamped(smallest):
    def answer(log_prior, log_likelihood, q):
        q = torch.clamp(q, min=smallest)
        return (q * (log_likelihood.T + log_prior - q.log())).sum(1)

    return answer


def q_raised(log_prior, log_likelihood, q, eps=1e-5):
    return ((q * log_likelihood.T) - q * ((q + eps).log() - log_prior)).sum(1)


def no_nan(log_prior, log_likelihood, q):
    return torch.nan_to_num(q * (log_likelihood.T + log_prior - q.log())).sum(1)


def only_finite(log_prior, log_likelihood, q):
    terms = q * (log_likelihood.T + log_prior - q.log())
    return torch.where(torch.isfinite(terms), terms, 0).sum(1)


def with_kl_div(log_prior, log_likelihood, q):
    """F.kl_div(input, target) is KL(target, input): here its arguments are exchanged."""
    kl = F.kl_div(q.log(), log_prior.exp().expand_as(q), reduction="none").sum(1)
    return parts(log_prior, log_likelihood, q)[0] - kl


def mixed_likelihood(log_prior, log_likelihood, q):
    _, of_prior, entropy = parts(log_prior, log_likelihood, q)
    return torch.log((q * log_likelihood.T.exp()).sum(1)) + of_prior + entropy


def under_the_prior(log_prior, log_likelihood, q):
    _, of_prior, entropy = parts(log_prior, log_likelihood, q)
    return log_prior.exp() @ log_likelihood + of_prior + entropy


def drawn(log_prior, log_likelihood, q):
    rows = torch.arange(len(q))
    z = torch.distributions.Categorical(q).sample()
    return log_likelihood[z, rows] + log_prior[z] - q[rows, z].log()


def likeliest(log_prior, log_likelihood, q):
    weight, z = q.max(1)
    return log_likelihood.T.gather(1, z[:, None])[:, 0] + log_prior[z] - torch.log(weight)


def likelihood_cut(change):
    return lambda p, ell, q: elbo_by_nansum(p, change(ell), q)


def rate_once(log_prior, log_likelihood, q):
    reconstruction, of_prior, entropy = parts(log_prior, log_likelihood, q)
    return reconstruction + (of_prior + entropy).mean()


ELBO_WRONG = [
    (drawn, "one_code"),
    (likeliest, "one_code"),
    (likelihood_cut(lambda ell: ell.clamp(min=-1e10)), "cut_off"),
    (likelihood_cut(lambda ell: torch.nan_to_num(ell, neginf=-1e4)), "cut_off"),
    (likelihood_cut(lambda ell: torch.nan_to_num(ell)), "cut_off"),
    (likelihood_cut(lambda ell: ell.clamp(min=-200)), "cut_off"),
    (likelihood_cut(lambda ell: ell.masked_fill(ell == -INF, 0)), "infinities_forgotten"),
    (lambda *tables: torch.nan_to_num(plainly(*tables)), "nan_hidden"),
    (lambda *tables: torch.nan_to_num(plainly(*tables), nan=0.0, neginf=-INF), "nan_hidden"),
    (rate_once, "rate_of_all_images"),
    (lambda p, ell, q: (q * ((p[:, None] + ell).log_softmax(0).T - q.log())).nansum(1), "negative_gap"),
    (lambda p, ell, q: torch.where(q > 1e-3, q * (p + ell.T - q.log()), 0.0).sum(1), "small_dropped"),
    (lambda p, ell, q: q @ ell - (q * (q.log() - p)).nansum(1), "all_pairs"),
    (lambda p, ell, q: (q * (p + ell.T - q.log())).nansum(0), "summed_over_images"),
    (plainly, "zero_log_zero"),
    (lambda p, ell, q: -F.kl_div(p + ell.T, q.log(), log_target=True, reduction="none").sum(1), "zero_log_zero"),
    (guarded_entropy, "zero_times_infinity"),
    (lambda p, ell, q: plainly(p, ell, q + 1e-10 * (q == 0)), "q_kept_from_zero"),
    (q_clamped(1e-8), "q_kept_from_zero"),
    (q_clamped(1e-12), "q_kept_from_zero"),
    (q_raised, "added_before_log"),
    (no_nan, "infinities_replaced"),
    (only_finite, "infinities_forgotten"),
    (from_parts(lambda reconstruction, of_prior, entropy: -(reconstruction + of_prior + entropy)), "sign_flipped"),
    (from_parts(lambda reconstruction, of_prior, entropy: reconstruction + of_prior - entropy), "entropy_flipped"),
    (from_parts(lambda reconstruction, of_prior, entropy: reconstruction - of_prior - entropy), "rate_flipped"),
    (from_parts(lambda reconstruction, of_prior, entropy: reconstruction + of_prior), "entropy_forgotten"),
    (from_parts(lambda reconstruction, of_prior, entropy: reconstruction + entropy), "prior_forgotten"),
    (from_parts(lambda reconstruction, of_prior, entropy: reconstruction), "rate_forgotten"),
    (from_parts(lambda reconstruction, of_prior, entropy: of_prior + entropy), "likelihood_forgotten"),
    (from_parts(lambda *three: sum(three).mean()), "images_summed"),
    (from_parts(lambda *three: sum(three) / math.log(2)), "bits"),
    (with_kl_div, "rate_reversed"),
    (mixed_likelihood, "log_of_the_mean"),
    (lambda p, ell, q: torch.logsumexp(p[:, None] + ell, 0), "evidence"),
    (under_the_prior, "mean_under_prior"),
    (lambda p, ell, q: (ell.T + p - q.log()).sum(1), "without_weights"),
    (lambda *tables: elbo_by_loops(*tables).sum(), "images_summed"),
    (lambda *tables: elbo_by_nansum(*tables).unsqueeze(1), "axes_kept"),
    (lambda p, ell, q: elbo_by_nansum(p, ell, q) / len(p), "mean_over_codes"),
    (lambda p, ell, q: (q * (p + ell - q.log())).nansum(1), "not_transposed"),
    (lambda p, ell, q: (q * ((p + ell).T - q.log())).nansum(1), "prior_along_states"),
    (lambda p, ell, q: (q * (p + ell.T.exp() - q.log())).nansum(1), "probability_for_logarithm"),
    (lambda p, ell, q: (q * (p.exp() + ell.T - q.log())).nansum(1), "prior_as_probability"),
    (lambda p, ell, q: (q * (p + ell.T - q.log())).nan_to_num(nan=0.0, neginf=-INF), "codes_left"),
]


# The other arrangement.


def gap_by_loops(log_prior, log_likelihood, q):
    codes, states = log_likelihood.shape
    total = torch.zeros(states, dtype=q.dtype)
    for x in range(states):
        log_p = torch.logsumexp(log_prior + log_likelihood[:, x], dim=0)
        for z in range(codes):
            if q[x, z] > 0:
                total[x] += q[x, z] * (q[x, z].log() - log_prior[z] - log_likelihood[z, x] + log_p)
    return total


def gap_by_log_softmax(log_prior, log_likelihood, q):
    log_p = torch.log_softmax(log_prior[:, None] + log_likelihood, dim=0).T
    return torch.nansum(q * (q.log() - log_p), dim=-1)


def gap_by_difference(log_prior, log_likelihood, q):
    return DiscreteWorld(log_prior, log_likelihood).log_prob() - elbo_by_loops(log_prior, log_likelihood, q)


def gap_to(make):
    """nansum of q (log q - log p) with another p(z|x): make(log p(z|x))."""

    def answer(log_prior, log_likelihood, q):
        log_p = (log_prior + log_likelihood.T).log_softmax(1)
        return (q * (q.log() - make(log_p))).nansum(1)

    return answer


def kl_naive(log_prior, log_likelihood, q):
    log_p = (log_prior + log_likelihood.T).log_softmax(1)
    return (q * (q.log() - log_p)).sum(1)


def kl_reversed(log_prior, log_likelihood, q):
    p = posterior_by_largest(log_prior, log_likelihood)
    return (p * (p.log() - q.log())).nansum(1)


def exp_evidence(log_prior, log_likelihood, q):
    return (log_prior.exp() @ log_likelihood.exp()).log() - elbo_by_nansum(log_prior, log_likelihood, q)


def jensen_shannon(log_prior, log_likelihood, q):
    p = posterior_by_largest(log_prior, log_likelihood)
    return ((q * (2 * q / (p + q)).log()).nansum(1) + (p * (2 * p / (p + q)).log()).nansum(1)) / 2


def log_ratios(log_prior, log_likelihood, q):
    return q.log() - (log_prior + log_likelihood.T).log_softmax(1)


GAP_WRONG = [
    (lambda p, ell, q: torch.logsumexp(p[:, None] + ell, 1) - elbo_by_nansum(p, ell, q), "evidence_over_images"),
    (lambda p, ell, q: torch.logsumexp(p + ell, -1) - elbo_by_nansum(p, ell, q), "not_transposed"),
    (lambda p, ell, q: (p + ell.T).max(1).values - elbo_by_nansum(p, ell, q), "evidence_of_the_best"),
    (lambda p, ell, q: (p[:, None] + ell).sum(0) - elbo_by_nansum(p, ell, q), "evidence_added_in_logarithms"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1) - drawn(p, ell, q), "one_code"),
    (lambda p, ell, q: (q * log_ratios(p, ell, q).nan_to_num(posinf=0, neginf=0)).sum(1), "infinities_forgotten"),
    (gap_to(lambda log_p: log_p.masked_fill(log_p.isinf(), 0)), "infinities_forgotten"),
    (gap_to(lambda log_p: log_p.clamp(min=-100)), "cut_off"),
    (gap_to(lambda log_p: log_p.clamp(min=-1e6)), "cut_off"),
    (gap_to(torch.nan_to_num), "cut_off"),
    (lambda p, ell, q: gap_by_log_softmax(p, ell.clamp_min(-1e5), q), "cut_off"),
    (lambda *tables: torch.nan_to_num(kl_naive(*tables), nan=0.0), "nan_hidden"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1) - torch.nan_to_num(plainly(p, ell, q)), "nan_hidden"),
    (lambda p, ell, q: torch.logsumexp(ell, 0) - elbo_by_nansum(p, ell, q), "evidence_without_prior"),
    (jensen_shannon, "jensen_shannon"),
    (kl_naive, "zero_log_zero"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1) - plainly(p, ell, q), "zero_log_zero"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1) - guarded_entropy(p, ell, q), "zero_times_infinity"),
    (lambda p, ell, q: kl_naive(p, ell, q.clamp_min(1e-9)), "q_kept_from_zero"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1) - no_nan(p, ell, q), "infinities_replaced"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1) - only_finite(p, ell, q), "infinities_forgotten"),
    (gap_to(lambda log_p: log_p.exp().log()), "posterior_underflows"),
    (gap_to(lambda log_p: (log_p.exp() + 1e-12).log()), "posterior_kept_from_zero"),
    (gap_to(lambda log_p: log_p.exp().clamp(1e-10, 1).log()), "posterior_kept_from_zero"),
    (kl_reversed, "kl_reversed"),
    (lambda *tables: elbo_by_nansum(*tables) - DiscreteWorld(*tables[:2]).log_prob(), "sign_flipped"),
    (lambda p, ell, q: (q * (q.log() - p)).nansum(1), "rate"),
    (lambda *tables: elbo_by_loops(*tables), "elbo"),
    (lambda *tables: -elbo_by_loops(*tables), "negative_elbo"),
    (lambda p, ell, q: torch.logsumexp(p + ell.T, 1), "evidence"),
    (lambda p, ell, q: -(q * (p + ell.T).log_softmax(1)).nansum(1), "cross_entropy"),
    (lambda p, ell, q: (q * (q.log() - ell.T.log_softmax(1))).nansum(1), "prior_forgotten"),
    (lambda p, ell, q: (q * (q.log() - (p + ell.T).log_softmax(0))).nansum(1), "posterior_over_states"),
    (lambda *tables: gap_by_log_softmax(*tables).mean(), "images_summed"),
    (lambda *tables: gap_by_log_softmax(*tables) * math.log2(math.e), "bits"),
    (lambda p, ell, q: (q - posterior_by_largest(p, ell)).abs().sum(1), "absolute_difference"),
    (lambda p, ell, q: (q - posterior_by_largest(p, ell)).square().sum(1), "squared_difference"),
    (lambda p, ell, q: (p.exp() * ell.T).sum(1) - elbo_by_nansum(p, ell, q), "evidence_averaged"),
    (lambda p, ell, q: gap_by_log_softmax(p, ell, q) / q.shape[-1], "mean_over_codes"),
    (exp_evidence, "evidence_underflows"),
    (lambda p, ell, q: gap_by_log_softmax(p, ell.T, q), "not_transposed"),
]


# The surgery.


def kl(p, f):
    """sum p log(p/f), zeros left out."""
    total = torch.zeros((), dtype=p.dtype)
    for a, b in zip(p, f, strict=True):
        if a > 0:
            total = total + a * torch.log(a / b)
    return total


def surgery_by_loops(q, data, prior):
    aggregate = sum(weight * row for weight, row in zip(data, q, strict=True))
    rate = sum(weight * kl(row, prior) for weight, row in zip(data, q, strict=True) if weight > 0)
    information = sum(weight * kl(row, aggregate) for weight, row in zip(data, q, strict=True) if weight > 0)
    return rate, information, kl(aggregate, prior)


def surgery_of_shown(q, data, prior):
    q, data = q[data > 0], data[data > 0]
    return surgery_by_rows(q, data, prior)


def surgery_by_rows(q, data, prior):
    aggregate = torch.mv(q.T, data)
    rates, informations = ((q * (q.log() - other.log())).nansum(1) for other in (prior, aggregate))
    return torch.dot(data, rates), torch.dot(data, informations), (aggregate * (aggregate / prior).log()).nansum()


def surgery_by_library(q, data, prior):
    account = DiscreteWorld(prior.log(), torch.zeros(len(prior), len(data), dtype=q.dtype)).account(q, data)
    return account.rate, account.information, account.aggregate_gap


def surgery_by_entropies(q, data, prior):
    aggregate = (data[:, None] * q).sum(0)
    left = (data[:, None] * torch.special.entr(q)).sum()
    information = torch.special.entr(aggregate).sum() - left
    gap = (aggregate * (aggregate / prior).log()).nansum()
    return [float(information + gap), float(information), float(gap)]


def surgery_by_joint(q, data, prior):
    joint = q * data[:, None]
    aggregate = joint.sum(dim=0)
    rate = (joint * (q / prior).log()).nansum()
    return rate, (joint * (q / aggregate).log()).nansum(), (aggregate * (aggregate / prior).log()).nansum()


def three(mean, other=lambda q, data: data @ q):
    """The three terms with another mean over images or another aggregate."""

    def answer(q, data, prior):
        aggregate = other(q, data)
        rates = (q * (q / prior).log()).nansum(1)
        informations = (q * (q / aggregate).log()).nansum(1)
        return mean(rates, data), mean(informations, data), (aggregate * (aggregate / prior).log()).nansum()

    return answer


def dot(values, data):
    return (values * data).sum()


def swapped(order):
    return lambda *tables: tuple(surgery_by_joint(*tables)[i] for i in order)


def surgery_naive(q, data, prior):
    aggregate = data @ q
    rate = data @ (q * (q.log() - prior.log())).sum(1)
    information = data @ (q * (q.log() - aggregate.log())).sum(1)
    return rate, information, (aggregate * (aggregate.log() - prior.log())).sum()


def with_eps(q, data, prior, eps=1e-8):
    aggregate = data @ q
    rate = data @ (q * torch.log((q + eps) / (prior + eps))).sum(1)
    information = data @ (q * torch.log((q + eps) / (aggregate + eps))).sum(1)
    return rate, information, (aggregate * torch.log((aggregate + eps) / (prior + eps))).sum()


def by_subtraction(q, data, prior):
    rate, _, gap = surgery_by_joint(q, data, prior)
    return rate, rate - gap, gap


def third_reversed(q, data, prior):
    rate, information, _ = surgery_by_joint(q, data, prior)
    return rate, information, kl(prior, data @ q)


def entropy_as_information(q, data, prior):
    rate, _, gap = surgery_by_joint(q, data, prior)
    return rate, torch.special.entr(data @ q).sum(), gap


def left_over_as_information(q, data, prior):
    rate, _, gap = surgery_by_joint(q, data, prior)
    return rate, data @ torch.special.entr(q).sum(1), gap


def surgery_of_joint(q, data, prior):
    joint, aggregate = data[:, None] * q, data @ q
    terms = [(joint * (joint / other).log()).nansum() for other in (prior, aggregate)]
    return *terms, (aggregate * (aggregate / prior).log()).nansum()


def only_where(keep):
    """The sums over the codes for which keep(p, f) holds, images never shown left out."""

    def answer(q, data, prior):
        def part(p, f):
            return torch.where(keep(p, f), p * (p.log() - f.log()), torch.zeros_like(p)).sum(-1)

        q, data = q[data > 0], data[data > 0]
        return data @ part(q, prior), data @ part(q, data @ q), part(data @ q, prior)

    return answer


def without_excluded(q, data, prior):
    codes = torch.nonzero(prior)[:, 0]
    return surgery_by_joint(q[:, codes], data, prior[codes])


def patched(kl_by_rows, patch):
    return lambda q, data, prior: tuple(patch(value) for value in kl_by_rows(q, data, prior))


def rows_patched(q, data, prior):
    aggregate = data @ q
    rate, information = (torch.nan_to_num((q * (q / f).log()).sum(1)) @ data for f in (prior, aggregate))
    return rate, information, torch.nan_to_num((aggregate * (aggregate / prior).log()).sum())


def rate_unshown(q, data, prior):
    _, information, gap = surgery_by_joint(q, data, prior)
    return (data * (q * (q / prior).log()).nansum(1)).sum(), information, gap


SURGERY_WRONG = [
    (surgery_by_rows, "unshown_image"),
    (rate_unshown, "unshown_image"),
    (patched(surgery_by_rows, torch.nan_to_num), "nan_hidden"),
    (patched(surgery_naive, torch.nan_to_num), "nan_hidden"),
    (patched(surgery_naive, lambda value: torch.where(value.isnan(), 0.0, value)), "nan_hidden"),
    (rows_patched, "nan_hidden"),
    (only_where(lambda p, f: (p > 0) & (f > 0)), "infinities_forgotten"),
    (without_excluded, "infinities_forgotten"),
    (
        lambda q, data, prior: three(lambda values, _: values.sum(), lambda q, _: q.sum(0))(q, data, prior),
        "images_summed",
    ),
    (lambda *tables: tuple(value / tables[0].shape[1] for value in surgery_by_joint(*tables)), "mean_over_codes"),
    (
        lambda q, d, p: (three(torch.dot)(q, d, p)[0], three(lambda v, _: v.mean())(q, d, p)[1], kl(d @ q, p)),
        "data_as_uniform",
    ),
    (lambda q, data, prior: surgery_by_joint(q, data, torch.ones_like(prior) / len(prior)), "prior_not_used"),
    (lambda q, data, prior: surgery_by_loops(q, data, torch.exp(prior)), "prior_as_logarithm"),
    (surgery_of_joint, "joint_for_conditional"),
    (surgery_naive, "zero_log_zero"),
    (with_eps, "added_before_log"),
    (lambda *tables: with_eps(*tables, eps=1e-12), "added_before_log"),
    (by_subtraction, "difference_of_infinities"),
    (three(dot, lambda q, data: q.mean(0)), "unweighted_aggregate"),
    (three(dot, lambda q, data: q.sum(0)), "aggregate_not_normalised"),
    (three(lambda values, data: values.mean(), lambda q, data: q.mean(0)), "data_as_uniform"),
    (three(lambda values, data: values.mean()), "data_as_uniform"),
    (three(lambda values, data: values.sum()), "images_summed"),
    (three(lambda values, data: values), "images_left"),
    (three(dot, lambda q, data: (data @ q.log()).exp()), "logarithms_averaged"),
    (lambda q, data, prior: three(dot, lambda *_: prior)(q, data, prior), "prior_for_aggregate"),
    (swapped((0, 2, 1)), "last_two_exchanged"),
    (swapped((1, 2, 0)), "rate_last"),
    (third_reversed, "gap_reversed"),
    (entropy_as_information, "entropy_of_the_aggregate"),
    (left_over_as_information, "conditional_entropy"),
    (lambda *tables: [value / math.log(2) for value in surgery_by_joint(*tables)], "bits"),
    (lambda q, data, prior: (lambda r, i, g: (r, r + g, g))(*surgery_by_joint(q, data, prior)), "information_added"),
    (lambda q, data, prior: (lambda r, i, g: (r, -i, g))(*surgery_by_joint(q, data, prior)), "information_negative"),
]


# The importance-weighted bound.


def iwae_by_columns(log_weights):
    bounds = []
    for column in log_weights.T:
        largest = column.max()
        bounds.append(largest + torch.log(torch.mean(torch.exp(column - largest))))
    return torch.stack(bounds)


def iwae_inside(log_weights):
    return torch.logsumexp(log_weights - math.log(log_weights.shape[0]), dim=0)


def iwae_by_pairs(log_weights):
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.log(torch.tensor(log_weights.shape[0], dtype=log_weights.dtype))


def iwae_with_a_single_precision_count(log_weights):
    return log_weights.logsumexp(0) - torch.tensor(len(log_weights)).log()


def global_shift(log_weights):
    m = log_weights.max()
    return m + torch.log(torch.exp(log_weights - m).sum(0) / len(log_weights))


def in_place(log_weights):
    m = log_weights.max(dim=0).values
    log_weights.sub_(m)
    return m + log_weights.exp().mean(0).log()


def successes_only(log_weights):
    return torch.logsumexp(log_weights, 0) - (log_weights > -INF).sum(0).log()


IWAE_WRONG = [
    (lambda w: torch.log(torch.mean(w, dim=0)), "logarithm_of_a_logarithm"),
    (lambda w: torch.log(w.exp().mean(0) + 1e-300), "kept_from_zero"),
    (lambda w: torch.log(w.exp().mean(0) + torch.finfo(w.dtype).tiny), "kept_from_zero"),
    (lambda w: torch.log(w.exp().mean(0).clamp(min=torch.finfo(w.dtype).eps)), "kept_from_zero"),
    (lambda w: torch.logsumexp(w.clamp(-1000, 1000), 0) - math.log(len(w)), "cut_off"),
    (lambda w: torch.log(torch.exp(w.clamp(-700, 700)).mean(0)), "cut_off"),
    (lambda w: torch.logsumexp(w.clamp_min(-500), 0) - math.log(len(w)), "cut_off"),
    (lambda w: torch.logsumexp(w.clamp_min(-1e4), 0) - math.log(len(w)), "cut_off"),
    (lambda w: iwae_inside(w.masked_fill(w == -INF, 0)), "infinity_as_zero"),
    (lambda w: torch.nan_to_num(torch.log(torch.exp(w).mean(0))), "underflow"),
    (lambda w: torch.logsumexp(w, 0) - math.log(max(1, w.shape[0] - 1)), "count_off_by_one"),
    (lambda w: torch.logsumexp(w, 0) - math.log2(w.shape[0]), "count_in_bits"),
    (lambda w: (w - w.max(0).values).exp().mean(0).log(), "shift_not_given_back"),
    (lambda w: torch.log(torch.mean(torch.exp(w), dim=0)), "underflow"),
    (lambda w: torch.log(torch.exp(w).mean(0) + 1e-12), "kept_from_zero"),
    (lambda w: torch.log(torch.exp(w).mean(0).clamp(min=1e-30)), "kept_from_zero"),
    (global_shift, "one_maximum_for_all"),
    (in_place, "log_weights_changed"),
    (successes_only, "zeros_not_counted"),
    (lambda w: w.mean(dim=0), "mean_of_the_logs"),
    (lambda w: w.sum(dim=0), "sum_of_the_logs"),
    (lambda w: torch.logsumexp(w, dim=0), "sum_for_mean"),
    (lambda w: torch.logsumexp(w, dim=0) / w.shape[0], "divided_outside"),
    (lambda w: torch.logsumexp(w, 0) - w.shape[0], "count_not_in_log"),
    (lambda w: torch.logsumexp(w, 0) + math.log(w.size(0)), "count_added"),
    (lambda w: torch.logsumexp(w, 0) - math.log(w.size(1)), "count_of_images"),
    (lambda w: torch.logsumexp(w, 0) - math.log(w.numel()), "count_of_all"),
    (lambda w: torch.logsumexp(w, -1) - math.log(w.size(-1)), "wrong_axis"),
    (lambda w: torch.logsumexp(w, -1) - math.log(w.size(0)), "wrong_axis"),
    (lambda w: w.max(dim=0).values, "best_sample"),
    (lambda w: (torch.softmax(w, 0) * w).nansum(0), "weighted_mean"),
    (lambda w: iwae_by_columns(w).mean(), "images_averaged"),
    (lambda w: torch.logsumexp(w, 0, keepdim=True) - math.log(len(w)), "axes_kept"),
    (lambda w: -iwae_inside(w), "sign_flipped"),
    (lambda w: iwae_inside(w) / math.log(2), "bits"),
    (lambda w: w.exp().mean(0), "no_logarithm"),
]


# The two gaps.


def split_by_loops(log_prior, log_likelihood, q, candidates):
    approximation, amortisation = [], []
    for x in range(log_likelihood.shape[1]):
        column = log_likelihood[:, [x]]
        best = max(gaps_of(log_prior, column, row) for row in candidates)
        log_p = torch.logsumexp(log_prior + column[:, 0], 0)
        approximation.append(log_p - best)
        amortisation.append(best - gaps_of(log_prior, column, q[x]))
    return torch.stack(approximation), torch.stack(amortisation)


def gaps_of(log_prior, column, row):
    return elbo_by_loops(log_prior, column, row[None])[0]


def split_by_gaps(log_prior, log_likelihood, q, candidates):
    own = gap_by_log_softmax(log_prior, log_likelihood, q)
    smallest = torch.full_like(own, INF)
    for row in candidates:
        repeated = row.repeat(len(q), 1)
        smallest = torch.minimum(smallest, gap_by_log_softmax(log_prior, log_likelihood, repeated))
    return [smallest, own - smallest]


def every_elbo(log_prior, log_likelihood, candidates, elbo=elbo_by_nansum):
    """[candidates, states]"""
    states = log_likelihood.shape[1]
    return torch.stack([elbo(log_prior, log_likelihood, row.repeat(states, 1)) for row in candidates])


def split(make, elbo=elbo_by_nansum):
    """Another split from log p(x), the ELBOs [candidates, states] and the encoder's ELBO."""

    def answer(log_prior, log_likelihood, q, candidates):
        log_p = torch.logsumexp(log_prior[:, None] + log_likelihood, 0)
        return make(log_p, every_elbo(log_prior, log_likelihood, candidates, elbo), elbo(log_prior, log_likelihood, q))

    return answer


def nearest(distance):
    """Each image takes the candidate of smallest distance(p(z|x), candidate)."""

    def answer(log_prior, log_likelihood, q, candidates):
        p = posterior_by_largest(log_prior, log_likelihood)
        best = torch.stack([candidates[torch.stack([distance(row, c) for c in candidates]).argmin()] for row in p])
        own, theirs = (gap_by_log_softmax(log_prior, log_likelihood, table) for table in (q, best))
        return theirs, own - theirs

    return answer


def shared(log_p, elbos, own):
    best = elbos[elbos.mean(1).argmax()]
    return log_p - best, best - own


def kl_between(log_prior, log_likelihood, q, candidates):
    best = candidates[every_elbo(log_prior, log_likelihood, candidates).argmax(0)]
    approximation, _ = split_by_gaps(log_prior, log_likelihood, q, candidates)
    return approximation, (q * (q / best).log()).nansum(1)


def through_probabilities(log_prior, log_likelihood, q, candidates):
    log_p = posterior_by_largest(log_prior, log_likelihood).log()
    gaps = torch.stack([(c * (c.log() - log_p)).nansum(1) for c in candidates])
    smallest = gaps.min(0).values
    return smallest, (q * (q.log() - log_p)).nansum(1) - smallest


def chosen_by_reconstruction(log_prior, log_likelihood, q, candidates):
    reconstruction = torch.stack([(c * log_likelihood.T).nansum(1) for c in candidates])
    best = candidates[reconstruction.argmax(0)]
    return split_by_pair(log_prior, log_likelihood, q, best)


def chosen_by_rate(log_prior, log_likelihood, q, candidates):
    rates = (candidates * (candidates.log() - log_prior)).nansum(1)
    return split_by_pair(log_prior, log_likelihood, q, candidates[rates.argmin()].expand_as(q))


def split_by_pair(log_prior, log_likelihood, q, best):
    own, theirs = (elbo_by_nansum(log_prior, log_likelihood, table) for table in (q, best))
    return torch.logsumexp(log_prior + log_likelihood.T, 1) - theirs, theirs - own


def in_pairs(log_prior, log_likelihood, q, candidates):
    theirs = elbo_by_nansum(log_prior, log_likelihood, candidates)
    return torch.logsumexp(log_prior + log_likelihood.T, 1) - theirs, theirs - elbo_by_nansum(
        log_prior, log_likelihood, q
    )


def zeroed(log_p, elbos, own):
    best = elbos.masked_fill(elbos.isinf(), 0).amax(0)
    return log_p - best, best - own


def with_evidence(make):
    """Another log p(x): make(log_prior, log_likelihood)."""

    def answer(log_prior, log_likelihood, q, candidates):
        best = every_elbo(log_prior, log_likelihood, candidates).amax(0)
        return make(log_prior, log_likelihood) - best, best - elbo_by_nansum(log_prior, log_likelihood, q)

    return answer


SPLIT_WRONG = [
    (in_pairs, "candidate_with_image"),
    (with_evidence(lambda p, ell: torch.logsumexp(ell, 0)), "evidence_without_prior"),
    (with_evidence(lambda p, ell: torch.logsumexp(p[:, None] + ell, 1)), "evidence_over_images"),
    (split(lambda log_p, elbos, own: (log_p - elbos.amax(0).mean(), elbos.amax(0).mean() - own)), "best_averaged"),
    (split(lambda log_p, elbos, own: (log_p - elbos.mean(1).max(), elbos.mean(1).max() - own)), "best_averaged"),
    (split(zeroed), "infinities_forgotten"),
    (lambda *tables: tuple(gap.nan_to_num(posinf=0) for gap in split_by_gaps(*tables)), "infinities_forgotten"),
    (lambda *tables: tuple(torch.nan_to_num(gap) for gap in split_by_gaps(*tables)), "infinities_replaced"),
    (split(lambda log_p, elbos, own: (elbos.amax(0) - log_p, elbos.amax(0) - own)), "approximation_negative"),
    (nearest(lambda p, c: -(p * c).sum()), "chosen_by_overlap"),
    (split(lambda log_p, elbos, own: (log_p - elbos.max(), elbos.max() - own)), "one_value_for_all"),
    (split(lambda log_p, elbos, own: (log_p - elbos.argmax(0), elbos.argmax(0) - own)), "number_of_the_candidate"),
    (split(lambda log_p, elbos, own: (log_p - elbos[0], elbos[0] - own)), "first_candidate"),
    (lambda p, ell, q, c: split_by_pair(p, ell, q, c.mean(0).expand_as(q)), "mean_candidate"),
    (split(lambda log_p, elbos, own: (log_p - elbos.amax(0), elbos.amax(0) - own), plainly), "zero_log_zero"),
    (split(shared), "one_candidate_for_all"),
    (split(lambda log_p, elbos, own: (elbos.amax(0) - own, log_p - elbos.amax(0))), "exchanged"),
    (split(lambda log_p, elbos, own: (log_p - elbos.amin(0), elbos.amin(0) - own)), "worst_candidate"),
    (split(lambda log_p, elbos, own: (log_p - elbos.mean(0), elbos.mean(0) - own)), "mean_candidate"),
    (split(lambda log_p, elbos, own: (log_p - elbos.amax(0), log_p - own)), "amortisation_is_total"),
    (split(lambda log_p, elbos, own: (log_p - own, elbos.amax(0) - own)), "approximation_is_total"),
    (split(lambda log_p, elbos, own: (log_p - own, torch.zeros_like(own))), "encoder_is_best"),
    (split(lambda log_p, elbos, own: (torch.zeros_like(own), log_p - own)), "posterior_is_best"),
    (split(lambda log_p, elbos, own: (log_p - elbos.amax(0), own - elbos.amax(0))), "amortisation_negative"),
    (split(lambda log_p, elbos, own: (elbos.amax(0) - log_p, own - elbos.amax(0))), "both_negative"),
    (split(lambda log_p, elbos, own: (elbos.amax(0), own)), "elbos"),
    (split(lambda log_p, elbos, own: (log_p - elbos.amax(1), elbos.amax(1) - own)), "best_image"),
    (lambda *tables: tuple(gap.mean() for gap in split_by_loops(*tables)), "images_summed"),
    (lambda *tables: tuple(gap / math.log(2) for gap in split_by_loops(*tables)), "bits"),
    (nearest(lambda p, c: (p * (p / c).log()).nansum()), "chosen_by_reversed_kl"),
    (nearest(lambda p, c: (p - c).abs().sum()), "chosen_by_distance"),
    (nearest(lambda p, c: torch.dist(p, c)), "chosen_by_distance"),
    (chosen_by_reconstruction, "chosen_by_reconstruction"),
    (chosen_by_rate, "chosen_by_rate"),
    (kl_between, "distance_between"),
    (through_probabilities, "posterior_underflows"),
    (lambda p, ell, q, c: split_by_gaps(p, ell.T, q, c), "not_transposed"),
]

RIGHT = {
    "04.posterior": [
        posterior_by_loops,
        posterior_by_subtraction,
        posterior_by_largest,
        posterior_by_library,
        posterior_by_categorical,
    ],
    "04.elbo": [
        elbo_by_loops,
        elbo_in_single_precision,
        elbo_by_masked_terms,
        elbo_by_nansum,
        elbo_by_library,
        elbo_from_above,
    ],
    "04.posterior_gap": [gap_by_loops, gap_by_log_softmax, gap_by_difference],
    "04.surgery": [
        surgery_by_loops,
        surgery_by_entropies,
        surgery_by_joint,
        surgery_of_shown,
        surgery_by_library,
    ],
    "04.iwae_bound": [iwae_by_columns, iwae_inside, iwae_by_pairs, iwae_with_a_single_precision_count],
    "04.split_gap": [split_by_loops, split_by_gaps],
}
WRONG = {
    "04.posterior": POSTERIOR_WRONG,
    "04.elbo": ELBO_WRONG,
    "04.posterior_gap": GAP_WRONG,
    "04.surgery": SURGERY_WRONG,
    "04.iwae_bound": IWAE_WRONG,
    "04.split_gap": SPLIT_WRONG,
}

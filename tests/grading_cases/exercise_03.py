"""Answers to exercise 03, written as beginners write them: from tutorials, by loops, by torch.distributions."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import Independent, Normal, kl_divergence

# Reparameterisation.


def with_std(mu, log_var, eps):
    std = torch.exp(0.5 * log_var)
    return eps * std + mu


def by_root(mu, log_var, eps):
    return mu + log_var.exp().sqrt() * eps


def by_addcmul(mu, log_var, eps):
    return torch.addcmul(mu, (log_var / 2).exp(), eps)


def number_by_number(mu, log_var, eps):
    rows = [[m + math.e ** (v / 2) * e for m, v, e in zip(*row)] for row in zip(mu, log_var, eps)]
    return torch.stack([torch.stack(row) for row in rows])


def from_numbers(mu, log_var, eps):
    rows = zip(mu.tolist(), log_var.tolist(), eps.tolist())
    numbers = [[m + math.exp(v / 2) * e for m, v, e in zip(*row)] for row in rows]
    return torch.tensor(numbers, dtype=mu.dtype)


def in_numpy(mu, log_var, eps):
    return torch.from_numpy(mu.numpy() + np.exp(log_var.numpy() / 2) * eps.numpy())


def under_no_grad(mu, log_var, eps):
    with torch.no_grad():
        return with_std(mu, log_var, eps)


def std_as_data(mu, log_var, eps):
    std = log_var.data.mul(0.5).exp()
    return mu + std * eps


def sample_of_normal(mu, log_var, eps):
    return Normal(mu, (log_var / 2).exp()).rsample()


def tutorial(mu, log_var, eps):
    std = torch.exp(0.5 * log_var)
    eps = torch.randn_like(std)
    return mu + eps * std


def growing(mu, log_var, eps):
    eps *= torch.exp(log_var / 2)
    return mu + eps


def halving(mu, log_var, eps):
    return mu + log_var.mul_(0.5).exp() * eps


def adding(mu, log_var, eps):
    mu.data += torch.exp(log_var / 2) * eps
    return mu


REPARAMETERISE_WRONG = [
    (lambda mu, log_var, eps: mu + log_var * eps, "log_var_as_deviation"),
    (lambda mu, log_var, eps: mu + 0.5 * log_var * eps, "never_exponentiated"),
    (lambda mu, log_var, eps: mu + torch.exp(log_var) * eps, "variance_for_deviation"),
    (lambda mu, log_var, eps: mu + torch.sqrt(log_var) * eps, "root_of_log_var"),
    (lambda mu, log_var, eps: mu + eps * torch.exp(-0.5 * log_var), "exponent_negative"),
    (lambda mu, log_var, eps: mu + torch.exp(0.5 * log_var * eps), "noise_in_exponent"),
    (lambda mu, log_var, eps: torch.exp(log_var / 2) * (eps + mu), "mean_scaled_too"),
    (lambda mu, log_var, eps: mu - torch.exp(log_var / 2) * eps, "noise_subtracted"),
    (lambda mu, log_var, eps: mu, "noise_missing"),
    (lambda mu, log_var, eps: torch.exp(log_var / 2) * eps, "mean_missing"),
    (lambda mu, log_var, eps: mu + eps, "width_missing"),
    (tutorial, "own_noise"),
    (sample_of_normal, "own_noise"),
    (from_numbers, "detached"),
    (in_numpy, "detached"),
    (under_no_grad, "detached"),
    (std_as_data, "width_detached"),
    (lambda mu, log_var, eps: mu.detach() + torch.exp(log_var / 2) * eps, "mean_detached"),
    (growing, "changed_in_place"),
    (halving, "changed_in_place"),
    (adding, "changed_in_place"),
    (lambda mu, log_var, eps: mu + torch.exp(log_var.clamp(-10, 10) / 2) * eps, "clamped"),
    (lambda mu, log_var, eps: mu + torch.exp(log_var.clamp(-30, 20) / 2) * eps, "clamped"),
    (lambda mu, log_var, eps: mu + torch.exp(log_var.clamp(max=2) / 2) * eps, "clamped"),
    (lambda mu, log_var, eps: mu + torch.sqrt(log_var.exp() + 1e-8) * eps, "clamped"),
    (lambda mu, log_var, eps: mu + 0.5 * log_var.exp() * eps, "half_outside"),
    (lambda mu, log_var, eps: mu + torch.exp(2 * log_var) * eps, "exponent_doubled"),
    (lambda mu, log_var, eps: mu + F.softplus(log_var) * eps, "softplus"),
    (lambda mu, log_var, eps: mu + F.softplus(log_var).sqrt() * eps, "softplus"),
    (lambda mu, log_var, eps: mu + log_var.abs().sqrt() * eps, "root_of_log_var"),
]


# The score function.


def by_formula(f_z, z, mu, log_var):
    away = (z - mu) / torch.exp(log_var)
    square = (z - mu) ** 2 / torch.exp(log_var)
    return f_z.unsqueeze(1) * away, f_z.unsqueeze(1) * (square - 1) / 2


def by_standard_numbers(f_z, z, mu, log_var):
    sigma = (log_var / 2).exp()
    e = (z - mu) / sigma
    return [torch.einsum("s,sd->sd", f_z, e / sigma), torch.einsum("s,sd->sd", f_z, (e * e - 1) * 0.5)]


def by_autograd(f_z, z, mu, log_var):
    """A copy of mu and log_var for each sample, so that autograd does not add the samples up."""
    mus, log_vars = (p.detach().repeat(len(z), 1).requires_grad_() for p in (mu, log_var))
    log_q = Normal(mus, torch.exp(log_vars / 2)).log_prob(z)
    return torch.autograd.grad((f_z * log_q.sum(1)).sum(), (mus, log_vars))


def sample_by_sample(f_z, z, mu, log_var):
    of_mu, of_log_var = [], []
    for f, sample in zip(f_z, z):
        of_mu.append(f * (sample - mu) * torch.exp(-log_var))
        of_log_var.append(f * ((sample - mu).square() * torch.exp(-log_var) - 1) / 2)
    return torch.stack(of_mu), torch.stack(of_log_var)


def autograd_on_shared(f_z, z, mu, log_var):
    mu, log_var = mu.clone().requires_grad_(), log_var.clone().requires_grad_()
    log_q = Normal(mu, torch.exp(log_var / 2)).log_prob(z).sum(1)
    (f_z * log_q).sum().backward()
    return mu.grad, log_var.grad


def autograd_of_mean(f_z, z, mu, log_var):
    mu, log_var = mu.clone().requires_grad_(), log_var.clone().requires_grad_()
    loss = (f_z * Normal(mu, torch.exp(log_var / 2)).log_prob(z).sum(1)).mean()
    return torch.autograd.grad(loss, [mu, log_var])


def scores(mu_part, log_var_part, weight=lambda f: f[:, None]):
    def answer(f_z, z, mu, log_var):
        return weight(f_z) * mu_part(z - mu, log_var), weight(f_z) * log_var_part(z - mu, log_var)

    return answer


def mu_part(d, v):
    return d / v.exp()


def log_var_part(d, v):
    return (d.pow(2) / v.exp() - 1) / 2


def density_trick(f_z, z, mu, log_var):
    q = Independent(Normal(mu, torch.exp(log_var / 2)), 1).log_prob(z).exp()
    return scores(mu_part, log_var_part)(f_z * q, z, mu, log_var)


def f_inside(f_z, z, mu, log_var, half, constant):
    """f before the square, and not before the constant beside it."""
    f = f_z.unsqueeze(1)
    square = (z - mu) ** 2 / log_var.exp()
    return f * (z - mu) / log_var.exp(), f * square * half - constant


def as_rewards(f_z):
    away = f_z - f_z.mean()
    return away / ((away.square().sum() / (len(f_z) - 1)).sqrt() + 1e-8)


def against_others(f_z, z, mu, log_var):
    others = [torch.cat([f_z[:i], f_z[i + 1 :]]) for i in range(len(f_z))]
    baseline = torch.stack([o.mean() if len(o) else torch.zeros((), dtype=f_z.dtype) for o in others])
    return by_formula(f_z - baseline, z, mu, log_var)


SCORE_WRONG = [
    (scores(mu_part, log_var_part, lambda f: 1), "f_missing"),
    (scores(lambda d, v: d, lambda d, v: (d**2 - 1) / 2), "variance_missing"),
    (scores(lambda d, v: d, log_var_part), "variance_missing"),
    (scores(lambda d, v: d / (v / 2).exp(), log_var_part), "deviation_for_variance"),
    (scores(lambda d, v: d / (v / 2).exp(), lambda d, v: (d**2 / (v / 2).exp() - 1) / 2), "deviation_for_variance"),
    (scores(lambda d, v: d / v, lambda d, v: 0.5 * (d**2 / v - 1)), "log_var_as_variance"),
    (scores(lambda d, v: d / v.exp() ** 2, lambda d, v: (d**2 / v.exp() ** 2 - 1) / 2), "log_var_as_log_deviation"),
    (scores(lambda d, v: -d / v.exp(), log_var_part), "sign_of_mu"),
    (scores(lambda d, v: -d / v.exp(), lambda d, v: (1 - d**2 / v.exp()) / 2), "sign_flipped"),
    (scores(mu_part, lambda d, v: d**2 / v.exp() - 1), "half_missing"),
    (scores(mu_part, lambda d, v: d**2 / v.exp() / 2), "minus_one_missing"),
    (scores(mu_part, lambda d, v: d**2 / v.exp() / 2 - 1), "minus_one_whole"),
    (scores(mu_part, lambda d, v: (1 - d**2 / v.exp()) / 2), "sign_of_log_var"),
    (scores(mu_part, lambda d, v: (d**2 - v.exp()) / (2 * v.exp() ** 2)), "by_variance"),
    (scores(mu_part, lambda d, v: d**2 / (1.5 * v).exp() - (-v / 2).exp()), "by_deviation"),
    (scores(mu_part, lambda d, v: (d / (v / 2).exp() - 1) / 2), "not_squared"),
    (scores(mu_part, log_var_part, lambda f: f), "along_code"),
    (scores(lambda d, v: d * v.exp(), lambda d, v: (d**2 * v.exp() - 1) / 2), "variance_on_wrong_side"),
    (scores(mu_part, lambda d, v: d**2 / v.exp()), "half_and_one_missing"),
    (lambda f, z, mu, v: (f[:, None] * z / v.exp(), by_formula(f, z, mu, v)[1]), "not_centred"),
    (lambda f, z, mu, v: by_formula(f, z, 0 * mu, v), "not_centred"),
    (lambda f, z, mu, v: by_formula(f.mean().repeat(len(f)), z, mu, v), "f_averaged"),
    (lambda f, z, mu, v: by_formula(as_rewards(f), z, mu, v), "centred"),
    (against_others, "baseline"),
    (autograd_on_shared, "summed_over_samples"),
    (autograd_of_mean, "averaged"),
    (lambda f, z, mu, v: tuple(g / len(z) for g in by_formula(f, z, mu, v)), "divided_by_samples"),
    (lambda f, z, mu, v: tuple(g.sum(-1) for g in by_formula(f, z, mu, v)), "summed_over_code"),
    (lambda f, z, mu, v: by_formula(f, z, mu, v)[::-1], "order_exchanged"),
    (lambda f, z, mu, v: by_formula(f, z, mu, v)[0], "mu_alone"),
    (lambda f, z, mu, v: torch.stack(by_formula(f, z, mu, v)), "stacked"),
    (lambda f, z, mu, v: by_formula(f - torch.mean(f), z, mu, v), "centred"),
    (density_trick, "density_differentiated"),
    (lambda f, z, mu, v: (by_formula(f, z, mu, v)[0], log_var_part(z - mu, v)), "f_in_one_only"),
    (lambda f, z, mu, v: (mu_part(z - mu, v), by_formula(f, z, mu, v)[1]), "f_in_one_only"),
    (lambda f, z, mu, v: f_inside(f, z, mu, v, 0.5, 0.5), "f_on_square_only"),
    (lambda f, z, mu, v: f_inside(f, z, mu, v, 0.5, 1), "f_on_square_only"),
    (lambda f, z, mu, v: f_inside(f, z, mu, v, 1, 1), "f_on_square_only"),
    (scores(mu_part, lambda d, v: ((d / v.exp()) ** 2 - 1) / 2), "log_var_as_log_deviation"),
    (scores(mu_part, lambda d, v: (d**2 / v.exp() + 1) / 2), "one_added"),
    (scores(mu_part, lambda d, v: (d**2 - v.exp()) / 2), "not_divided"),
    (scores(lambda d, v: d / (2 * v.exp()), log_var_part), "mu_halved"),
    (scores(lambda d, v: 2 * d / v.exp(), log_var_part), "mu_doubled"),
]


# The KL in closed form.


def as_in_every_tutorial(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=1)


def by_distributions(mu, log_var):
    q = Normal(mu, torch.exp(0.5 * log_var))
    return kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)


def by_expm1(mu, log_var):
    return ((mu**2).sum(1) + (torch.expm1(log_var) - log_var).sum(1)) / 2


def by_sigma(mu, log_var):
    sigma = (0.5 * log_var).exp()
    return ((mu * mu + sigma * sigma - 1) / 2 - log_var / 2).sum(dim=-1)


def image_by_image(mu, log_var):
    return torch.stack([(0.5 * (m @ m + v.exp().sum() - len(m) - v.sum())) for m, v in zip(mu, log_var)])


def kl_of(mu, log_var, finish=lambda terms: terms.sum(1)):
    return finish((mu.square() + torch.exp(log_var) - 1 - log_var) / 2)


def clamped_first(mu, log_var):
    return as_in_every_tutorial(mu, torch.clamp(log_var, -30.0, 20.0))


def log_of_variance(mu, log_var, eps=1e-8):
    var = log_var.exp()
    return 0.5 * (mu**2 + var - 1 - torch.log(var + eps)).sum(1)


def squaring(mu, log_var):
    var = log_var.exp_()
    return 0.5 * (mu**2 + var - 1 - var.log()).sum(1)


KL_WRONG = [
    (lambda mu, v: -0.5 * torch.mean(1 + v - mu.pow(2) - v.exp(), dim=1), "mean_over_code"),
    (lambda mu, v: -0.5 * torch.sum(1 + v - mu.pow(2) - v.exp()), "sum_over_batch"),
    (lambda mu, v: (-0.5 * torch.sum(1 + v - mu**2 - v.exp(), dim=1)).mean(), "mean_over_batch"),
    (lambda mu, v: -0.5 * torch.mean(1 + v - mu.pow(2) - v.exp()), "mean_over_all"),
    (lambda mu, v: kl_of(mu, v, lambda terms: terms), "code_left"),
    (lambda mu, v: kl_of(mu, v, lambda terms: terms.sum(0)), "wrong_axis"),
    (lambda mu, v: kl_of(mu, v, lambda terms: terms.sum(-1, keepdim=True)), "axis_kept"),
    (lambda mu, v: 0.5 * torch.sum(1 + v - mu.pow(2) - v.exp(), dim=1), "sign_flipped"),
    (lambda mu, v: -torch.sum(1 + v - mu.pow(2) - v.exp(), dim=1), "half_missing"),
    (lambda mu, v: (mu**2 / 2 + v.exp() - 1 - v).sum(1), "half_on_first"),
    (lambda mu, v: (-v + (v.exp() + mu**2) / 2 - 0.5).sum(1), "log_half_missing"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() - v).sum(1), "one_missing"),
    (lambda mu, v: 0.5 * ((mu**2).sum(1) + v.exp().sum(1) - 1 - v.sum(1)), "one_per_image"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() + 1 - v).sum(1), "one_added"),
    (lambda mu, v: -0.5 * torch.sum(1 - v - mu.pow(2) - v.exp(), dim=1), "log_sign"),
    (lambda mu, v: -0.5 * torch.sum(1 + v - mu - v.exp(), dim=1), "mean_not_squared"),
    (lambda mu, v: -0.5 * torch.sum(1 + v - v.exp(), dim=1), "mean_missing"),
    (lambda mu, v: -0.5 * torch.sum(1 + v - mu**2, dim=1), "variance_missing"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() - 1).sum(1), "log_missing"),
    (lambda mu, v: 0.5 * (mu**2 + v - torch.log(v) - 1).sum(1), "log_var_as_variance"),
    (lambda mu, v: 0.5 * (mu**2 + v - v - 1).sum(1) + 0 * v.sum(1), "log_var_as_variance"),
    (lambda mu, v: 0.5 * (mu**2 + v**2 - 1).sum(1) - v.log().sum(1), "log_var_as_deviation"),
    (lambda mu, v: kl_divergence(Normal(mu, v.exp()), Normal(0, 1)).sum(1), "log_var_as_log_deviation"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() ** 2 - 1 - v).sum(1), "log_var_as_log_deviation"),
    (lambda mu, v: 0.5 * (mu**2 + (v / 2).exp() - 1 - v).sum(1), "deviation_for_variance"),
    (lambda mu, v: 0.5 * (mu**2 + (v / 2).exp() - 1 - v / 2).sum(1), "deviation_for_variance"),
    (lambda mu, v: kl_divergence(Normal(torch.zeros_like(mu), 1.0), Normal(mu, (v / 2).exp())).sum(1), "reversed"),
    (lambda mu, v: kl_of(mu, v) / np.log(2), "bits"),
    (clamped_first, "clamped"),
    (lambda mu, v: kl_of(mu, torch.clamp(v, min=-10)), "clamped"),
    (log_of_variance, "clamped"),
    (lambda mu, v: log_of_variance(mu, v, 1e-10), "clamped"),
    (lambda mu, v: kl_of(mu.detach(), v.detach()), "detached"),
    (lambda mu, v: torch.tensor(kl_of(mu, v).tolist(), dtype=mu.dtype), "detached"),
    (lambda mu, v: torch.from_numpy(kl_of(mu, v).numpy()), "detached"),
    (lambda mu, v: kl_of(mu, v.data), "width_detached"),
    (lambda mu, v: kl_of(mu.data, v), "mean_detached"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() - 1 - v.detach()).sum(1), "part_detached"),
    (lambda mu, v: 0.5 * (mu**2 + v.detach().exp() - 1 - v).sum(1), "part_detached"),
    (squaring, "changed_in_place"),
    (lambda mu, v: 0.5 * (mu.pow_(2) + v.exp() - 1 - v).sum(1), "changed_in_place"),
    (by_distributions, "underflow"),
    (lambda mu, v: kl_of(mu, v) / mu.shape[0], "divided_by_batch"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() - 1 - torch.log(v.exp())).sum(1), "underflow"),
    (lambda mu, v: (0.5 * (mu**2 + v.exp() - 1) - torch.log((v / 2).exp())).sum(1), "underflow"),
    (lambda mu, v: kl_of(mu, v, lambda terms: terms.sum(1).squeeze()), "squeezed"),
    (lambda mu, v: kl_of(mu, torch.clamp(v, min=-50)), "clamped"),
    (lambda mu, v: 0.5 * (mu**2 + v.exp() - 1 - 0.5 * v).sum(1), "log_halved_twice"),
    (lambda mu, v: 0.5 * (mu**2 + v**2 - 1 - v).sum(1), "log_var_as_deviation"),
    (lambda mu, v: (0.5 * (mu**2 + v.exp()) - 1 - v).sum(1), "half_on_first"),
    (lambda mu, v: (0.5 * mu**2 + 0.5 * v.exp() - 1 - 0.5 * v).sum(1), "one_whole"),
]


# The KL by sampling.


def by_log_probs(mu, log_var, eps):
    std = (log_var / 2).exp()
    q, p = Normal(mu, std), Normal(0.0, 1.0)
    z = mu + std * eps
    return (q.log_prob(z).sum(-1) - p.log_prob(z).sum(-1)).mean(0)


def with_constants_cancelled(mu, log_var, eps):
    z = mu + torch.exp(log_var / 2) * eps
    return 0.5 * (z**2 - eps**2 - log_var).sum(2).mean(0)


def one_sample_at_a_time(mu, log_var, eps):
    total = torch.zeros(len(mu), dtype=mu.dtype)
    for e in eps:
        z = mu + torch.exp(log_var / 2) * e
        log_q = (-0.5 * ((z - mu) ** 2 / torch.exp(log_var) + log_var + math.log(2 * math.pi))).sum(1)
        log_p = (-0.5 * (z**2 + math.log(2 * math.pi))).sum(1)
        total = total + (log_q - log_p) / len(eps)
    return total


def estimate(finish=lambda ratios: ratios.sum(2).mean(0), q_width=None, z_width=None, at=None):
    """By torch.distributions, with another density, sample or way to add up."""

    def answer(mu, log_var, eps):
        std = (log_var / 2).exp()
        z = mu + (z_width or (lambda v: (v / 2).exp()))(log_var) * eps
        q = Normal(mu, q_width(log_var) if q_width else std, validate_args=False)
        return finish(q.log_prob(z) - Normal(0.0, 1.0).log_prob(eps if at == "eps" else z))

    return answer


def ratios(make):
    """make(z, mu, log_var, eps) of each dimension, added up and averaged rightly."""
    return lambda mu, v, eps: make(mu + (v / 2).exp() * eps, mu, v, eps).sum(2).mean(0)


def half_log_2pi():
    return 0.5 * math.log(2 * math.pi)


def fresh_noise(mu, log_var, eps):
    q = Normal(mu, (log_var / 2).exp())
    z = q.rsample((len(eps),))
    return (q.log_prob(z) - Normal(0, 1).log_prob(z)).sum(-1).mean(0)


def by_densities(mu, log_var, eps, small=0.0, joint=False):
    std = (log_var / 2).exp()
    z = mu + std * eps
    logs = (Normal(mu, std).log_prob(z), Normal(0.0, 1.0).log_prob(z))
    q, p = ((log.sum(2, keepdim=True) if joint else log).exp() + small for log in logs)
    return (q.log() - p.log()).sum(2).mean(0)


def scaling_the_noise(mu, log_var, eps):
    log_q = -0.5 * (eps**2 + log_var)
    z = eps.mul_((log_var / 2).exp()) + mu
    return (log_q + 0.5 * z**2).sum(2).mean(0)


SAMPLING_WRONG = [
    (lambda mu, v, eps: as_in_every_tutorial(mu, v), "closed_form"),
    (estimate(lambda r: r.sum(2).sum(0)), "sum_over_samples"),
    (estimate(lambda r: r.mean(2).mean(0)), "mean_over_code"),
    (estimate(lambda r: r.sum(0).mean(1)), "means_exchanged"),
    (estimate(lambda r: r.sum(-1)), "samples_left"),
    (estimate(lambda r: r.mean(0)), "code_left"),
    (estimate(lambda r: r.sum(2).mean(1)), "wrong_axis"),
    (estimate(lambda r: r.sum(0).mean(0)), "wrong_axis"),
    (estimate(lambda r: r.sum(1).mean(0)), "wrong_axis"),
    (estimate(lambda r: r.sum(2).mean()), "averaged_over_all"),
    (estimate(lambda r: r.mean()), "averaged_over_all"),
    (estimate(lambda r: r.sum(2)[0]), "first_sample"),
    (estimate(lambda r: -r.sum(2).mean(0)), "sign_flipped"),
    (estimate(lambda r: r.sum(2).exp().mean(0)), "no_logarithm"),
    (estimate(lambda r: r.sum(2).logsumexp(0) - math.log(len(r))), "log_of_mean"),
    (estimate(lambda r: r.sum(2).abs().mean(0)), "absolute"),
    (estimate(lambda r: ((-r.sum(2)).exp() - 1 + r.sum(2)).mean(0)), "other_estimator"),
    (estimate(lambda r: r.sum(2).mean(0) * math.log2(math.e)), "bits"),
    (ratios(lambda z, mu, v, eps: (z**2 - eps**2) / 2), "log_det_missing"),
    (ratios(lambda z, mu, v, eps: (z**2 - eps**2) / 2 - v), "log_half_missing"),
    (ratios(lambda z, mu, v, eps: (z**2 - eps**2 + v) / 2), "log_det_sign"),
    (ratios(lambda z, mu, v, eps: (z**2 - eps**2 - v) / 2 - half_log_2pi()), "constant_in_one"),
    (ratios(lambda z, mu, v, eps: (z**2 - eps**2 - v) / 2 + half_log_2pi()), "constant_in_one"),
    (ratios(lambda z, mu, v, eps: z**2 - eps**2 - v), "half_missing"),
    (estimate(at="eps"), "prior_at_noise"),
    (
        lambda mu, v, eps: (Normal(mu, (v / 2).exp()).log_prob(eps) + eps**2 / 2 + half_log_2pi()).sum(2).mean(0),
        "densities_at_noise",
    ),
    (
        lambda mu, v, eps: -(Normal(mu, (v / 2).exp()).log_prob(eps) + eps**2 / 2 + half_log_2pi()).sum(2).mean(0),
        "reversed",
    ),
    (ratios(lambda z, mu, v, eps: Normal(mu, (v / 2).exp()).log_prob(z)), "prior_missing"),
    (ratios(lambda z, mu, v, eps: z**2 / 2 + half_log_2pi()), "posterior_missing"),
    (lambda mu, v, eps: by_log_probs(0 * mu, v, eps), "prior_not_at_zero"),
    (ratios(lambda z, mu, v, eps: (z**2 - v) / 2), "square_missing"),
    (
        ratios(lambda z, mu, v, eps: Normal(mu, (v / 2).exp()).log_prob(z).exp() * (z**2 - eps**2 - v) / 2),
        "weighted_twice",
    ),
    (estimate(z_width=torch.exp), "variance_for_deviation"),
    (estimate(z_width=torch.exp, q_width=torch.exp), "variance_for_deviation"),
    (estimate(q_width=torch.exp), "density_width"),
    (estimate(q_width=lambda v: v, z_width=lambda v: v), "log_var_as_deviation"),
    (estimate(z_width=lambda v: 0), "no_noise"),
    (fresh_noise, "own_noise"),
    (lambda mu, v, eps: by_log_probs(mu, v, torch.randn_like(eps)), "own_noise"),
    (lambda mu, v, eps: by_log_probs(mu, v, eps.mean(0)[None]), "noise_averaged"),
    (scaling_the_noise, "changed_in_place"),
    (estimate(lambda r: r.sum(2).mean(0).clamp(min=0)), "negative_cut"),
    (estimate(lambda r: F.relu(r.sum(2)).mean(0)), "negative_cut"),
    (estimate(lambda r: F.relu(r).sum(2).mean(0)), "negative_cut"),
    (estimate(lambda r: r.sum(2).mean(0).abs()), "absolute"),
    (lambda mu, v, eps: by_densities(mu, v, eps), "underflow"),
    (lambda mu, v, eps: by_densities(mu, v, eps, joint=True), "underflow"),
    (lambda mu, v, eps: by_densities(mu, v, eps, small=1e-8), "underflow"),
    (estimate(lambda r: r.exp().log().sum(2).mean(0)), "underflow"),
    (lambda mu, v, eps: by_log_probs(mu, v.clamp(-10, 10), eps), "clamped"),
    (lambda mu, v, eps: by_log_probs(mu, v.clamp(-30, 20), eps), "clamped"),
    (estimate(lambda r: r.sum(2).mean(0).squeeze()), "squeezed"),
    (estimate(lambda r: r.sum(2).mean(0, keepdim=True)), "axis_kept"),
    (ratios(lambda z, mu, v, eps: z**2 / 2 - eps**2 - v), "half_in_one"),
    (ratios(lambda z, mu, v, eps: z**2 - eps**2 / 2 - v / 2), "half_in_one"),
    (ratios(lambda z, mu, v, eps: Normal(0, (v / 2).exp()).log_prob(z) - Normal(0, 1).log_prob(z)), "not_centred"),
]


# The distortion.


def by_normal(x, x_hat, sigma):
    return -Normal(x_hat, sigma).log_prob(x).sum(dim=(1, 2, 3))


def by_norm(x, x_hat, sigma):
    n = x.flatten(1).shape[1]
    square = (x - x_hat).flatten(1).norm(dim=1) ** 2
    return square / (2 * sigma**2) + n * math.log(sigma) + n / 2 * math.log(2 * math.pi)


def by_mse(x, x_hat, sigma):
    var = torch.tensor(sigma) ** 2
    per_pixel = F.mse_loss(x_hat, x, reduction="none") / var + torch.log(2 * torch.pi * var)
    return 0.5 * per_pixel.flatten(1).sum(1)


def by_double_normal(x, x_hat, sigma):
    q = Independent(Normal(x_hat.double(), torch.full_like(x_hat, sigma).double()), 3)
    return -q.log_prob(x.double())


def distortion(square=None, constants=None, finish=lambda pixels: pixels.sum((1, 2, 3))):
    """square((x - x_hat), sigma) and constants(sigma) of each pixel."""

    def answer(x, x_hat, sigma):
        first = (square or (lambda d, s: d**2 / (2 * s**2)))(x - x_hat, sigma)
        return finish(first + (constants or (lambda s: math.log(s) + half_log_2pi()))(sigma))

    return answer


def library_loss(x, x_hat, sigma):
    var = torch.full_like(x, sigma**2)
    return F.gaussian_nll_loss(x_hat, x, var, full=True, reduction="none").sum((1, 2, 3))


def constants_for_each_image(x, x_hat, sigma):
    return ((x - x_hat) ** 2).sum((1, 2, 3)) / (2 * sigma**2) + math.log(sigma) + half_log_2pi()


def with_constants_of(count, log=math.log):
    """The right scaled squared error, with constants for count(x) pixels."""

    def answer(x, x_hat, sigma):
        square = (x - x_hat).square().sum((1, 2, 3))
        return square / (2 * sigma**2) + count(x) * log(math.sqrt(2 * math.pi) * sigma)

    return answer


def with_errors(errors):
    """The right constants beside errors(pixels [batch, n], sigma)."""
    return lambda x, x_hat, sigma: (
        errors((x - x_hat).flatten(1), sigma) + x[0].numel() * math.log(math.sqrt(2 * math.pi) * sigma)
    )


def density_first(x, x_hat, sigma):
    density = torch.exp(-((x - x_hat) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))
    return -density.prod(3).prod(2).prod(1).log()


DISTORTION_WRONG = [
    (distortion(constants=lambda s: 0), "constants_missing"),
    (distortion(constants=math.log), "log_2pi_missing"),
    (distortion(constants=lambda s: half_log_2pi()), "log_sigma_missing"),
    (constants_for_each_image, "constants_once"),
    (distortion(constants=lambda s: math.log(s**2) + half_log_2pi()), "log_variance_whole"),
    (distortion(constants=lambda s: math.log(s) + math.log(2 * math.pi)), "log_2pi_whole"),
    (distortion(constants=lambda s: half_log_2pi() - math.log(s)), "log_sigma_sign"),
    (distortion(constants=lambda s: -half_log_2pi() - math.log(s)), "constants_sign"),
    (distortion(constants=lambda s: math.log(s) - half_log_2pi()), "log_2pi_sign"),
    (distortion(lambda d, s: (d / s) ** 2), "half_missing"),
    (distortion(lambda d, s: d**2 / (2 * s) ** 2), "half_doubled"),
    (distortion(lambda d, s: d**2 / (2 * s)), "sigma_not_squared"),
    (distortion(lambda d, s: d**2 / 2), "sigma_missing"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, 1.0), "sigma_missing"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma**0.5), "sigma_as_variance"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma**2), "variance_as_deviation"),
    (distortion(lambda d, s: d**2 / 2 * s**2), "multiplied"),
    (lambda x, x_hat, sigma: F.mse_loss(x_hat, x, reduction="none").sum((1, 2, 3)), "squared_error"),
    (lambda x, x_hat, sigma: F.mse_loss(x_hat, x), "mean_squared_error"),
    (distortion(lambda d, s: d.abs() / (2 * s)), "not_squared"),
    (distortion(finish=lambda pixels: pixels.mean((1, 2, 3))), "mean_over_pixels"),
    (
        lambda x, x_hat, s: (
            ((x - x_hat) ** 2).flatten(1).mean(1) / (2 * s**2) + x[0].numel() * math.log(s * math.sqrt(2 * math.pi))
        ),
        "mean_of_square_only",
    ),
    (distortion(finish=lambda pixels: pixels.sum()), "sum_over_batch"),
    (distortion(finish=lambda pixels: pixels.sum((1, 2, 3)).mean()), "mean_over_batch"),
    (distortion(finish=lambda pixels: pixels.mean()), "mean_over_all"),
    (distortion(finish=lambda pixels: pixels), "pixels_left"),
    (distortion(finish=lambda pixels: pixels.sum((-2, -1))), "channels_left"),
    (distortion(finish=lambda pixels: pixels[:, 0].flatten(1).sum(1)), "first_channel"),
    (distortion(finish=lambda pixels: pixels.sum((1, 2, 3), keepdim=True)), "axes_kept"),
    (lambda x, x_hat, sigma: Normal(x_hat, sigma).log_prob(x).sum((1, 2, 3)), "sign_flipped"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma) / math.log(2), "bits"),
    (library_loss, "variance_floored"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, math.sqrt(sigma**2 + 1e-8)), "variance_floored"),
    (density_first, "underflow"),
    (distortion(constants=lambda s: math.log(2 * math.pi * s**2)), "half_on_square_only"),
    (distortion(constants=lambda s: math.log(2 * math.pi * s) / 2), "sigma_as_variance_in_log"),
    (lambda x, x_hat, sigma: Normal(x_hat, sigma).log_prob(x).exp().sum((1, 2, 3)), "no_logarithm"),
    (lambda x, x_hat, sigma: F.mse_loss(x_hat, x, reduction="sum") / (2 * sigma**2), "squared_error"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat.detach(), sigma), "detached"),
    (lambda x, x_hat, sigma: torch.from_numpy(by_normal(x, x_hat, sigma).numpy()), "detached"),
    (lambda x, x_hat, sigma: by_norm(x.sub_(x_hat), torch.zeros_like(x), sigma), "changed_in_place"),
    (with_constants_of(lambda x: x.numel()), "constants_for_batch"),
    (with_constants_of(lambda x: x.shape[0]), "constants_once"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma) / len(x), "divided_by_batch"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma).abs(), "absolute"),
    (with_constants_of(lambda x: x.shape[-1] * x.shape[-2]), "constants_without_channels"),
    (with_constants_of(lambda x: x[0].numel(), math.log10), "other_logarithm"),
    (distortion(constants=lambda s: math.log2(s * math.sqrt(2 * math.pi))), "other_logarithm"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma).clamp(min=0), "negative_cut"),
    (distortion(finish=lambda pixels: F.relu(pixels).sum((1, 2, 3))), "negative_cut"),
    (lambda x, x_hat, sigma: by_normal(x, x_hat, sigma).squeeze(), "squeezed"),
    (distortion(finish=lambda pixels: pixels.sum(-1)), "wrong_axes"),
    (distortion(finish=lambda pixels: pixels.sum(0)), "wrong_axes"),
    (distortion(finish=lambda pixels: pixels.sum(1)), "wrong_axes"),
    (distortion(lambda d, s: d.abs() / (2 * s**2)), "not_squared"),
    (distortion(lambda d, s: d.abs() / s), "not_squared"),
    (distortion(lambda d, s: d / (2 * s**2)), "not_squared"),
    (distortion(lambda d, s: d**2 / (4 * s**2)), "half_doubled"),
    (with_errors(lambda d, s: d.norm(dim=1) / (2 * s**2)), "root_left"),
    (with_errors(lambda d, s: d.sum(1) ** 2 / (2 * s**2)), "squared_after_sum"),
    (with_errors(lambda d, s: d.square().sum() / (2 * s**2)), "sum_over_batch"),
    (with_errors(lambda d, s: d.square().mean() / (2 * s**2)), "mean_of_square_only"),
    (lambda x, x_hat, sigma: F.mse_loss(x_hat, x, reduction="sum"), "squared_error"),
]


# The real beta.


def by_factors(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    """As one would on paper: what stands before one image's squared error, and before its KL."""
    factors = {}
    for name, reduction, count in (("error", error_reduction, pixels), ("kl", kl_reduction, code)):
        if reduction == "sum":
            factors[name] = batch
        elif reduction == "mean":
            factors[name] = 1 / count
        else:
            raise ValueError(reduction)
    per_nat = factors["error"] * 2 * sigma * sigma
    return kl_weight * factors["kl"] / per_nat


def by_autograd_beta(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    """The program itself: the gradient of its loss by one error and by one KL."""
    if {error_reduction, kl_reduction} - {"sum", "mean"}:
        raise ValueError("sum or mean")
    error = torch.ones(batch, pixels, dtype=torch.float64, requires_grad=True)
    kl = torch.ones(batch, code, dtype=torch.float64, requires_grad=True)
    loss = getattr(error, error_reduction)() + kl_weight * getattr(kl, kl_reduction)()
    of_error, of_kl = torch.autograd.grad(loss, (error, kl))
    return (of_kl[0, 0] / (of_error[0, 0] * 2 * sigma**2)).item()


def beta_by_table(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    table = {
        ("sum", "sum"): 1,
        ("mean", "mean"): pixels / code,
        ("mean", "sum"): batch * pixels,
        ("sum", "mean"): 1 / (batch * code),
    }
    if (error_reduction, kl_reduction) not in table:
        raise ValueError("no such reductions")
    return kl_weight * table[error_reduction, kl_reduction] / 2 / sigma**2


def beta_by_keys(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    of_errors = {"sum": 1, "mean": batch * pixels}[error_reduction]
    of_kls = {"sum": 1, "mean": batch * code}[kl_reduction]
    return kl_weight * of_errors / of_kls / (2 * sigma**2)


def beta_by_branches(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    if error_reduction == "sum":
        of_errors = 1
    elif error_reduction == "mean":
        of_errors = batch * pixels
    if kl_reduction == "sum":
        of_kls = 1
    elif kl_reduction == "mean":
        of_kls = batch * code
    return kl_weight * of_errors / of_kls / (2 * sigma**2)


def asserting(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    assert error_reduction in ("sum", "mean") and kl_reduction in ("sum", "mean")
    return by_factors(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code)


def beta(pixels_factor=None, code_factor=None, scale=None, check=True):
    """kl_weight times a factor for a mean over errors, times one for a mean over KLs, divided by a scale."""

    def answer(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
        if check and not {error_reduction, kl_reduction} <= {"sum", "mean"}:
            raise ValueError("sum or mean")
        value = kl_weight / (scale or (lambda s: 2 * s**2))(sigma)
        if error_reduction == "mean":
            value *= (pixels_factor or (lambda b, n: b * n))(batch, pixels)
        if kl_reduction == "mean":
            value *= (code_factor or (lambda b, n: 1 / (b * n)))(batch, code)
        return value

    return answer


def swapped(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    if error_reduction not in ("sum", "mean") or kl_reduction not in ("sum", "mean"):
        raise ValueError
    of_errors = 1 / (batch * pixels) if error_reduction == "sum" else 1
    of_kls = 1 / (batch * code) if kl_reduction == "sum" else 1
    return kl_weight * of_kls / of_errors / (2 * sigma**2)


def every_time_the_batch(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    if error_reduction not in ("sum", "mean") or kl_reduction not in ("sum", "mean"):
        raise ValueError
    value = kl_weight / (2 * sigma**2) * batch
    value = value * pixels if error_reduction == "mean" else value
    return value / code if kl_reduction == "mean" else value


BETA_WRONG = [
    (beta(scale=lambda s: s**2), "half_missing"),
    (beta(scale=lambda s: s**2 / 2), "half_on_wrong_side"),
    (beta(scale=lambda s: 2 * s), "sigma_not_squared"),
    (beta(scale=lambda s: 2), "sigma_missing"),
    (beta(scale=lambda s: 1), "sigma_missing"),
    (beta(scale=lambda s: 1 / (2 * s**2)), "multiplied_by_variance"),
    (beta(scale=lambda s: 2 / s**2), "multiplied_by_variance"),
    (beta(lambda b, n: n, lambda b, n: 1 / n), "batch_ignored"),
    (every_time_the_batch, "batch_always_counted"),
    (beta(code_factor=lambda b, n: 1 / n), "batch_in_errors_only"),
    (beta(pixels_factor=lambda b, n: n), "batch_in_kl_only"),
    (beta(pixels_factor=lambda b, n: b), "pixels_ignored"),
    (beta(code_factor=lambda b, n: 1 / b), "code_ignored"),
    (beta(lambda b, n: 1, lambda b, n: 1), "means_ignored"),
    (beta(pixels_factor=lambda b, n: 1 / (b * n)), "pixels_inverted"),
    (beta(code_factor=lambda b, n: b * n), "code_inverted"),
    (beta(lambda b, n: 1 / (b * n), lambda b, n: b * n), "means_inverted"),
    (swapped, "sum_and_mean_exchanged"),
    (lambda *given: 1 / by_factors(*given), "inverse"),
    (lambda w, *rest: by_factors(1 / w, *rest), "weight_inverted"),
    (lambda w, *rest: by_factors(1, *rest), "weight_missing"),
    (lambda w, s, e, k, *sizes: by_factors(w, 0.5**0.5, e, k, 1, 1, 1), "weight_itself"),
    (beta(check=False), "unknown_accepted"),
    (beta(scale=lambda s: 2 * s**4), "sigma_squared_twice"),
    (lambda w, s, e, k, b, n, c: beta()(w, s, k, e, b, n, c), "roles_exchanged"),
    (lambda w, s, e, k, b, n, c: beta()(w, s, e, k, b, c, n), "counts_exchanged"),
    (lambda w, s, e, k, b, n, c: beta()(w, s, e, k, 1, 1, 1) * n / c, "always_means"),
    (beta(lambda b, n: 1 / n, lambda b, n: 1 / n), "pixels_inverted"),
    (beta(lambda b, n: b, lambda b, n: 1 / b), "mean_over_batch_only"),
    (beta(lambda b, n: n / b, lambda b, n: b / n), "batch_inverted"),
    (beta(code_factor=lambda b, n: n / b), "code_inverted"),
    (beta(lambda b, n: n, lambda b, n: n), "code_inverted"),
    (beta(lambda b, n: n, lambda b, n: 1), "kl_mean_ignored"),
    (beta(code_factor=lambda b, n: 1), "kl_mean_ignored"),
    (beta(pixels_factor=lambda b, n: 1), "error_mean_ignored"),
    (beta(lambda b, n: 1, lambda b, n: 1 / n), "error_mean_ignored"),
    (beta(scale=lambda s: (2 * s) ** 2), "two_squared"),
    (beta(scale=lambda s: 2 * math.pi * s**2), "constant_in_scale"),
    (beta_by_keys, "other_exception"),
    (beta_by_branches, "other_exception"),
    (asserting, "other_exception"),
]


RIGHT = {
    "03.reparameterise": [with_std, by_root, by_addcmul, number_by_number],
    "03.score_gradient": [by_formula, by_standard_numbers, by_autograd, sample_by_sample],
    "03.kl_to_prior": [as_in_every_tutorial, by_expm1, by_sigma, image_by_image],
    "03.kl_by_sampling": [by_log_probs, with_constants_cancelled, one_sample_at_a_time],
    "03.gaussian_distortion": [by_normal, by_norm, by_mse, by_double_normal],
    "03.implied_beta": [by_factors, by_autograd_beta, beta_by_table, beta()],
}
WRONG = {
    "03.reparameterise": REPARAMETERISE_WRONG,
    "03.score_gradient": SCORE_WRONG,
    "03.kl_to_prior": KL_WRONG,
    "03.kl_by_sampling": SAMPLING_WRONG,
    "03.gaussian_distortion": DISTORTION_WRONG,
    "03.implied_beta": BETA_WRONG,
}

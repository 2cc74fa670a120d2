"""Two Gaussians in the plane, equally hard to model; one of them asks for a code, and the other does not.

Both have standard deviations 5 and 1 along their axes, so an entropy of log(2 pi e) + log 5 = 4.4473 nats. The decoder
has independent coordinates, N(W z + b, diag(d)). On the axis-aligned one it needs no z, and collapse costs nothing.
"""

import math

import torch

from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld


def gaussian_pair(angle: float) -> Gaussian:
    """N(0, R diag(25, 1) R'), R the rotation by `angle`: 0 is axis-aligned, pi/4 the rotated one of the pair."""
    R = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    return Gaussian(torch.zeros(2, dtype=torch.float64), R @ torch.diag(torch.tensor([25.0, 1.0])).to(R) @ R.T)


def factor_model(data: Gaussian, share: float) -> LinearGaussianWorld:
    """A model with one latent number and independent coordinates that equals `data`: S = w w' + diag(d).

    w_1 w_2 must be the covariance rho s_1 s_2; `share` divides it: w_1 = s_1 |rho|^share, w_2 = s_2 |rho|^(1 - share),
    with the sign of rho. Any share in [0, 1] gives -ELBO = entropy; they differ in the rate, least at 1/2.
    Raises ValueError for a share outside, which would need a negative variance.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}: otherwise a variance of p(x|z) is negative")
    s, rho = data.cov.diagonal().sqrt(), _correlation(data)
    w = torch.stack([s[0] * rho.abs() ** share, s[1] * rho.abs() ** (1 - share) * rho.sign()])
    return LinearGaussianWorld(Channel(w[:, None], data.mean, torch.diag(s**2 - w**2)))


def strong_model(data: Gaussian, told: float) -> LinearGaussianWorld:
    """A model that equals `data` whatever share `told` of the code's reach it uses: p(x|z) has a full covariance.

    W = told w with w that of `factor_model`, and cov = S - W W'. At 0 the code is empty; at 1 p(x|z) is diagonal.
    """
    W = told * factor_model(data, 0.5).decoder.A
    return LinearGaussianWorld(Channel(W, data.mean, data.cov - W @ W.T))


def collapsed_model(data: Gaussian) -> LinearGaussianWorld:
    """The best model that leaves z unused, N(m, diag S): above the entropy by -1/2 log(1 - rho^2), the correlation."""
    return LinearGaussianWorld(Channel(torch.zeros(2, 1).to(data.cov), data.mean, torch.diag(data.cov.diagonal())))


def least_rate(data: Gaussian) -> float:
    """1/2 log((1 + |rho|) / (1 - |rho|)) nats: what z must tell before the coordinates are independent given z.

    The least I(x;z) of the exact linear-Gaussian models. The question is that of Wyner (1975), "The common
    information of two dependent random variables", IEEE Trans. Inf. Theory 21(2).
    """
    return math.atanh(float(_correlation(data).abs()))


def _correlation(data: Gaussian) -> torch.Tensor:
    s = data.cov.diagonal().sqrt()
    return data.cov[0, 1] / (s[0] * s[1])

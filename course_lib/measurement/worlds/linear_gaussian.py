"""The linear-Gaussian world, probabilistic PCA: a VAE whose every term has a closed form.

Source: Tipping and Bishop (1999), J. R. Statist. Soc. B 61(3); Lucas et al. (2019), arXiv 1911.02469.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import normal
from course_lib.measurement.worlds.account import Account


@dataclass(frozen=True)
class Gaussian:
    """N(mean, cov), with the whole covariance. Raises ValueError for one with a negative eigenvalue."""

    mean: Float[Tensor, " d"]
    cov: Float[Tensor, "d d"]

    def __post_init__(self):
        eigenvalues = torch.linalg.eigvalsh(self.cov)
        if eigenvalues[0] < -1e-6 * eigenvalues.abs().max():
            raise ValueError(f"a covariance has no negative eigenvalue, got {float(eigenvalues[0]):.3g}")

    @classmethod
    def standard(cls, d: int) -> "Gaussian":
        """N(0, I) in d dimensions."""
        return cls(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64))

    def log_prob(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """-1/2 (d log 2 pi + log det cov + (x - mean)' cov^-1 (x - mean))."""
        off = x - self.mean
        square = (off * torch.linalg.solve(self.cov, off.T).T).sum(1)
        return -0.5 * (self.cov.logdet() + square + len(self.mean) * math.log(2 * math.pi))

    def entropy(self) -> Float[Tensor, ""]:
        """1/2 (d log 2 pi e + log det cov), in nats."""
        return 0.5 * (self.cov.logdet() + len(self.mean) * math.log(2 * math.pi * math.e))

    def cross_entropy(self, other: "Gaussian") -> Float[Tensor, ""]:
        """-E_self log other(x) = -log other(mean) + 1/2 tr(other.cov^-1 cov), in nats."""
        return -other.log_prob(self.mean[None])[0] + 0.5 * torch.linalg.solve(other.cov, self.cov).trace()

    def kl(self, other: "Gaussian") -> Float[Tensor, ""]:
        """KL(self, other) = cross-entropy - entropy, in nats."""
        return self.cross_entropy(other) - self.entropy()

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "count d"]:
        """mean + L e, with L L' = cov and e ~ N(0, I)."""
        e = normal((count, len(self.mean)), generator, like=self.mean)
        return self.mean + e @ torch.linalg.cholesky(self.cov).T


@dataclass(frozen=True)
class Channel:
    """y | x ~ N(A x + b, cov): a linear decoder p(x|z) or a linear encoder q(z|x)."""

    A: Float[Tensor, "out into"]
    b: Float[Tensor, " out"]
    cov: Float[Tensor, "out out"]

    def at(self, x: Float[Tensor, " into"]) -> Gaussian:
        """The distribution of y for one x."""
        return Gaussian(self.A @ x + self.b, self.cov)

    def output(self, source: Gaussian) -> Gaussian:
        """N(A m + b, A S A' + cov), the distribution of y when x ~ N(m, S): for an encoder the aggregate q(z)."""
        return Gaussian(self.A @ source.mean + self.b, self.A @ source.cov @ self.A.T + self.cov)

    def information(self, source: Gaussian) -> Float[Tensor, ""]:
        """I(x;y) = H(y) - H(y|x) = 1/2 log det(A S A' + cov) - 1/2 log det cov, in nats."""
        return 0.5 * (self.output(source).cov.logdet() - self.cov.logdet())

    def reverse(self, source: Gaussian) -> "Channel":
        """x | y for x ~ N(m, S): K = S A' (A S A' + cov)^-1, mean m + K (y - A m - b), covariance S - K A S.

        Source: Bishop (2006), Pattern Recognition and Machine Learning, section 2.3.3.
        """
        out = self.output(source)
        K = torch.linalg.solve(out.cov, self.A @ source.cov).T
        return Channel(K, source.mean - K @ out.mean, source.cov - K @ self.A @ source.cov)

    def mean_cross_entropy(self, other: "Channel", source: Gaussian) -> Float[Tensor, ""]:
        """-E log other(y|x) with x ~ source and y from this channel, in nats: the mean difference is linear in x."""
        difference = Channel(self.A - other.A, self.b - other.b, self.cov).output(source)
        return difference.cross_entropy(Gaussian(torch.zeros_like(other.b), other.cov))

    def mean_kl(self, other: "Channel", source: Gaussian) -> Float[Tensor, ""]:
        """E_x KL(this channel's y|x, other's y|x), in nats."""
        return self.mean_cross_entropy(other, source) - self.at(source.mean).entropy()


@dataclass(frozen=True)
class LinearGaussianWorld:
    """z ~ N(0, I), x|z ~ `decoder`, for pPCA N(W z + b, sigma^2 I). An encoder is q(z|x) = N(V x + c, D)."""

    decoder: Channel

    @property
    def prior(self) -> Gaussian:
        """p(z) = N(0, I)."""
        return Gaussian.standard(self.decoder.A.shape[1])

    def marginal(self) -> Gaussian:
        """p(x) = N(b, W W' + sigma^2 I)."""
        return self.decoder.output(self.prior)

    def posterior(self) -> Channel:
        """p(z|x) = N(M^-1 W' (x - b), sigma^2 M^-1), M = W' W + sigma^2 I: diagonal if W's columns are orthogonal."""
        return self.decoder.reverse(self.prior)

    def elbo(self, q: Channel, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, " batch"]:
        """E_q log p(x|z) - KL(q(z|x), N(0, I)), for each x, in nats. With z the mean of q(z|x), and D its covariance:

        log N(x; W z + b, cov) - 1/2 tr(cov^-1 W D W') - 1/2 (|z|^2 + tr D - log det D - dim z).
        """
        W, D, z = self.decoder.A, q.cov, x @ q.A.T + q.b
        missed = Gaussian(self.decoder.b, self.decoder.cov).log_prob(x - z @ W.T)
        spread = torch.linalg.solve(self.decoder.cov, W @ D @ W.T).trace()
        return missed - 0.5 * (spread + (z**2).sum(1) + D.trace() - D.logdet() - len(D))

    def account(self, q: Channel, data: Gaussian) -> Account:
        """All terms, averaged over the data N(m, S); `self.marginal()` is the model's own data."""
        unused = Channel(torch.zeros_like(q.A), torch.zeros_like(q.b), self.prior.cov)
        terms = {
            "nll": data.cross_entropy(self.marginal()),
            "distortion": self._distortion(q, data),
            "rate": q.mean_kl(unused, data),
            "information": q.information(data),
            "aggregate_gap": q.output(data).kl(self.prior),
            "posterior_gap": q.mean_kl(self.posterior(), data),
        }
        return Account(**{name: float(value) for name, value in terms.items()})

    def _distortion(self, q: Channel, data: Gaussian) -> Float[Tensor, ""]:
        """-E log p(x|z): x - W z - b is Gaussian, of mean (I - W V) m - W c - b and covariance
        (I - W V) S (I - W V)' + W D W'.
        """
        W, b = self.decoder.A, self.decoder.b
        left = Channel(torch.eye(len(b)).to(b) - W @ q.A, -W @ q.b - b, W @ q.cov @ W.T)
        return left.output(data).cross_entropy(Gaussian(torch.zeros_like(b), self.decoder.cov))


def ppca(data: Gaussian, code_size: int, variance: float) -> LinearGaussianWorld:
    """The likeliest W and b for data N(m, S) when sigma^2 = `variance` is fixed: W = U (L - sigma^2 I)^1/2, b = m.

    U and L hold the leading eigenvectors and eigenvalues of S. An eigenvalue below sigma^2 gets no column, so the
    active dimensions number min(code_size, eigenvalues above sigma^2). Source: Tipping and Bishop (1999), equation 7.
    Raises ValueError for a variance that is not positive, or a code longer than x.
    """
    if not (variance > 0 and code_size <= len(data.mean)):
        raise ValueError(
            f"pPCA needs a positive variance and at most {len(data.mean)} numbers in its code, "
            f"got a variance of {variance:g} and {code_size}"
        )
    eigenvalues, vectors = torch.linalg.eigh(data.cov)
    L, U = eigenvalues.flip(0)[:code_size], vectors.flip(1)[:, :code_size]
    W = U * (L - variance).clamp(min=0).sqrt()
    return LinearGaussianWorld(Channel(W, data.mean, variance * torch.eye(len(data.mean)).to(W)))


def active_dimensions(world: LinearGaussianWorld, least: float = 0.05) -> int:
    """How many directions of z move x: those whose variance in x is more than `least` times the decoder's own.

    Counted by the eigenvalues of W' cov^-1 W, so that turning z changes nothing.
    """
    W, cov = world.decoder.A, world.decoder.cov
    return int((torch.linalg.eigvalsh(W.T @ torch.linalg.solve(cov, W)) > least).sum())

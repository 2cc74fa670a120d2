"""A latent variable model made of tables: everything a VAE approximates, by summing."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.worlds.account import Account


def mean_log(p: Float[Tensor, "... codes"], log_f: Float[Tensor, "... codes"]) -> Float[Tensor, "..."]:
    """sum_z p(z) log f(z), where what has probability 0 counts 0."""
    return torch.where(p > 0, p * log_f, 0.0).sum(-1)


def kl(p: Float[Tensor, "... codes"], log_f: Float[Tensor, "... codes"]) -> Float[Tensor, "..."]:
    """KL(p, f) = sum_z p(z) (log p(z) - log f(z)), in nats."""
    return mean_log(p, p.log() - log_f)


def require_probabilities(p: Float[Tensor, "... outcomes"], what: str) -> None:
    """Raises ValueError, naming `what`, unless the last dimension of `p` holds probabilities that sum to 1."""
    total = p.sum(-1)
    if not ((p >= 0).all() and torch.allclose(total, torch.ones_like(total))):
        raise ValueError(f"{what} must be probabilities that sum to 1: divide them by their sum")


@dataclass(frozen=True)
class DiscreteWorld:
    """p(z) and p(x|z) as tables of logarithms; q(z|x) is given as a table [states, codes] of probabilities.

    The states may be some of all x: those that the data hold. Then only they are accounted for.
    """

    log_prior: Float[Tensor, " codes"]
    log_likelihood: Float[Tensor, "codes states"]

    @classmethod
    def from_tables(cls, prior: Float[Tensor, " codes"], likelihood: Float[Tensor, "codes states"]) -> "DiscreteWorld":
        """The world of p(z) and p(x|z) for all x. Raises ValueError where a distribution does not sum to 1."""
        require_probabilities(prior, "p(z)")
        require_probabilities(likelihood, "each row p(. | z) of the likelihood")
        return cls(prior.log(), likelihood.log())

    def log_joint(self) -> Float[Tensor, "states codes"]:
        """log p(z) + log p(x|z)."""
        return self.log_prior + self.log_likelihood.T

    def log_prob(self) -> Float[Tensor, " states"]:
        """log p(x) = log sum_z p(z) p(x|z)."""
        return self.log_joint().logsumexp(1)

    def log_posterior(self) -> Float[Tensor, "states codes"]:
        """log p(z|x) = log p(z) + log p(x|z) - log p(x)."""
        return self.log_joint() - self.log_prob()[:, None]

    def distortion(self, q: Float[Tensor, "states codes"]) -> Float[Tensor, " states"]:
        """-sum_z q(z|x) log p(x|z), for each x."""
        return -mean_log(q, self.log_likelihood.T)

    def rate(self, q: Float[Tensor, "states codes"]) -> Float[Tensor, " states"]:
        """KL(q(z|x), p(z)), for each x."""
        return kl(q, self.log_prior)

    def elbo(self, q: Float[Tensor, "states codes"]) -> Float[Tensor, " states"]:
        """sum_z q(z|x) (log p(z) + log p(x|z) - log q(z|x)) <= log p(x), for each x."""
        return -kl(q, self.log_joint())

    def aggregate(self, q: Float[Tensor, "states codes"], data: Float[Tensor, " states"]) -> Float[Tensor, " codes"]:
        """q(z) = sum_x data(x) q(z|x).

        With q the posterior and data the model's own p(x) this is the prior; with other data it need not be.
        """
        return data @ q

    def account(self, q: Float[Tensor, "states codes"], data: Float[Tensor, " states"]) -> Account:
        """All terms, averaged over `data`. Raises ValueError where it, or a row of q, is no distribution."""
        require_probabilities(q, "each row of q(z|x)")
        require_probabilities(data, "the data, a distribution over the states,")
        q_z = self.aggregate(q, data)
        per_state = {
            "nll": -self.log_prob(),
            "distortion": self.distortion(q),
            "rate": self.rate(q),
            "information": kl(q, q_z.log()),
            "posterior_gap": kl(q, self.log_posterior()),
        }
        means = {name: float(mean_log(data, values)) for name, values in per_state.items()}
        return Account(aggregate_gap=float(kl(q_z, self.log_prior)), **means)

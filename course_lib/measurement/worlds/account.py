"""The terms of a solved model, side by side."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """Averages over the data, in nats per image, each computed from its own definition.

    nll = -E log p(x); distortion = -E log p(x|z) and rate = E KL(q(z|x), p(z)) under q; information = I(x;z) under q;
    aggregate_gap = KL(q(z), p(z)) with q(z) = E_data q(z|x); posterior_gap = E KL(q(z|x), p(z|x)).
    Two identities bind them: distortion + rate = nll + posterior_gap, and rate = information + aggregate_gap.
    Source: Kingma and Welling (2014), arXiv 1312.6114, equation 1; Hoffman and Johnson (2016), "ELBO surgery".
    """

    nll: float
    distortion: float
    rate: float
    information: float
    aggregate_gap: float
    posterior_gap: float

    @property
    def loss(self) -> float:
        """-ELBO = distortion + rate, in nats per image."""
        return self.distortion + self.rate

    def __str__(self) -> str:
        return (
            f"-ELBO {self.loss:.4f} = distortion {self.distortion:.4f} + rate {self.rate:.4f}\n"
            f"-ELBO {self.loss:.4f} = nll {self.nll:.4f} + posterior gap {self.posterior_gap:.4f}\n"
            f"rate {self.rate:.4f} = information {self.information:.4f} + aggregate gap {self.aggregate_gap:.4f}"
        )

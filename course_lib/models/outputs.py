"""What a pixel may be: the distribution of one value, given the numbers that the network puts out for it."""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Output(Protocol):
    """The distribution of a pixel's value, told by `size` numbers for each pixel and colour.

    A network puts out [batch, colours * size, height, width], grouped by colour: first all numbers of red.
    Each colour has a distribution of its own; that green depends on red is the network's doing, by its colour masks.
    """

    size: int

    def check(self, x: Float[Tensor, "batch colours height width"]) -> None:
        """Raises ValueError, saying what to do, for values that cannot occur."""

    def log_prob(
        self,
        numbers: Float[Tensor, "batch colours_times_size height width"],
        x: Float[Tensor, "batch colours height width"],
    ) -> Float[Tensor, "batch colours height width"]:
        """log p(x_i) in nats, for each pixel and colour."""

    def draw(self, numbers: Float[Tensor, "count size"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """The value whose place in the cumulative distribution is u, for one pixel and colour of each image."""


class Bernoulli:
    """Black or white, 1 or 0: p(x_i = 1) = sigmoid(logit). One number, the logit."""

    size = 1

    def check(self, x: Float[Tensor, "batch colours height width"]) -> None:
        """Raises ValueError for values other than 0 and 1."""
        if not ((x == 0) | (x == 1)).all():
            raise ValueError("pixels must be 0 or 1: binarise grey images first, with course_lib.data.binarise")

    def log_prob(
        self, numbers: Float[Tensor, "batch colours height width"], x: Float[Tensor, "batch colours height width"]
    ) -> Float[Tensor, "batch colours height width"]:
        """log p(x_i) = x_i log sigmoid(logit) + (1 - x_i) log sigmoid(-logit), in nats."""
        return -F.binary_cross_entropy_with_logits(numbers, x, reduction="none")

    def draw(self, numbers: Float[Tensor, "count 1"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """1 where u < sigmoid(logit), else 0."""
        return (u < torch.sigmoid(numbers[:, 0])).to(numbers)


class _Levels:
    """Values l / (levels - 1) for l = 0 .. levels - 1."""

    def __init__(self, levels: int):
        if levels < 2:
            raise ValueError(f"a pixel needs at least two levels to choose from, got {levels}")
        self.levels = levels

    def check(self, x: Float[Tensor, "batch colours height width"]) -> None:
        """Raises ValueError for values that are not l / (levels - 1), rounding of floats aside."""
        top = self.levels - 1
        off = (x * top - (x * top).round().clamp(0, top)).abs()
        if not (off < 0.01).all():
            raise ValueError(
                f"pixels must be on one of {self.levels} levels, l / {top} with l = 0 to {top}: divide whole numbers "
                f"by {top}, or bring grey levels in [0, 1] there with (x * {top}).round() / {top}"
            )

    def level_of(self, x: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """l of the value l / (levels - 1)."""
        return (x * (self.levels - 1)).round().long()

    def _value_at(
        self, u: Float[Tensor, " count"], cdf: Float[Tensor, "count edges"], like: Tensor
    ) -> Float[Tensor, " count"]:
        """The first level whose cumulative probability exceeds u, as a value."""
        level = torch.searchsorted(cdf, u.to(cdf)[:, None], right=True)[:, 0]
        return level.to(like) / (self.levels - 1)


class Categorical(_Levels):
    """p(x_i = l / (levels - 1)) = softmax(numbers)_l: no notion that 17 is close to 18. One number for each level.

    Source: van den Oord, Kalchbrenner and Kavukcuoglu (2016), arXiv 1601.06759, section 2.2.
    Raises ValueError for fewer than two levels.
    """

    def __init__(self, levels: int = 256):
        super().__init__(levels)
        self.size = levels

    def log_prob(
        self,
        numbers: Float[Tensor, "batch colours_times_size height width"],
        x: Float[Tensor, "batch colours height width"],
    ) -> Float[Tensor, "batch colours height width"]:
        """log p(x_i) = numbers_l - log sum_k exp(numbers_k), in nats, with l the level of x_i."""
        log_p = F.log_softmax(numbers.unflatten(1, (-1, self.size)), dim=2)
        return log_p.gather(2, self.level_of(x).unsqueeze(2)).squeeze(2)

    def draw(self, numbers: Float[Tensor, "count size"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """The first level l with u < p(0) + ... + p(l), as the value l / (levels - 1)."""
        cdf = F.softmax(numbers.double(), dim=1).cumsum(1)
        # Rounding leaves the total beside 1; scaled by it, u never falls behind the last possible level.
        return self._value_at(u.double() * cdf[:, -1], cdf, numbers)


class LogisticMixture(_Levels):
    """p(l) = sum_k w_k (sigmoid((e_l - mu_k) / s_k) - sigmoid((e_{l-1} - mu_k) / s_k)): close levels, close values.

    On the scale from -1 to 1 a level is 2 l / (levels - 1) - 1, and its bin reaches half the distance to its
    neighbours: e_l = (2 l + 1) / (levels - 1) - 1, except that the outer bins reach to -inf and +inf. Numbers, for
    each colour: all logits of w, all mu, all log s. log s is held within -7 and 7 (no gradient beyond).
    Each colour has a mixture of its own; dependence between colours comes from the network's colour masks alone,
    whereas the source shifts the means of green and blue by the values already drawn.
    Source: Salimans, Karpathy, Chen and Kingma (2017), arXiv 1701.05517, equation 2.
    Raises ValueError for fewer than two levels or no component.
    """

    def __init__(self, components: int = 5, levels: int = 256):
        super().__init__(levels)
        if components < 1:
            raise ValueError(f"a mixture needs at least one component, got {components}")
        self.components, self.size = components, 3 * components

    def log_prob(
        self,
        numbers: Float[Tensor, "batch colours_times_size height width"],
        x: Float[Tensor, "batch colours height width"],
    ) -> Float[Tensor, "batch colours height width"]:
        """log p(x_i) = log sum_k w_k p_k(l), in nats, with l the level of x_i."""
        log_w, mu, log_s = self._parameters(numbers.unflatten(1, (-1, self.size)), dim=2)
        return (log_w + self._log_bin(self.level_of(x).unsqueeze(2), mu, log_s)).logsumexp(2)

    def draw(self, numbers: Float[Tensor, "count size"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """The first level l with u < p(0) + ... + p(l), as the value l / (levels - 1)."""
        log_w, mu, log_s = self._parameters(numbers.double(), dim=1)
        levels = torch.arange(self.levels - 1, device=numbers.device)
        below = torch.sigmoid((self._edge_above(levels, mu) - mu[..., None]) / log_s[..., None].exp())
        return self._value_at(u, (log_w[..., None].exp() * below).sum(1), numbers)

    def _parameters(self, numbers: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        logits, mu, log_s = numbers.unflatten(dim, (3, self.components)).unbind(dim)
        return F.log_softmax(logits, dim), mu, log_s.clamp(-7, 7)

    def _edge_above(self, level: Int[Tensor, "*shape"], like: Tensor) -> Float[Tensor, "*shape"]:
        return (2 * level + 1).to(like) / (self.levels - 1) - 1

    def _log_bin(self, level: Int[Tensor, "*shape"], mu: Tensor, log_s: Tensor) -> Float[Tensor, "*shape"]:
        """log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)): nothing cancels."""
        lowest, highest = level == 0, level == self.levels - 1
        b = (self._edge_above(level, mu) - mu) / log_s.exp()
        a = (self._edge_above(level - 1, mu) - mu) / log_s.exp()
        # b - a = 2 / ((levels - 1) s) exactly; the difference of the two floats would lose digits.
        width = torch.log(-torch.expm1(-2 / (self.levels - 1) / log_s.exp())).masked_fill(lowest | highest, 0)
        return F.logsigmoid(b).masked_fill(highest, 0) + F.logsigmoid(-a).masked_fill(lowest, 0) + width


class Gaussian:
    """x_i ~ N(mu, sigma^2), any real number. Numbers: mu, and log sigma^2 of each pixel where sigma is None.

    log p is a density: it is positive where sigma is small, and a learnt sigma can make it as large as it likes on
    data that are predicted exactly. Source: Kingma and Welling (2014), arXiv 1312.6114, appendix C.2.
    Raises ValueError for a sigma that is not positive.
    """

    def __init__(self, sigma: float | None = None):
        if sigma is not None and not sigma > 0:
            raise ValueError(f"sigma is a standard deviation and must be positive (or None: learnt), got {sigma}")
        self.sigma, self.size = sigma, 2 if sigma is None else 1

    def check(self, x: Float[Tensor, "batch colours height width"]) -> None:
        """Raises ValueError for values that are infinite or not a number."""
        if not x.isfinite().all():
            raise ValueError("pixels must be finite numbers: look for a division by zero where the images were made")

    def log_prob(
        self,
        numbers: Float[Tensor, "batch colours_times_size height width"],
        x: Float[Tensor, "batch colours height width"],
    ) -> Float[Tensor, "batch colours height width"]:
        """log N(x_i; mu, sigma^2) = -1/2 ((x_i - mu)^2 / sigma^2 + log sigma^2 + log 2 pi), in nats."""
        mu, log_var = self._parameters(numbers.unflatten(1, (-1, self.size)), dim=2)
        return -0.5 * ((x - mu) ** 2 * (-log_var).exp() + log_var + math.log(2 * math.pi))

    def draw(self, numbers: Float[Tensor, "count size"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """mu + sigma Phi^-1(u), with Phi the cumulative distribution of N(0, 1)."""
        mu, log_var = self._parameters(numbers, dim=1)
        # u comes in steps of eps / 2 and may be 0, whose place is at minus infinity.
        u = u.clamp(min=torch.finfo(u.dtype).eps / 4)
        return mu + (log_var / 2).exp() * torch.special.ndtri(u)

    def _parameters(self, numbers: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        if self.sigma is None:
            return numbers.unbind(dim)
        mu = numbers.squeeze(dim)
        return mu, torch.full_like(mu, 2 * math.log(self.sigma))

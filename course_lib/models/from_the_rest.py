"""Every pixel predicted from all the others: conditionals that make no model of pictures."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FromTheRest(nn.Module):
    """One logistic regression a pixel, on all other pixels: a linear layer whose diagonal is held at zero.

    logit p(x_i = 1 | all others) = sum_{j != i} W_ij (2 x_j - 1) + b_i, for binary images of `pixels` pixels.
    """

    def __init__(self, pixels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(pixels, pixels)), nn.Parameter(torch.zeros(pixels))

    def forward(self, x: Float[Tensor, "batch colours height width"]) -> Float[Tensor, "batch pixels"]:
        """The logit of each pixel."""
        return F.linear(2 * x.flatten(1) - 1, self.weight - torch.diag(self.weight.diag()), self.bias)


def pseudo_nll(model: FromTheRest, x: Float[Tensor, "batch colours height width"]) -> Float[Tensor, " batch"]:
    """-sum_i log p(x_i | all others), in nats per image: it looks like a likelihood and is none.

    Source: Besag (1975), The Statistician 24(3).
    """
    return F.binary_cross_entropy_with_logits(model(x), x.flatten(1), reduction="none").sum(1)


def predict_from_the_rest(x: Float[Tensor, "n colours height width"], penalty: float) -> FromTheRest:
    """The regressions that minimise mean pseudo_nll + penalty |W|^2 on binary images: convex, so nothing is drawn."""
    model = FromTheRest(x[0].numel())
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = pseudo_nll(model, x).mean() + penalty * model.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return model

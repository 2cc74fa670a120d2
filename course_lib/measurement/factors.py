"""What codes tell of the factors that glyphs were drawn from, and in which of their dimensions."""

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.drawn_glyphs import RANGES


def r_squared(
    codes: tuple[Float[Tensor, "n code"], Float[Tensor, "m code"]],
    factor: tuple[Float[Tensor, " n"], Float[Tensor, " m"]],
) -> float:
    """1 - |y - y_hat|^2 / |y - mean(y)|^2 on the second of each pair, y_hat a line (least squares) fitted on the first.

    1 where the factor is a linear function of the code, 0 where the code is of no use, below 0 where it misleads.
    """
    design, tested = (torch.cat([z.double(), torch.ones(len(z), 1, dtype=torch.float64)], 1) for z in codes)
    learn, test = (y.double() for y in factor)
    line = torch.linalg.lstsq(design, learn[:, None], driver="gelsd").solution
    return float(1 - (test - (tested @ line)[:, 0]).square().sum() / (test - test.mean()).square().sum())


def one_dimension_lead(
    codes: tuple[Float[Tensor, "n code"], Float[Tensor, "m code"]],
    factor: tuple[Float[Tensor, " n"], Float[Tensor, " m"]],
) -> float:
    """How much more R^2 a factor has in its best single dimension than in the second best: 1 where one holds it alone.

    A code of one number has no second best, which counts as 0.
    Source: Kumar et al. (2018), arXiv 1711.00848, section 3, the SAP score.
    """
    singles = [r_squared((codes[0][:, [d]], codes[1][:, [d]]), factor) for d in range(codes[0].shape[1])]
    best, second = torch.tensor([*singles, 0.0]).clamp_min(0).topk(2).values
    return float(best - second)


def read_off(
    codes: tuple[Float[Tensor, "n code"], Float[Tensor, "m code"]],
    factors: tuple[dict[str, Float[Tensor, " n"]], dict[str, Float[Tensor, " m"]]],
) -> dict[str, float]:
    """R^2 of every factor that is a real number, `lead` their mean lead in one dimension over the next."""
    pairs = {name: (factors[0][name], factors[1][name]) for name in RANGES}
    leads = [one_dimension_lead(codes, pair) for pair in pairs.values()]
    return {name: r_squared(codes, pair) for name, pair in pairs.items()} | {"lead": sum(leads) / len(leads)}

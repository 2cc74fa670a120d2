"""All there is to know of a trained VAE, measured on one set of images, in one object that prints itself."""

import html
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.data import Split
from course_lib.measurement.aggregate import Aggregate, aggregate
from course_lib.measurement.codes import ACTIVE, Codes, active_units, encode_all, rate_per_dimension
from course_lib.measurement.information import Information, information_of
from course_lib.measurement.likelihood import NLL, distortion_per_image, iwae_nll
from course_lib.measurement.mean import Mean
from course_lib.measurement.probe import Probe, probe_accuracy
from course_lib.measurement.swapping import swapped_code_gap
from course_lib.models.priors import StandardNormal
from course_lib.models.vae import VAE

NOT_FINITE = "no finite value: the encoder is deterministic, q(z|x) has no density"


@dataclass(frozen=True)
class Report:
    """What `report` measured. None: not finite with this encoder (rate, information, nll), or nothing to measure it by.

    distortion: E -log p(x|z). rate: E KL(q(z|x), p(z)). swapped_code_gap: what the code of another image costs.
    active_by_mean: dimensions with Var_x(E_q[z_d]) > 0.01; active_by_rate: with a rate over 0.01 nats.
    """

    images: int
    code_size: int
    distortion: Mean
    rate: Mean | None
    information: Information | None
    aggregate: Aggregate
    active_by_mean: int
    active_by_rate: int | None
    swapped_code_gap: Mean
    nll: NLL | None
    probe: Probe | None

    @property
    def aggregate_gap(self) -> tuple[float, float] | None:
        """KL(q(z), p(z)) = rate - information, in nats: its lowest and highest value within the bounds."""
        if self.information is None:
            return None
        return self.information.rate - self.information.at_most, self.information.rate - self.information.lower

    def rows(self) -> list[tuple[str, str]]:
        """Name and value with its unit, one pair for each line of the table."""
        rows = [("distortion", str(self.distortion)), *self._code_rows(), ("q(z)", str(self.aggregate))]
        rows += [
            ("swapped-code gap", str(self.swapped_code_gap)),
            ("NLL", NOT_FINITE if not self.nll else str(self.nll).removeprefix("NLL ")),
        ]
        return rows + ([("probe accuracy", str(self.probe))] if self.probe else [])

    def _code_rows(self) -> list[tuple[str, str]]:
        active = f"{self.active_by_mean} of {self.code_size} by mean"
        active += "" if self.active_by_rate is None else f", {self.active_by_rate} by rate"
        if self.information is None:
            return [("rate", NOT_FINITE), ("information", NOT_FINITE), ("active units", active)]
        low, high = self.aggregate_gap
        gap = f"between {low:.2f} and {high:.2f} nats"
        gap = gap if self.information.resolved else f"not resolved: at most {high:.2f} nats"
        gaps = [("aggregate gap", gap), ("active units", active)]
        return [("rate", str(self.rate)), ("information", str(self.information).removeprefix("I(x;z) ")), *gaps]

    def as_dict(self) -> dict[str, float]:
        """Every number by name, for the ledger; a name is missing where there is no finite value."""
        found = dict(images=self.images, active_by_mean=self.active_by_mean, active_by_rate=self.active_by_rate)
        found |= _pair("distortion", self.distortion) | _pair("rate", self.rate)
        found |= _pair("swapped_code_gap", self.swapped_code_gap)
        found |= _of(self.information, "information", "lower", "upper", "ceiling", "standard_error")
        found |= dict(zip(("aggregate_gap_lower", "aggregate_gap_upper"), self.aggregate_gap or (), strict=False))
        found |= _of(self.aggregate, "", "mmd_squared", "log_det_cov", "ks_critical")
        found |= _of(self.aggregate.null, "mmd_null", "mean", "standard_deviation")
        found |= dict(ks=max(self.aggregate.ks)) | _of(self.nll, "nll", "nats", "standard_error")
        found |= _of(self.probe, "probe", "accuracy", "chance")
        return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}

    def __str__(self) -> str:
        lines = [f"{self.images} images, codes of {self.code_size} numbers"]
        return "\n".join(lines + [f"{name:<17} {value}".replace("\n", f"\n{'':<18}") for name, value in self.rows()])

    def _repr_html_(self) -> str:
        rows = [(html.escape(name), html.escape(value).replace("\n", "<br>")) for name, value in self.rows()]
        return "<table>" + "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"


def _pair(name: str, mean: Mean | None) -> dict[str, float]:
    return {} if mean is None else {name: mean.value, f"{name}_standard_error": mean.standard_error}


def _of(measured: object | None, prefix: str, *names: str) -> dict[str, float]:
    if measured is None:
        return {}
    return {f"{prefix}_{name}".lstrip("_"): getattr(measured, name) for name in names}


def report(
    vae: VAE,
    x: Float[Tensor, "n colours height width"],
    generator: torch.Generator,
    labels: Int[Tensor, " n"] | None = None,
    train: Split | None = None,
    samples: int = 100,
    binarisation: str = "images as given",
) -> Report:
    """Measure `vae` on the images `x`; `samples` is the K of the IWAE bound.

    The probe needs the `labels` of `x`, and images with labels to learn from, `train`, none of which is in `x`.
    A deterministic encoder has no finite rate, information or IWAE bound, and the report says so.
    Raises ValueError for labels without `train` or the other way round, and for fewer than two images.
    """
    if (labels is None) != (train is None):
        raise ValueError("a probe learns on `train` and is tested on `x` with its `labels`: pass both, or neither")
    if len(x) < 2:
        raise ValueError(f"a report measures among images: at least two are needed, got {len(x)}")
    codes = encode_all(vae, x, generator)
    return Report(
        images=len(x),
        code_size=codes.z.shape[1],
        distortion=Mean.of(distortion_per_image(vae, x, codes.z)),
        **_finite_only_with_noise(vae, x, codes, generator, samples, binarisation),
        aggregate=aggregate(codes, vae.prior, generator),
        active_by_mean=int(active_units(codes).sum()),
        swapped_code_gap=Mean.of(swapped_code_gap(vae, x, codes.z, generator)),
        probe=None if train is None else probe_accuracy(vae, train, Split(x, labels)),
    )


def _finite_only_with_noise(vae, x, codes: Codes, generator, samples: int, binarisation: str) -> dict:
    if codes.deterministic:
        return dict(rate=None, information=None, nll=None, active_by_rate=None)
    standard = isinstance(vae.prior, StandardNormal)
    return dict(
        rate=Mean.of(codes.rate),
        information=information_of(codes),
        nll=iwae_nll(vae, x, samples, generator, binarisation),
        active_by_rate=int((rate_per_dimension(codes) > ACTIVE).sum()) if standard else None,
    )

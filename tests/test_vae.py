"""The VAE of chapter 00: its Gaussian, its objective, its measurements, each against something exact."""

import itertools
import math

import pytest
import torch

from course_lib.data import binarise
from course_lib.measurement.information import information, pairwise_log_prob
from course_lib.measurement.likelihood import exact_nll, iwae_log_prob
from course_lib.measurement.mean import Mean
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import StandardNormal, standard_normal_log_prob
from course_lib.models.vae import VAE, pixelcnn_vae
from course_lib.objectives.infovae import InfoVAE
from course_lib.objectives.mmd import imq_kernel, mmd_squared


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_gaussian(seed, batch=5, code=3):
    g = seeded(seed)
    return DiagonalGaussian(
        torch.randn(batch, code, generator=g).double(), torch.randn(batch, code, generator=g).double()
    )


class FixedEncoder(torch.nn.Module):
    """One given Gaussian per image, whatever the image."""

    def __init__(self, q):
        super().__init__()
        self.q = q

    def forward(self, x):
        return self.q


class TinyVAE:
    """One binary pixel and a one-dimensional code: p(x=1|z) = sigmoid(w z), q(z|x) = N(m x, s^2)."""

    def __init__(self, w=1.5, m=0.8, log_var=-0.4):
        self.w, self.m, self.log_var, self.decoder, self.prior = w, m, log_var, self, StandardNormal(1)

    def encode(self, x):
        mu = self.m * x.flatten(1)
        return DiagonalGaussian(mu, torch.full_like(mu, self.log_var))

    def log_prob(self, x, z):
        logit = self.w * z
        return -torch.nn.functional.binary_cross_entropy_with_logits(logit, x.flatten(1), reduction="none").sum(1)

    def exact_log_prob(self, x):
        """log of the integral over z, by a grid on [-12, 12]."""
        z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
        joint = self.log_prob(x.expand(len(z), 1), z) + standard_normal_log_prob(z)
        return joint.logsumexp(0) + math.log(24 / 200_000)


@pytest.mark.parametrize("seed", range(4))
def test_gaussian_log_prob_is_that_of_torch_distributions(seed):
    q = random_gaussian(seed)
    z = q.sample(seeded(seed))
    expected = torch.distributions.Normal(q.mu, (q.log_var / 2).exp()).log_prob(z).sum(-1)
    assert torch.allclose(q.log_prob(z), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_closed_form_kl_is_that_of_torch_distributions(seed):
    q = random_gaussian(seed)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(q.mu, (q.log_var / 2).exp()), normal(torch.zeros(3).double(), 1.0)
    )
    assert torch.allclose(q.kl_to_standard_normal(), expected.sum(-1), atol=1e-12)


def test_gradients_flow_through_the_reparameterised_sample():
    mu, log_var = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    DiagonalGaussian(mu, log_var).sample(seeded(0)).sum().backward()
    assert (mu.grad == 1).all() and log_var.grad.abs().min() > 0


def test_iwae_bound_meets_the_exact_likelihood_of_a_model_solved_by_quadrature():
    vae, x = TinyVAE(), torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    exact = torch.stack([vae.exact_log_prob(row[None]) for row in x])
    bound = iwae_log_prob(vae, x, samples=20_000, generator=seeded(0))
    assert torch.allclose(bound, exact, atol=0.01)
    single = torch.stack([iwae_log_prob(vae, x, 1, seeded(s)) for s in range(4000)]).mean(0)
    assert (single < exact - 0.01).all(), "one sample gives the ELBO, which lies below log p(x)"


def test_elbo_is_distortion_plus_rate_and_infovae_reweights_it():
    torch.manual_seed(0)
    vae = pixelcnn_vae((1, 4, 4), code_size=2, hidden=8, width=4, depth=1)
    x = torch.randint(0, 2, (16, 1, 4, 4)).float()
    elbo = InfoVAE()(vae, x, seeded(1))
    assert set(elbo) == {"loss", "distortion", "rate"}
    assert torch.allclose(elbo["loss"], elbo["distortion"] + elbo["rate"])
    info = InfoVAE(alpha=0.7, lambd=20.0)(vae, x, seeded(1))
    expected = info["distortion"] + 0.3 * info["rate"] + 19.7 * info["divergence"]
    assert torch.allclose(info["loss"], expected) and torch.allclose(info["rate"], elbo["rate"])


def test_a_setting_that_would_maximise_the_divergence_is_refused():
    with pytest.raises(ValueError, match="maximised"):
        InfoVAE(alpha=0.2, lambd=0.5)


def test_mmd_is_unbiased_under_the_null():
    values = torch.stack([mmd_squared(*torch.randn(2, 40, 3, generator=seeded(s)).double()) for s in range(400)])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert (values < 0).any(), "an unbiased estimate of zero is negative at times"


def test_mmd_is_the_written_out_double_sum():
    a, b = torch.randn(5, 2, generator=seeded(0)).double(), torch.randn(7, 2, generator=seeded(1)).double()

    def k(u, v):
        return float(imq_kernel(u[None], v[None]))

    within_a = sum(k(a[i], a[j]) for i, j in itertools.permutations(range(5), 2)) / 20
    within_b = sum(k(b[i], b[j]) for i, j in itertools.permutations(range(7), 2)) / 42
    across = sum(k(u, v) for u in a for v in b) / 35
    assert float(mmd_squared(a, b)) == pytest.approx(within_a + within_b - 2 * across, abs=1e-12)


@pytest.mark.parametrize("change", [lambda z: z + 0.5, lambda z: 0.5 * z])
def test_mmd_sees_a_shifted_and_a_shrunken_aggregate(change):
    null = torch.stack([mmd_squared(*torch.randn(2, 500, 8, generator=seeded(s))) for s in range(20)])
    z, prior = torch.randn(2, 500, 8, generator=seeded(99))
    assert mmd_squared(change(z), prior) > null.mean() + 5 * null.std()


def test_mmd_of_one_sample_is_refused():
    with pytest.raises(ValueError, match="two samples on each side, got 1 and 5: take a batch"):
        mmd_squared(torch.zeros(1, 2), torch.zeros(5, 2))


def test_pairwise_log_prob_takes_row_z_and_column_x():
    q = random_gaussian(2)
    z = q.sample(seeded(0))
    pairs = pairwise_log_prob(q, z)
    for i, j in itertools.product(range(5), repeat=2):
        own = DiagonalGaussian(q.mu[j], q.log_var[j]).log_prob(z[i])
        assert float(pairs[i, j]) == pytest.approx(float(own), abs=1e-12)


def test_information_of_an_empty_code_is_zero():
    q = DiagonalGaussian(torch.zeros(200, 4), torch.zeros(200, 4))
    found = information(VAE(FixedEncoder(q), None, 4), torch.zeros(200, 1), seeded(0))
    assert found.lower == pytest.approx(0, abs=1e-9) and found.upper == pytest.approx(0, abs=1e-9)


def test_information_of_codes_that_never_overlap_stops_at_the_ceiling():
    mu = 1000.0 * torch.arange(64.0)[:, None]
    found = information(
        VAE(FixedEncoder(DiagonalGaussian(mu, torch.zeros(64, 1))), None, 1), torch.zeros(64, 1), seeded(0)
    )
    assert found.lower == pytest.approx(math.log(64)) == found.ceiling
    assert found.upper > 100


def test_information_of_two_clusters_is_log_two():
    """Half the images at -50, half at +50: the code says which half, one bit, whatever its noise."""
    mu = torch.cat([-50 * torch.ones(500, 1), 50 * torch.ones(500, 1)])
    found = information(
        VAE(FixedEncoder(DiagonalGaussian(mu, torch.zeros(1000, 1))), None, 1), torch.zeros(1000, 1), seeded(0)
    )
    assert found.lower == pytest.approx(math.log(2), abs=0.003) and found.upper == pytest.approx(math.log(2), abs=0.003)
    assert found.lower <= found.upper


def test_exact_nll_of_an_even_coin_is_log_two_per_pixel():
    model = PixelCNN((1, 3, 3), 4, 0)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    found = exact_nll(model, torch.rand(30, 1, 3, 3, generator=seeded(0)), seed=0)
    assert found.nats == pytest.approx(9 * math.log(2), abs=1e-5)
    assert found.standard_error == pytest.approx(0, abs=1e-5) and "seed 0" in found.binarisation


@pytest.mark.parametrize("seed", [0, 3])
def test_exact_nll_is_that_of_the_binarisation_it_names(seed):
    torch.manual_seed(0)
    model, grey = PixelCNN((1, 3, 3), 4, 1), torch.rand(30, 1, 3, 3, generator=seeded(0))
    with torch.no_grad():
        expected = -model.log_prob(binarise(grey, seeded(seed))).mean()
    assert exact_nll(model, grey, seed).nats == pytest.approx(float(expected), abs=1e-5)


def test_information_in_blocks_is_the_information_in_one_piece():
    q = random_gaussian(4, batch=37)
    vae, x = VAE(FixedEncoder(q), None, 3), torch.zeros(37, 1)
    whole, blocks = (information(vae, x, seeded(0), block) for block in (37, 5))
    assert blocks.lower == pytest.approx(whole.lower, abs=1e-12)
    assert blocks.upper == pytest.approx(whole.upper, abs=1e-12)


def test_information_by_quadrature_lies_between_the_bounds():
    """Two images at -1 and +1 in one dimension: I = H(z) - H(z|x), the entropy of the mixture on a grid."""
    q = DiagonalGaussian(torch.tensor([[-1.0], [1.0]]).double().repeat(400, 1), torch.zeros(800, 1).double())
    z = torch.linspace(-12, 12, 100_001).double()
    density = (torch.exp(-0.5 * (z + 1) ** 2) + torch.exp(-0.5 * (z - 1) ** 2)) / (2 * math.sqrt(2 * math.pi))
    entropy = float(-(density * density.log()).sum()) * 24 / 100_000
    exact = entropy - 0.5 * math.log(2 * math.pi * math.e)
    found = information(VAE(FixedEncoder(q), None, 1), torch.zeros(800, 1), seeded(0))
    assert found.lower == pytest.approx(exact, abs=0.04) and found.upper == pytest.approx(exact, abs=0.04)


def test_information_of_one_image_is_refused():
    q = random_gaussian(0, batch=1)
    with pytest.raises(ValueError, match="at least two"):
        information(VAE(FixedEncoder(q), None, 3), torch.zeros(1, 1), seeded(0))


@pytest.mark.parametrize("dim", [1, 3, 20])
def test_the_kernel_bandwidth_grows_with_the_dimension_not_its_square(dim):
    """At the distance expected of two prior draws, |a - b|^2 = 2 dim, the kernel is the same in every dimension."""
    a, b = torch.zeros(1, dim).double(), torch.full((1, dim), math.sqrt(2.0), dtype=torch.float64)
    expected = sum(s / (s + 1) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) / 7
    assert float(imq_kernel(a, b)) == pytest.approx(expected, abs=1e-12)


def test_all_chance_in_the_objective_comes_from_the_generator():
    vae = pixelcnn_vae((1, 4, 4), code_size=2, hidden=8, width=4, depth=1)
    x = torch.randint(0, 2, (16, 1, 4, 4)).float()
    losses = []
    for other in (1, 2):
        torch.manual_seed(other)
        losses.append(InfoVAE(0.5, 30.0)(vae, x, seeded(3))["loss"])
    assert torch.equal(*losses)
    assert not torch.equal(losses[0], InfoVAE(0.5, 30.0)(vae, x, seeded(4))["loss"])


def test_the_standard_error_shrinks_with_the_root_of_the_number_of_images():
    nats = torch.randn(400, generator=seeded(0)).double()
    assert Mean.of(nats).standard_error == pytest.approx(float(nats.std()) / 20)

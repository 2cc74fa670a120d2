"""Encoders: any image size, each image on its own, Gaussian or a point; and the VAE that they are part of."""

import math

import pytest
import torch

from course_lib import zoo
from course_lib.models.encoders import ConvEncoder, MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import FlowPrior, RingPrior
from course_lib.models.vae import VAE, vlae

ENCODERS = [MLPEncoder, ConvEncoder]
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 5, 7), (1, 1, 1), (2, 1, 9)]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_image_size_gets_a_gaussian_or_a_point_of_the_codes_size(encoder, shape):
    x = torch.rand(6, *shape, generator=seeded(0)).double()
    q = encoder(shape, 3, 8).double()(x)
    assert isinstance(q, DiagonalGaussian) and q.mu.shape == q.log_var.shape == (6, 3) and q.mu.dtype == torch.float64
    point = encoder(shape, 3, 8, deterministic=True)(x.float())
    assert isinstance(point, PointCode) and point.mu.shape == (6, 3) and point.mu.dtype == torch.float32


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != (1, 1, 1)])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_code_depends_on_every_pixel(encoder, shape):
    torch.manual_seed(0)
    x = torch.rand(4, *shape, generator=seeded(1)).double().requires_grad_()
    encoder(shape, 3, 32).double()(x).mu.pow(2).sum().backward()
    assert (x.grad.abs().amax(0) > 0).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_images_code_is_its_own_in_training_mode_too(encoder):
    """What batch normalisation would break: the other images of the batch have no say."""
    torch.manual_seed(0)
    network = encoder((1, 8, 8), 3).double().train()
    x = torch.rand(5, 1, 8, 8, generator=seeded(0)).double()
    others = torch.cat([x[:1], 1 - x[1:]])
    assert torch.allclose(network(x).mu[0], network(others).mu[0], rtol=0, atol=1e-14)
    assert torch.allclose(network(x).mu[0], network(x[:1]).mu[0], rtol=0, atol=1e-14)
    assert not torch.allclose(network(x).mu[1], network(others).mu[1])


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    "arguments, message",
    [
        (((4, 4), 2), "colours, height, width"),
        (((1, 4, 4), 0), "code_size must be a whole number, 1"),
        (((1, 4, 4), 2, 0), "hidden must be a whole number, 1"),
    ],
)
def test_encoders_that_cannot_be_are_refused(encoder, arguments, message):
    with pytest.raises(ValueError, match=message):
        encoder(*arguments)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_black_and_white_enter_as_opposite_numbers(encoder):
    """A picture and its negative send y and -y to the first layer, and mid-grey nothing at all."""
    network = encoder((1, 4, 4), 2, 8)
    first = next(layer for layer in network.layers if hasattr(layer, "weight"))
    seen = []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randint(0, 2, (3, 1, 4, 4), generator=seeded(0)).float()
    for picture in (x, 1 - x, torch.full_like(x, 0.5)):
        network(picture)
    assert torch.equal(seen[0], -seen[1]) and seen[0].unique().tolist() == [-1, 1] and not seen[2].any()


def test_a_point_is_where_it_is_whatever_the_generator():
    code, generator = PointCode(torch.randn(4, 2, generator=seeded(0))), seeded(1)
    before = generator.get_state()
    assert code.sample(generator) is code.mu and torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("prior", [None, FlowPrior(2, 8, 2)], ids=["standard normal", "flow"])
def test_the_rate_of_a_point_is_refused_with_what_to_do(prior):
    vae = VAE(MLPEncoder((1, 4, 4), 2, 8, deterministic=True), FactorisedDecoder((1, 4, 4), 2), 2, prior)
    x = torch.zeros(3, 1, 4, 4)
    q = vae.encode(x)
    with pytest.raises(ValueError, match="infinite.*alpha = 1"):
        vae.rate(q, q.sample(seeded(0)))
    with pytest.raises(ValueError, match="no density"):
        q.log_prob(q.mu)
    assert vae.reconstruct(x, seeded(0)).shape == vae.sample(3, seeded(0)).shape == x.shape


def test_the_point_is_the_gaussian_with_its_noise_taken_away():
    """KL(q, N(0, I)) grows like -d/2 log var as var goes to 0, without bound: that is the infinite rate."""
    mu = torch.randn(1, 3, generator=seeded(0)).double()
    kl = [DiagonalGaussian(mu, torch.full((1, 3), -v)).kl_to_standard_normal() for v in (100.0, 200.0)]
    assert float(kl[1] - kl[0]) == pytest.approx(3 / 2 * 100, abs=1e-9)


def test_stored_weights_keep_their_names():
    encoder = zoo.load("puzzle_a").encoder
    assert isinstance(encoder, MLPEncoder) and not encoder.deterministic
    assert list(encoder.state_dict()) == [f"layers.{i}.{kind}" for i in (1, 3, 5) for kind in ("weight", "bias")]


def small_vaes():
    shape = (1, 4, 4)
    yield "vlae", vlae(PixelCNN(shape, width=4, depth=1, code_size=2), 8, 8, 2)
    yield "conv", VAE(ConvEncoder(shape, 2, 8), FactorisedDecoder(shape, 2, "conv", 8), 2)
    yield "mlp", VAE(MLPEncoder(shape, 2, 8), FactorisedDecoder(shape, 2, hidden=8), 2, FlowPrior(2, 8, 2))
    yield "ring", VAE(MLPEncoder(shape, 2, 8), FactorisedDecoder(shape, 2, hidden=8), 2, RingPrior(5, 0.5))


VAES = dict(small_vaes())


@pytest.mark.parametrize("name", VAES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_vae_keeps_its_dtype_all_the_way_through(name, dtype):
    vae, x = VAES[name].to(dtype), torch.randint(0, 2, (5, 1, 4, 4), generator=seeded(0)).to(dtype)
    q = vae.encode(x)
    z = q.sample(seeded(0))
    terms = [z, vae.decoder.log_prob(x, z), vae.rate(q, z), vae.sample(2, seeded(1)), vae.reconstruct(x, seeded(1))]
    assert [term.dtype for term in terms] == [dtype] * 5
    (terms[2] - terms[1]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vae.parameters())


def test_the_rate_under_a_flow_that_is_still_normal_averages_to_the_closed_form():
    """An unbiased estimate: within five standard errors of KL(q, N(0, I))."""
    q = DiagonalGaussian(*torch.randn(2, 1, 2, generator=seeded(3)).double())
    many = DiagonalGaussian(q.mu.expand(20_000, 2), q.log_var.expand(20_000, 2))
    with torch.no_grad():
        rates = VAE(None, None, 2, FlowPrior(2, 8, 3).double()).rate(many, many.sample(seeded(0)))
    error = float(rates.std()) / math.sqrt(20_000)
    assert float(rates.mean()) == pytest.approx(float(q.kl_to_standard_normal()), abs=5 * error)


def test_a_reconstruction_is_drawn_from_the_decoder_at_a_code_of_the_image():
    torch.manual_seed(0)
    vae = VAE(ConvEncoder((1, 4, 4), 2, 8), FactorisedDecoder((1, 4, 4), 2, "linear"), 2)
    with torch.no_grad():
        vae.decoder.network[0].weight.mul_(50)  # so that other codes give other images
    x, generator = torch.randint(0, 2, (5, 1, 4, 4), generator=seeded(0)).float(), seeded(4)
    expected = vae.decoder.sample(5, generator, vae.encode(x).sample(generator))
    assert torch.equal(vae.reconstruct(x, seeded(4)), expected)
    assert not torch.equal(vae.sample(5, seeded(4)), expected)


@pytest.mark.parametrize("encoder", [MLPEncoder, ConvEncoder])
def test_codes_and_their_rate_are_not_rounded_to_half_precision(encoder):
    """In bfloat16 a rate of 10 nats has steps of 1/16, and the noise 256 values between 1 and 2."""
    torch.manual_seed(0)
    x, model = torch.rand(3, 1, 8, 8), encoder((1, 8, 8), 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = model(x)
        z, rate = q.sample(torch.Generator().manual_seed(0)), q.kl_to_standard_normal()
    assert z.dtype == rate.dtype == torch.float32
    assert not torch.equal(z, z.bfloat16().float())


@pytest.mark.parametrize("encoder", [MLPEncoder, ConvEncoder])
@pytest.mark.parametrize(
    "x, said", [(torch.rand(2, 1, 9, 8), "expected images"), (torch.ones(2, 1, 8, 8).long(), "x.float")]
)
def test_images_of_another_size_or_kind_are_refused(encoder, x, said):
    with pytest.raises(ValueError, match=said):
        encoder((1, 8, 8), 4)(x)

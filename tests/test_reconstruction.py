"""What a reconstruction is charged for: each cost against its formula, and where its gradient may go."""

import copy
import math

import pytest
import torch
from torch import nn

from course_lib.data.binarisation import binarise
from course_lib.data.noise import normal, uniform
from course_lib.models.encoders import ConvEncoder, MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.outputs import Gaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.reconstruction import Cost, Features, FoundOut, Pixels, mean_picture

SHAPE, CODE = (1, 4, 5), 3
PIXELS = 20


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def grey(n, seed=0):
    return uniform((n, *SHAPE), seeded(seed), like=torch.empty(0, dtype=torch.float64))


def codes(n, seed=0):
    return normal((n, CODE), seeded(seed), like=torch.empty(0, dtype=torch.float64))


def decoder(seed=0):
    """One whose pictures are far from mid-grey and from each other."""
    torch.manual_seed(seed)
    made = FactorisedDecoder(SHAPE, CODE, hidden=6).double()
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(2)
    return made


def network(seed=0):
    torch.manual_seed(seed)
    return ConvEncoder(SHAPE, 4, 16, deterministic=True).layers.double()


def charged(cost, n=5, seed=0):
    """The cost of n grey images under a decoder of random weights, and what it was given."""
    x, made = grey(n, seed), decoder(seed)
    given = made, x, binarise(x, seeded(seed)), codes(n, seed)
    return cost(*given), given


class Shows(FactorisedDecoder):
    """A decoder that shows the same pictures whatever the code."""

    def __init__(self, pictures):
        super().__init__(SHAPE, CODE, "linear")
        self.pictures = pictures

    def forward(self, x, z=None):
        return torch.logit(self.pictures)


def found_out(*arguments, **options):
    """The cost in double precision."""
    cost = FoundOut(SHAPE, *arguments, hidden=4, **options)
    cost.discriminator.double()
    return cost


COSTS = {
    "pixels": Pixels,
    "features": lambda: Features("random", network(), grey(30, 9)),
    "found out": lambda: found_out(1.0, 3.0, 5.0),
}

# What all have in common.


@pytest.mark.parametrize("name", COSTS)
def test_every_image_has_a_cost_of_its_own(name):
    """One number for each image, whatever else is in the batch."""
    whole, (made, x, seen, z) = charged(COSTS[name](), n=6)
    assert whole.shape == (6,)
    for i in range(6):
        alone = COSTS[name]()(made, x[[i]], seen[[i]], z[[i]])
        assert torch.allclose(alone, whole[[i]], rtol=1e-12)


@pytest.mark.parametrize("name", COSTS)
def test_the_gradient_reaches_decoder_and_code_and_is_that_of_finite_differences(name):
    cost, (made, x, seen, z) = COSTS[name](), charged(COSTS[name]())[1]
    z.requires_grad_()
    cost(made, x, seen, z).sum().backward()
    assert (z.grad != 0).any(1).all() and all((p.grad != 0).any() for p in made.parameters())
    assert torch.autograd.gradcheck(lambda v: cost(made, x, seen, v), z)


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_tells_its_settings_and_no_address(name):
    assert " at 0x" not in repr(COSTS[name]()) and type(COSTS[name]()).__name__ in repr(COSTS[name]())


@pytest.mark.parametrize(
    "one, other",
    [(FoundOut(SHAPE), FoundOut(SHAPE, **{name: 2.0})) for name in ("pixels", "features", "weight", "learning_rate")]
    + [(FoundOut(SHAPE), FoundOut(SHAPE, seed=1)), (FoundOut(SHAPE), FoundOut(SHAPE, hidden=8))]
    + [(COSTS["features"](), Features("random", network(), grey(30), scale=2.0))]
    + [(COSTS["features"](), Features("other", network(), grey(30)))],
)
def test_costs_that_differ_tell_so(one, other):
    assert repr(one) != repr(other)


@pytest.mark.parametrize("cost", [Pixels(), Cost()])
def test_a_cost_that_learns_nothing_has_nothing_to_store(cost):
    cost.after_step()
    assert cost.state_dict() == {} and cost.load_state_dict({}) is None


# Pixels, and the mean picture.


@pytest.mark.parametrize("seed", range(3))
def test_pixels_are_the_distortion_of_the_image_in_black_and_white(seed):
    cost, (made, _, seen, z) = charged(Pixels(), seed=seed)
    p = mean_picture(made, z)
    expected = -(seen * p.log() + (1 - seen) * (1 - p).log()).sum((1, 2, 3))
    assert torch.allclose(cost, expected, rtol=1e-12)


def test_the_mean_picture_is_the_mean_of_drawings():
    made, z = decoder(), codes(2)
    drawn = made.sample(8000, seeded(1), z.repeat(4000, 1)).view(4000, 2, *SHAPE).mean(0)
    assert ((drawn - mean_picture(made, z)).abs() < 5 * 0.5 / math.sqrt(4000)).all()


@pytest.mark.parametrize("cost", [COSTS["features"], COSTS["found out"]])
def test_a_decoder_without_a_mean_picture_is_refused_by_name(cost):
    x, z = grey(4), codes(4)
    seen = binarise(x, seeded(0))
    with pytest.raises(ValueError, match="PixelCNN has no mean picture in closed form.*give the VAE a Factorised"):
        cost()(PixelCNN(SHAPE, 4, 1, code_size=CODE).double(), x, seen, z)
    with pytest.raises(ValueError, match="give the decoder the output Bernoulli, not Gaussian"):
        cost()(FactorisedDecoder(SHAPE, CODE, output=Gaussian(0.1)).double(), x, seen, z)


# Features.


@pytest.mark.parametrize("scale", [1.0, 400.0])
def test_a_perfect_reconstruction_has_the_right_features(scale):
    x = grey(6).clamp(0.05, 0.95)
    cost = Features("random", network(), grey(30, 9), scale)
    assert (cost(Shows(x), x, x.round(), codes(6)) < 1e-25 * scale).all()
    assert (cost(Shows(x.flip(0)), x, x.round(), codes(6)) > 1e-3 * scale).all()


@pytest.mark.parametrize("n, seed", [(3, 0), (8, 1)])
def test_features_of_a_linear_network_are_compared_as_the_formula_says(n, seed):
    """h(x) - h(x_hat) = 2 W (x - x_hat), each number divided by its standard deviation, 2 sd(W x), on the images."""
    W, b = draws_of(n, PIXELS, seed), 4.0
    linear = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, n).double())
    with torch.no_grad():
        linear[1].weight.copy_(W)
        linear[1].bias.fill_(b)
    images, x, drawn = grey(50, seed + 1), grey(4, seed + 2), grey(4, seed + 3)
    found = Features("linear", linear, images, scale=7.0)(Shows(drawn), x, x.round(), codes(4))
    deviation = (images.flatten(1) @ W.T).std(0)
    expected = 7.0 / 2 * ((x - drawn).flatten(1) @ W.T / deviation).square().mean(1)
    assert torch.allclose(found, expected, rtol=1e-10)


def draws_of(rows, columns, seed):
    return torch.randn(rows, columns, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("layers", [slice(None), slice(2), slice(4)], ids=["answers", "first maps", "second maps"])
def test_on_the_images_the_mean_cost_of_showing_any_of_them_is_the_scale(layers, scale):
    """The mean of |h_i - h_j|^2 / 2 over all pairs of N is the variance, here (N - 1) / N for each number."""
    images = grey(20).clamp(0.05, 0.95)
    cost = Features("random", network()[layers], images, scale)
    first, second = (images[rows] for rows in torch.cartesian_prod(torch.arange(20), torch.arange(20)).T)
    mean = cost(Shows(second), first, first.round(), codes(400)).mean()
    assert float(mean) == pytest.approx(scale * 19 / 20, rel=1e-9)


def test_numbers_that_hardly_vary_do_not_count():
    """Five columns: two of note, one that varies by a hundredth of them, one of rounding errors, one constant."""
    W = draws_of(2, PIXELS, 0)

    class Columns(nn.Module):
        def __init__(self, *small):
            super().__init__()
            self.small = small

        def forward(self, x):
            h = x.flatten(1) @ W.T
            return torch.cat([h] + [h[:, :1] * size + 5 for size in self.small], 1)

    images, x, drawn = grey(40), grey(4, 1), grey(4, 2)
    plain, padded, counted = (
        Features("columns", Columns(*small), images)(Shows(drawn), x, x.round(), codes(4))
        for small in ((), (0.01, 1e-15, 0.0), (0.5,))
    )
    assert torch.allclose(padded, plain, rtol=1e-10)
    assert not torch.allclose(counted, plain, rtol=0.01)


@pytest.mark.parametrize("images", [grey(1), torch.full((9, *SHAPE), 0.5).double()], ids=["one", "all the same"])
@pytest.mark.filterwarnings("ignore:std\\(\\)")
def test_images_on_which_no_feature_varies_are_refused(images):
    with pytest.raises(ValueError, match=f"no feature of 'random' varies on these {len(images)} images"):
        Features("random", network(), images)


def test_the_network_is_left_as_it_was_and_gets_no_gradient():
    given = nn.Sequential(network(), nn.Dropout(0.5), nn.BatchNorm1d(4).double())
    before = copy.deepcopy(given.state_dict())
    cost = Features("noisy in training", given, grey(30))
    first, given_to = charged(cost)
    first.sum().backward()
    assert given.training and all(p.requires_grad and p.grad is None for p in given.parameters())
    assert all(p.grad is None for p in cost.network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    with torch.no_grad():
        for p in given.parameters():
            p.zero_()
    assert torch.equal(cost(*given_to), first), "it is a copy, without the noise of training, that is asked"


# Found out.


def reference(cost, x, drawn):
    """Features and logits by the discriminator itself."""
    layers = cost.discriminator
    return [layers[:-1](2 * image - 1) for image in (x, drawn)], layers(2 * drawn - 1)[:, 0]


@pytest.mark.parametrize("pixels, features, weight", [(1.0, 0.0, 20.0), (0.0, 2000.0, 2.0), (0.5, 3.0, 0.0)])
@pytest.mark.parametrize("seed", range(2))
def test_found_out_is_its_formula_term_by_term(pixels, features, weight, seed):
    cost = found_out(pixels, features, weight, seed=seed)
    found, (made, x, seen, z) = charged(cost, seed=seed)
    (true, drawn), logit = reference(cost, x, mean_picture(made, z))
    n = true.shape[1]
    apart = sum((true[:, i] - drawn[:, i]) ** 2 for i in range(n)) / n
    expected = pixels * -made.log_prob(seen, z) + features / 2 * apart - weight * torch.sigmoid(logit).log()
    assert n == 4 * 1 * 2 and torch.allclose(found, expected, rtol=1e-10)


def test_being_found_out_by_a_discriminator_made_by_hand():
    """T(x) = w (2 x - 1) + b, whose last layer but one is the picture itself."""
    cost, drawn, x = found_out(0.0, 6.0, 3.0), grey(5, 1), grey(5)
    w, b = draws_of(1, PIXELS, 0)[0], -0.7
    cost.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 1).double())
    with torch.no_grad():
        cost.discriminator[1].weight.copy_(w)
        cost.discriminator[1].bias.fill_(b)
    found = cost(Shows(drawn), x, x.round(), codes(5))
    T = (2 * drawn - 1).flatten(1) @ w + b
    expected = 3.0 * (1 + (-T).exp()).log() + 6.0 / 2 * 4 * (x - drawn).square().mean((1, 2, 3))
    assert torch.allclose(found, expected, rtol=1e-10)


def test_with_pixels_alone_found_out_is_pixels():
    found, given = charged(found_out(1.0, 0.0, 0.0))
    assert torch.equal(found, Pixels()(*given))


def test_the_discriminators_weights_get_no_gradient_from_the_models_loss():
    cost = found_out(1.0, 2.0, 3.0)
    found, _ = charged(cost)
    found.sum().backward()
    assert all(p.grad is None and p.requires_grad for p in cost.discriminator.parameters())


def cross_entropy(discriminator, x, drawn):
    """-E log sigmoid(T(x)) - E log(1 - sigmoid(T(x_hat)))."""
    true, made = (torch.sigmoid(discriminator(2 * image - 1)) for image in (x, drawn))
    return -true.log().mean() - (1 - made).log().mean()


def test_each_step_is_one_of_adam_down_the_cross_entropy_of_the_last_batch():
    cost = found_out(learning_rate=0.01)
    twin = copy.deepcopy(cost.discriminator)
    adam = torch.optim.Adam(twin.parameters(), lr=0.01, betas=(0.5, 0.999))
    for step in range(4):
        charged(cost, seed=step + 10)  # a batch that no step follows, as in an evaluation
        _, (made, x, _, z) = charged(cost, seed=step)
        cost.after_step()
        adam.zero_grad()
        cross_entropy(twin, x, mean_picture(made, z).detach()).backward()
        adam.step()
        for found, expected in zip(cost.discriminator.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(found, expected, rtol=0, atol=1e-8)


def test_learning_lowers_the_cross_entropy_and_leaves_the_decoder_alone():
    cost = found_out(learning_rate=0.02)
    _, (made, x, _, z) = charged(cost, n=20)
    drawn = mean_picture(made, z).detach()
    before = float(cross_entropy(cost.discriminator, x, drawn).detach())
    for _ in range(40):
        cost.after_step()
    after = float(cross_entropy(cost.discriminator, x, drawn).detach())
    assert after < 0.3 * before and all(p.grad is None for p in made.parameters())
    assert cost.discriminator(2 * x - 1).mean() > 1 and cost.discriminator(2 * drawn - 1).mean() < -1


def weights(cost):
    return torch.cat([p.detach().flatten() for p in cost.discriminator.parameters()])


def test_a_discriminator_is_drawn_from_its_seed_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = found_out(seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(weights(found_out(seed=5)), weights(first))
    assert not torch.equal(weights(found_out(seed=6)), weights(first))


def test_a_stored_discriminator_goes_on_as_if_it_had_not_been():
    """Adam's moments are state too."""
    whole, first, second = found_out(), found_out(), found_out(seed=1)
    for step in range(3):
        for cost in (whole, first):
            charged(cost, seed=step)
            cost.after_step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for cost in (whole, second):
        for step in range(3, 6):
            charged(cost, seed=step)
            cost.after_step()
    assert torch.equal(weights(whole), weights(second))


class Silent(FactorisedDecoder):
    """A decoder whose pixels cost nothing, so that no value of a picture is looked at."""

    def log_prob(self, x, z=None):
        return 0 * z.sum(1)


@pytest.mark.parametrize("name", ["features", "found out"])
def test_a_cost_follows_the_model_to_another_device(name):
    """To the device "meta", which has shapes but no numbers, and is there on every computer."""
    x, z = torch.rand(5, *SHAPE, device="meta"), torch.randn(5, CODE, device="meta")
    images = torch.rand(9, *SHAPE, generator=seeded(0))
    cost = Features("random", network().float(), images) if name == "features" else FoundOut(SHAPE, features=2.0)
    found = cost(Silent(SHAPE, CODE).to("meta"), x, x, z)
    assert found.device.type == "meta" and found.shape == (5,)
    if name == "found out":
        cost.after_step()
        group = cost.optimiser.param_groups[0]
        assert {p.device.type for p in group["params"]} == {"meta"} and group["betas"] == (0.5, 0.999)
        assert list(map(id, group["params"])) == list(map(id, cost.discriminator.parameters()))


def test_an_encoders_layers_may_be_the_network():
    torch.manual_seed(0)
    encoder = MLPEncoder(SHAPE, 2, 8).double()
    found, _ = charged(Features("an encoder's layers", encoder.layers[:-1], grey(30)))
    assert found.isfinite().all() and (found > 0).all()

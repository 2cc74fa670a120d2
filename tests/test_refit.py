"""A refitted q, and the two gaps of the ELBO, in a linear-Gaussian world where all of it has a closed form."""

import pytest
import torch
from linear_vae import best_diagonal, linear_vae, linear_world, sloppy

from course_lib.measurement.gaps import best_gaussian, elbo, gaps
from course_lib.measurement.likelihood import iwae_log_prob
from course_lib.measurement.mean import Mean
from course_lib.measurement.refit import refit
from course_lib.models.encoders import MLPEncoder
from course_lib.models.vae import pixelcnn_vae


def seeded(seed):
    return torch.Generator().manual_seed(seed)


WORLD = linear_world(pixels=6, code=3, s=0.7, seed=0)
X = WORLD.marginal().sample(200, seeded(1))


def gaps_in_closed_form(q):
    """log p(x) - ELBO[q*], and ELBO[q*] - ELBO[q]."""
    best = WORLD.elbo(best_diagonal(WORLD), X)
    return WORLD.marginal().log_prob(X) - best, best - WORLD.elbo(q, X)


def test_both_gaps_are_those_of_the_closed_form():
    q = sloppy(WORLD)
    found = gaps(linear_vae(WORLD, q), X, seeded(0), WORLD.marginal().log_prob(X), samples=1000)
    approximation, amortisation = gaps_in_closed_form(q)
    print(f"{found}; closed form {float(approximation.mean()):.4f} and {float(amortisation.mean()):.4f}")
    assert float(approximation.mean()) > 0.1 and float(amortisation.min()) > 0.1, "gaps worth measuring"
    assert float(found.approximation.mean() - approximation.mean()) == pytest.approx(0, abs=0.01)
    assert float(found.amortisation.mean() - amortisation.mean()) == pytest.approx(0, abs=0.01)
    assert found.approximation.min() > 0 and found.amortisation.min() > 0
    assert (found.approximation - approximation).abs().max() < 0.1
    assert torch.allclose(found.approximation + found.amortisation, found.log_prob - found.elbo)


def test_an_encoder_that_is_optimal_has_no_amortisation_gap():
    q = best_diagonal(WORLD)
    found = gaps(linear_vae(WORLD, q), X, seeded(0), WORLD.marginal().log_prob(X))
    print(found)
    assert found.amortisation.abs().max() < 0.01, "the noise is the same for both"
    assert float(found.approximation.mean()) == pytest.approx(float(gaps_in_closed_form(q)[0].mean()), abs=0.01)


def test_the_best_gaussian_has_the_mean_and_the_precisions_of_the_posterior():
    vae, q = linear_vae(WORLD, sloppy(WORLD)), best_diagonal(WORLD)
    with torch.no_grad():
        found = best_gaussian(vae, X, vae.encode(X), seeded(0))
    assert torch.allclose(found.mu, X @ q.A.T + q.b, atol=0.05)
    assert torch.allclose(found.log_var, q.cov.diagonal().log().expand(200, 3), atol=0.08)
    assert all(p.grad is None for p in vae.parameters())


def test_log_prob_is_found_by_ais_where_it_is_not_given(monkeypatch):
    import course_lib.measurement.gaps as module
    from course_lib.measurement.annealing import Annealing

    quick, slow = Annealing("q", 40, chains=1000, leapfrogs=2), module.ais
    monkeypatch.setattr(module, "ais", lambda vae, x, generator: slow(vae, x, generator, quick))
    found = gaps(linear_vae(WORLD, sloppy(WORLD)), X[:4], seeded(0), steps=1, samples=1)
    assert (found.log_prob - WORLD.marginal().log_prob(X[:4])).abs().max() < 0.05


def test_the_elbo_of_a_gaussian_is_that_of_the_closed_form():
    q = sloppy(WORLD)
    vae = linear_vae(WORLD, q)
    with torch.no_grad():
        found = elbo(vae, X, vae.encode(X), seeded(0), 1000)
    off = found - WORLD.elbo(q, X)
    assert off.abs().max() < 0.3 and off.mean().abs() < 0.01


def test_an_elbo_of_no_draws_is_refused():
    with pytest.raises(ValueError, match="at least one, got 0"):
        gaps(linear_vae(WORLD, sloppy(WORLD)), X, seeded(0), WORLD.marginal().log_prob(X), samples=0)


def test_a_refitted_q_comes_to_the_best_diagonal_gaussian_and_measures_well_on_new_images():
    vae, best = linear_vae(WORLD, sloppy(WORLD)), best_diagonal(WORLD)
    train = WORLD.marginal().sample(4000, seeded(2))
    new = refit(vae, train, seeded(3), steps=600, batch_size=64, learning_rate=0.01)
    q = new.encoder.channel()
    closed = [float(WORLD.elbo(one, X).mean()) for one in (vae.encoder.channel(), q, best)]
    print("ELBO on new images: {:.4f}, refitted {:.4f}, best {:.4f}".format(*closed))
    assert closed[0] < closed[2] - 0.15 and closed[2] - 0.02 < closed[1] <= closed[2]
    before, after = (iwae_log_prob(one, X, 2, seeded(4)) for one in (vae, new))
    gain = Mean.of(after - before)
    assert gain.value > 4 * gain.standard_error


def test_refitting_leaves_the_decoder_the_prior_and_the_vae_as_they_were():
    torch.manual_seed(0)
    vae = pixelcnn_vae((1, 4, 4), code_size=2, hidden=8, width=4, depth=1).eval()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    x, fresh = torch.randint(0, 2, (40, 1, 4, 4), generator=seeded(0)).float(), MLPEncoder((1, 4, 4), 2, 16)
    begin = [p.clone() for p in fresh.parameters()]
    for encoder in (None, fresh):
        new = refit(vae, x, seeded(1), encoder, steps=3, batch_size=8)
        assert new.decoder is vae.decoder and new.prior is vae.prior and not new.encoder.training
        assert not any(torch.equal(a, b) for a, b in zip(new.encoder.parameters(), _start(vae, encoder), strict=True))
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in vae.parameters()) and not vae.decoder.training
    assert all(torch.equal(a, b) for a, b in zip(begin, fresh.parameters(), strict=True)), "it was copied"


def _start(vae, encoder):
    return (encoder or vae.encoder).parameters()


def test_refitting_draws_all_chance_from_the_generator():
    vae, train = linear_vae(WORLD, sloppy(WORLD)), WORLD.marginal().sample(100, seeded(2))
    outcomes = []
    for other, seed in ((1, 3), (2, 3), (2, 4)):
        torch.manual_seed(other)
        outcomes.append(refit(vae, train, seeded(seed), steps=3).encoder.c)
    assert torch.equal(outcomes[0], outcomes[1]) and not torch.equal(outcomes[0], outcomes[2])

"""Chapter 01: its numbers again, and each of its claims by a route of its own."""

import itertools
import math
import statistics
from dataclasses import replace

import pytest
import torch
from torch.distributions import Bernoulli, Binomial, Categorical, kl_divergence

from course_lib.data import Split, digits
from course_lib.experiments import chapter_01 as chapter
from course_lib.measurement.ledger import result, results
from course_lib.measurement.worlds import images
from course_lib.training.fit import fit

SEEDS = range(3)
EXACT = ("C01", "C02", "C03")
LIVE = {
    *(f"C02.digits.{name}" for name in ("coins", "pixelcnn", "price")),
    *(f"C02.sharpness.{name}" for name in ("mean", "chain_mean", "coins", "pixelcnn")),
    *(f"C02.stray.{name}" for name in ("digits", "coins", "pixelcnn")),
    "C03.digits.pseudo",
}


def random_table(seed, pixels=4):
    return images.random_table(pixels, torch.Generator().manual_seed(seed))


def bits_of(p):
    """Entropy in bits of any tensor of probabilities."""
    return -float(torch.xlogy(p, p).sum()) / math.log(2)


def pattern(state, pixels=4):
    return [(state >> (pixels - 1 - i)) & 1 for i in range(pixels)]


def bill(model, split):
    """-log p(x | label) of every image of a split, in nats."""
    return chapter.per_pixel(model, split).sum(dim=(1, 2))


@pytest.fixture(scope="module")
def splits():
    return digits(binary=True)


@pytest.fixture(scope="module")
def coins(splits):
    return chapter.labelled_coins(splits.train)


# The ledger.


@pytest.mark.parametrize("name", EXACT)
def test_exact_results_are_measured_again_and_agree(name):
    found = list(chapter.EXPERIMENTS[name]())
    assert found
    for entry in found:
        assert entry.value == pytest.approx(result(entry.key).value, abs=2e-6), entry.key


def test_no_number_in_the_closing_table_goes_untested():
    told = {entry.key for entry in results().values() if entry.claim in ("C01", "C02", "C03")}
    again = {entry.key for name in EXACT for entry in chapter.EXPERIMENTS[name]()}
    assert told == {key for key in again if not key.startswith("01.")} | LIVE


def test_what_needs_no_training_is_measured_again(splits, coins):
    test = splits.test
    assert float(bill(coins, test).mean()) == pytest.approx(result("C02.digits.coins").value, abs=1e-3)
    blur = chapter.sharpness(chapter.mean_pictures(coins, test), test.images)
    assert blur == pytest.approx(result("C02.sharpness.mean").value, abs=1e-3)
    assert chapter.stray_dots(test.images) == pytest.approx(result("C02.stray.digits").value, abs=1e-5)
    noise = [chapter.drawn(coins, test, seed) for seed in SEEDS]
    for key, measure in (("sharpness", lambda x: chapter.sharpness(x, test.images)), ("stray", chapter.stray_dots)):
        known = result(f"C02.{key}.coins")
        assert sum(map(measure, noise)) / 3 == pytest.approx(known.value, abs=0.01)


def test_the_pseudo_likelihood_of_digits_is_measured_again():
    (found,) = chapter.pseudo_digits()
    assert found.value == pytest.approx(result(found.key).value, abs=0.02)


def test_the_trained_numbers_fit_together():
    coins, chain, price = (result(f"C02.digits.{name}").value for name in ("coins", "pixelcnn", "price"))
    unknown, pseudo = result("01.digits.label_unknown"), result("C03.digits.pseudo")
    assert price == pytest.approx(coins - chain, abs=1e-5)
    assert 0 < unknown.value - chain < math.log(10), "a label is worth at most ln 10"
    assert price - result("C02.digits.price").band > math.log(10), "independence costs more than the label is worth"
    assert pseudo.value + pseudo.band < unknown.value - unknown.band
    assert unknown.value < result("02.digits.independent").value


def test_blur_noise_and_strokes_are_told_apart_beyond_their_bands():
    mean, coins, chain = (result(f"C02.sharpness.{name}") for name in ("mean", "coins", "pixelcnn"))
    assert mean.value + mean.band < chain.value - chain.band and coins.value - 3 * coins.spread > chain.value
    chain_mean = result("C02.sharpness.chain_mean")
    assert abs(chain_mean.value - mean.value) <= chain_mean.band < (chain.value - mean.value) / 10
    written, noise, strokes = (result(f"C02.stray.{name}") for name in ("digits", "coins", "pixelcnn"))
    assert noise.value - noise.band > strokes.value + strokes.band and strokes.value < 2 * written.value


def test_the_largest_error_is_sought_in_every_order(monkeypatch):
    asked = set()
    monkeypatch.setattr(chapter, "chain", lambda p, order: asked.add(tuple(order)) or images.chain(p, order))
    list(chapter.orders())
    assert asked >= set(itertools.permutations(range(4)))


@pytest.mark.parametrize("code", chapter.codes())
def test_a_price_that_differs_for_one_code_is_reported(code, monkeypatch):
    honest, wrong = images.conditional_total_correlation, chapter.codes()[code]

    def off_by_half(joint):
        return honest(joint) + 0.5 * torch.equal(joint, wrong)

    monkeypatch.setattr(chapter, "conditional_total_correlation", off_by_half)
    told = {entry.key: entry.value for entry in chapter.hints()}
    assert told["C02.strokes.difference"] == pytest.approx(0.5 / math.log(2))


# The world of strokes.


def test_the_world_is_four_strokes_with_independent_slips():
    joint = chapter.stroke_world()
    assert joint.shape == (4, 16) and joint.dtype == torch.float64 and abs(float(joint.sum()) - 1) < 1e-12
    for z, (stroke, chance) in enumerate(zip(chapter.STROKES.values(), chapter.CHANCES, strict=True)):
        for state in range(16):
            slips = sum(a != b for a, b in zip(stroke, pattern(state), strict=True))
            assert float(joint[z, state]) == pytest.approx(chance * 0.05**slips * 0.95 ** (4 - slips), abs=1e-12)


def test_exactly_one_of_two_pixels_across_a_diagonal_is_in_a_stroke():
    assert all(a + d == 1 and b + c == 1 for a, b, c, d in chapter.STROKES.values())


@pytest.mark.parametrize("joint", [*chapter.codes().values(), random_table(9, 5).view(4, 8)])
def test_the_account_is_that_of_the_written_out_sums(joint):
    information, known, paid = chapter.account(joint)
    p_z, p = joint.sum(1), joint.sum(0)
    pairs = itertools.product(range(joint.shape[0]), range(joint.shape[1]))
    by_hand = sum(float(joint[z, s] * (joint[z, s] / p_z[z] / p[s]).log2()) for z, s in pairs)
    assert information == pytest.approx(by_hand, abs=1e-9)
    assert information + known == pytest.approx(bits_of(p), abs=1e-9)
    assert paid == pytest.approx(float(images.conditional_total_correlation(joint)) / math.log(2), abs=1e-9)


def test_the_price_changes_by_what_pixels_tell_of_z_together_less_one_by_one():
    for joint in chapter.codes().values():
        p, p_z = joint.sum(0), joint.sum(1)
        x = images.all_images((1, 2, 2)).flatten(1)
        apart = 0.0
        for i, value in itertools.product(range(4), (0, 1)):
            both = joint[:, x[:, i] == value].sum(1)
            apart += float((both * (both / both.sum() / p_z).log2()).sum())
        together, _, paid = chapter.account(joint)
        without = float(images.total_correlation(p)) / math.log(2)
        assert paid == pytest.approx(without + together - apart, abs=1e-9)


def test_half_a_hint_is_dearer_than_none_and_the_whole_is_free():
    nothing, half, whole = (chapter.account(joint)[2] for joint in chapter.codes().values())
    assert whole == 0 < nothing < half


def test_two_coins_and_whether_they_differ_cost_one_bit():
    joint = torch.tensor([[0.25, 0.0, 0.0, 0.25], [0.0, 0.25, 0.25, 0.0]], dtype=torch.float64)
    assert images.total_correlation(joint.sum(0)) == pytest.approx(0, abs=1e-12)
    assert chapter.account(joint) == pytest.approx((1.0, 1.0, 1.0))


# Chains that forget, and chains that are wrong.


@pytest.mark.parametrize("seed", SEEDS)
def test_a_memory_of_one_pixel_costs_what_the_forgotten_pixels_tell(seed):
    p, order = random_table(seed), torch.randperm(4, generator=torch.Generator().manual_seed(seed)).tolist()
    model = chapter.one_pixel_memory(p, order)
    assert abs(float(model.sum()) - 1) < 1e-12
    truth = images.chain(p, order)
    forgotten = 0.0
    for k in range(2, 4):
        near = images.marginal(p, order[k - 1 : k + 1]) / images.marginal(p, order[k - 1 : k])
        forgotten += float((p * (truth[k] / near).log2()).sum())
    price = float(images.code_length(p, model) - images.code_length(p, p))
    assert price == pytest.approx(forgotten, abs=1e-9) and price > 1e-3


def test_two_pixels_have_nothing_to_forget():
    p = random_table(0, 2)
    assert torch.allclose(chapter.one_pixel_memory(p, [1, 0]), p, atol=1e-12)


def test_the_steps_across_the_diagonal_decide_what_forgetting_costs():
    p, by_steps = chapter.stroke_world().sum(0), {0: [], 1: [], 2: []}
    for order in itertools.permutations(range(4)):
        cost = float(images.code_length(p, chapter.one_pixel_memory(p, order)))
        by_steps[sum(a + b == 3 for a, b in itertools.pairwise(order))].append(cost)
    assert [len(costs) for costs in by_steps.values()] == [8, 8, 8]
    assert max(by_steps[2]) < min(by_steps[1]) and max(by_steps[1]) < min(by_steps[0])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 4.0])
def test_one_wrong_conditional_costs_its_mean_divergence(power):
    p, order = random_table(5), [2, 0, 3, 1]
    model = chapter.tempered_last(p, order, power)
    assert abs(float(model.sum()) - 1) < 1e-12
    price = float(images.code_length(p, model) - images.code_length(p, p)) * math.log(2)
    assert price == pytest.approx(float(kl_divergence(Categorical(p), Categorical(model))), abs=1e-12)
    assert torch.allclose(images.chain(model, order)[:3], images.chain(p, order)[:3], atol=1e-12)
    if power == 0:
        assert torch.allclose(images.chain(model, order)[3], torch.tensor(0.5).double())
    if power == 1:
        assert torch.allclose(model, p, atol=1e-12)


def test_doubt_at_one_pixel_never_costs_more_than_a_bit_and_certainty_may():
    for seed in SEEDS:
        p = random_table(seed)
        price = [images.code_length(p, chapter.tempered_last(p, range(4), t)) for t in (0.0, 1.0, 60.0)]
        assert price[1] < price[0] <= price[1] + 1 < price[2]


# Conditionals on everything else.


def test_the_product_of_full_conditionals_sums_to_at_least_e_to_the_dual_total_correlation():
    for p in [*chapter.random_worlds(), *chapter.named_worlds().values()]:
        total, dual = images.full_conditionals(p).prod(0).sum(), images.dual_total_correlation(p)
        assert dual > -1e-12 and total >= dual.exp() - 1e-9


def test_the_numbers_of_tables_are_counted_context_by_context():
    contexts = [len(list(itertools.product([0, 1], repeat=before))) for before in range(4)]
    assert result("C03.numbers.chain").value == sum(contexts)
    assert result("C03.numbers.full").value == 4 * contexts[-1]


def test_only_independent_pixels_multiply_to_a_distribution():
    worlds = chapter.named_worlds()
    totals = {name: float(images.full_conditionals(p).prod(0).sum()) for name, p in worlds.items()}
    assert totals.pop("independent pixels") == pytest.approx(1, abs=1e-12)
    assert all(total > 1.5 for total in totals.values())
    assert all(abs(float(p.sum()) - 1) < 1e-12 for p in worlds.values())
    possible = [pattern(state) for state in range(16) if worlds["an even number of dots"][state] > 0]
    assert len(possible) == 8 and all(sum(pixels) % 2 == 0 for pixels in possible)


def test_the_random_worlds_are_a_hundred_of_each_size_and_all_different():
    worlds = chapter.random_worlds()
    assert [len(p) for p in worlds] == [4] * 100 + [8] * 100 + [16] * 100
    assert len({float(p[0]) for p in worlds}) == 300


def test_either_conditional_of_two_pixels_tells_the_odds_ratio_of_their_joint():
    p = random_table(1, 2).view(2, 2)
    ratio = p[0, 0] * p[1, 1] / (p[0, 1] * p[1, 0])
    for conditional in (p / p.sum(0, keepdim=True), p / p.sum(1, keepdim=True)):
        assert torch.allclose(conditional[0, 0] * conditional[1, 1] / (conditional[0, 1] * conditional[1, 0]), ratio)
    equal, different = (torch.tensor(rows) for rows in ([[0.9, 0.1], [0.1, 0.9]], [[0.1, 0.9], [0.9, 0.1]]))
    told = [float(c[0, 0] * c[1, 1] / (c[0, 1] * c[1, 0])) for c in (equal, different)]
    assert told == pytest.approx([81, 1 / 81])


# Digits.


def test_each_coin_is_how_often_its_pixel_was_black(splits, coins):
    train = splits.train
    z = chapter.one_hot(torch.arange(10))
    p = torch.sigmoid(coins(torch.zeros(10, 1, 8, 8), z)).detach()
    for label in (0, 7):
        group = train.images[train.labels == label]
        assert torch.allclose(p[label], (group.sum(0) + 1) / (len(group) + 2), atol=1e-5)
    few = Split(train.images[:50], train.labels[:50])
    by_hand = [
        -torch.where(x == 1, p[y], 1 - p[y]).log().sum() for x, y in zip(few.images, few.labels.tolist(), strict=True)
    ]
    assert torch.allclose(bill(coins, few).float(), torch.stack(by_hand), rtol=1e-4)


def test_coins_that_never_saw_their_pixel_change_are_counted_and_what_they_rule_out(splits, coins):
    def split(images):
        x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 1, 3)
        return Split(x.repeat(10, 1, 1, 1), torch.arange(10).repeat_interleave(len(x)))

    train = split([[0, 1, 0], [0, 1, 1]])
    allowed, ruled_out = [[0, 1, 1]], [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert chapter.raw_coins(train, split(allowed)) == (20, 0)
    assert chapter.raw_coins(train, split(allowed + ruled_out)) == (20, 30)
    frequency = torch.stack([splits.train.images[splits.train.labels == label].mean(0) for label in range(10)])
    possible = torch.where(splits.test.images == 1, frequency[splits.test.labels], 1 - frequency[splits.test.labels])
    certain, impossible = chapter.raw_coins(splits.train, splits.test)
    assert certain == int((frequency * (1 - frequency) == 0).sum()) == 201
    assert impossible == int((possible.flatten(1).min(1).values == 0).sum()) == 2
    assert bool(torch.isfinite(bill(coins, splits.test)).all())


def test_no_other_coins_fit_the_training_digits_much_better(splits, coins):
    x, z = splits.train.images, chapter.one_hot(splits.train.labels)
    loss = -coins.log_prob(x, z).mean()
    (slope,) = torch.autograd.grad(loss, coins.network[0].weight)
    assert float(slope.abs().max()) < 2e-3


def test_a_coin_set_from_m_digits_pays_about_one_over_two_m(splits):
    def paid(mean, digits):
        heads = torch.arange(digits + 1).double()
        truth, coin = torch.broadcast_tensors(mean[:, None], (heads + 1) / (digits + 2))
        chance = Binomial(digits, probs=truth).log_prob(heads).exp()
        return float((chance * kl_divergence(Bernoulli(truth), Bernoulli(coin))).sum())

    assert paid(torch.tensor([0.3]).double(), 130) == pytest.approx(1 / 260, rel=0.05)
    groups = [splits.train.images[splits.train.labels == label].double() for label in range(10)]
    total = sum(paid(x.mean(0).flatten().clamp(1e-9, 1 - 1e-9), len(x)) for x in groups) / 10
    assert 1 <= total / (640 / (2 * len(splits.train))) < 1.4
    never_black = torch.tensor([1e-12]).double()
    assert paid(never_black, 130) == pytest.approx(1 / 131.5, rel=1e-3), "such a coin pays about 1 / m, not half of it"


def test_the_label_unknown_is_the_mixture_over_labels(splits, coins):
    few = Split(splits.test.images[:20], splits.test.labels[:20])
    given = [bill(coins, Split(few.images, torch.full((20,), label))) for label in range(10)]
    mixed = -torch.stack(given).neg().exp().mean(0).log()
    unknown, known = chapter.label_unknown(coins, few), bill(coins, few)
    assert torch.allclose(unknown, mixed, atol=1e-6)
    assert bool((unknown - known <= math.log(10) + 1e-6).all())


def test_the_objective_unpacks_what_was_paired(splits):
    few = Split(splits.test.images[:6], splits.test.labels[:6])
    model = chapter.labelled_pixelcnn(0)
    pairs = chapter.paired(few)
    assert pairs.shape == (6, 74)
    terms = chapter.nll_given_label(model, pairs, torch.Generator())
    assert float(terms["loss"].detach()) == pytest.approx(float(bill(model, few).mean()), abs=1e-4)
    swapped = Split(few.images, few.labels.roll(1))
    assert not torch.allclose(bill(model, few), bill(model, swapped))


def test_the_pixelcnn_of_the_chapter_is_the_same_at_every_call_and_differs_by_seed():
    first, again, other = (chapter.labelled_pixelcnn(seed).last.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_mean_pictures_are_grey_and_drawings_black_or_white(splits, coins):
    few = splits.test[:30]
    mean, made = chapter.mean_pictures(coins, few), chapter.drawn(coins, few, 0)
    assert ((mean > 0.2) & (mean < 0.8)).any() and ((made == 0) | (made == 1)).all()
    many = torch.stack([chapter.drawn(coins, few, seed) for seed in range(200)]).mean(0)
    assert float((many - mean).abs().max()) < 0.2 and float((many - mean).abs().mean()) < 0.03


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chain_with_the_same_code_has_the_mean_of_the_coins_and_pays_less(seed):
    p = random_table(seed)
    x = images.all_images((1, 2, 2)).flatten(1)
    mean_of_chain, mean_of_coins = images.chain(p, [2, 0, 3, 1]).prod(0) @ x, images.factorised(p) @ x
    assert torch.allclose(mean_of_chain, mean_of_coins, atol=1e-12)
    assert images.code_length(p, p) < images.code_length(p, images.factorised(p)) - 1e-3


def test_told_which_stroke_no_pixel_pays_for_independence_and_every_one_is_grey():
    for row in chapter.codes()["which stroke"]:
        mean = row / row.sum() @ images.all_images((1, 2, 2)).flatten(1)
        assert torch.allclose(torch.minimum(mean, 1 - mean), torch.tensor(0.05).double())


def test_the_mean_of_many_drawings_is_each_labels_own(coins):
    mean = chapter.mean_drawing(coins, 400, 0)
    exact = torch.sigmoid(coins(torch.zeros(10, 1, 8, 8), chapter.one_hot(torch.arange(10)))).detach()
    assert mean.shape == (10, 1, 8, 8) and float((mean - exact).abs().max()) < 0.125
    assert bool(((mean * 400).frac().minimum(1 - (mean * 400).frac()) < 1e-3).all())


def test_the_live_experiment_reports_what_its_three_trainings_give(splits, monkeypatch):
    train, test = splits.train[:300], splits.test[:40]
    monkeypatch.setattr(chapter, "digits", lambda binary: (train, None, test))
    monkeypatch.setattr(chapter, "LIVE", replace(chapter.LIVE, steps=3, warm_up=1))
    told = {entry.key: entry for entry in chapter.live_digits()}
    coins, z = chapter.labelled_coins(train), chapter.one_hot(test.labels)
    models = [chapter.labelled_pixelcnn(seed) for seed in SEEDS]
    for seed, model in enumerate(models):
        plan = replace(chapter.LIVE, seed=seed)
        fit(model, chapter.nll_given_label, chapter.paired(train), plan, progress=False)
    with torch.no_grad():
        paid = [float(-model.log_prob(test.images, z).mean()) for model in models]
        made = [model.sample(len(test), torch.Generator().manual_seed(seed), z) for seed, model in enumerate(models)]
    alone = float(bill(coins, test).mean())
    assert told["C02.digits.coins"].value == pytest.approx(alone, abs=1e-9)
    means = [chapter.mean_drawing(model, 400, seed)[test.labels] for seed, model in enumerate(models)]
    expected = {
        "C02.digits.pixelcnn": paid,
        "C02.digits.price": [alone - one for one in paid],
        "01.digits.label_unknown": [float(chapter.label_unknown(model, test).mean()) for model in models],
        "C02.sharpness.chain_mean": [chapter.sharpness(x, test.images) for x in means],
        "C02.sharpness.pixelcnn": [chapter.sharpness(x, test.images) for x in made],
        "C02.stray.pixelcnn": [chapter.stray_dots(x) for x in made],
    }
    for key, values in expected.items():
        assert told[key].value == pytest.approx(statistics.mean(values), abs=1e-5), key
        assert told[key].spread == pytest.approx(statistics.stdev(values), abs=1e-5) and told[key].spread > 0, key
    assert set(told) == {e.key for e in results().values() if e.command.endswith("measure 01.digits")}


def test_each_pixel_and_label_has_its_own_line_on_the_bill(splits):
    few, model = splits.test[:5], chapter.labelled_pixelcnn(1)
    lines = chapter.per_pixel(model, few)
    p = torch.sigmoid(model(few.images, chapter.one_hot(few.labels)))[:, 0].detach()
    by_hand = -torch.where(few.images[:, 0] == 1, p, 1 - p).log().double()
    assert lines.shape == (5, 8, 8) and torch.allclose(lines, by_hand, rtol=1e-4)

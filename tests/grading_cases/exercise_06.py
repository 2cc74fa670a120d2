"""Answers to exercise 06, written as beginners write them: loops, the library, and one thing wrong at a time."""

import math

import torch
import torch.nn.functional as F
from torch import distributions as dist

from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.models.masks import causal_mask

INF = float("inf")


# The first layer.


def maps_of(z, paint):
    """The maps, a number of the code at a time."""
    maps = 0
    for number in range(z.shape[1]):
        maps = maps + z[:, number, None, None, None] * paint[number]
    return maps


def raster(k, centre=False):
    mask = torch.zeros(k, k)
    mask[: k // 2] = 1
    mask[k // 2, : k // 2 + int(centre)] = 1
    return mask


def layer_in_two(x, z, weight, paint):
    """The image and the maps through convolutions of their own, then added."""
    k = weight.shape[-1]
    seen = F.conv2d(x, weight[:, :1] * raster(k).to(weight), padding=k // 2)
    return seen + F.conv2d(maps_of(z, paint), weight[:, 1:], padding=k // 2)


def layer_by_flat_maps(x, z, weight, paint):
    k = weight.shape[2]
    maps = (z @ paint.reshape(len(paint), -1)).reshape(len(z), *paint.shape[1:])
    mask = torch.ones(weight.shape[1:], dtype=weight.dtype)
    mask[0, k // 2, k // 2 :] = 0
    mask[0, k // 2 + 1 :] = 0
    return F.conv2d(torch.hstack([x, maps]), weight * mask, padding="same")


def layer_by_places(x, z, weight, paint):
    """Pixel by pixel, each a sum over what its window may see."""
    k = weight.shape[-1]
    edge = k // 2
    inputs = F.pad(torch.cat([x, torch.tensordot(z, paint, 1)], 1), (edge,) * 4)
    rows = []
    for row in range(x.shape[2]):
        cells = []
        for column in range(x.shape[3]):
            window = inputs[:, :, row : row + k, column : column + k]
            past = window[:, :1] * raster(k).to(x.dtype)
            cells.append(torch.einsum("bikl,oikl->bo", torch.cat([past, window[:, 1:]], 1), weight))
        rows.append(torch.stack(cells, -1))
    return torch.stack(rows, -2)


def conditioned(mask_of, order=None, pad=True):
    """mask_of(k, channels) is a mask [channels, k, k]; order(x, maps) is what goes through the convolution."""

    def answer(x, z, weight, paint):
        k = weight.shape[-1]
        inputs = (order or (lambda x, maps: torch.cat([x, maps], 1)))(x, maps_of(z, paint))
        return F.conv2d(inputs, weight * mask_of(k, weight.shape[1]).to(weight.dtype), padding=k // 2 if pad else 0)

    return answer


def masks(image, code=lambda k: torch.ones(k, k)):
    return lambda k, channels: torch.stack([image(k)] + [code(k)] * (channels - 1))


def by_library(x, z, weight, paint):
    """All channels through a masked convolution, as if the maps were colours of the image."""
    mask = causal_mask("A", weight.shape[0], weight.shape[1], weight.shape[-1], 1).to(weight.dtype)
    return F.conv2d(torch.cat([x, maps_of(z, paint)], 1), weight * mask, padding=weight.shape[-1] // 2)


def weights_zeroed(x, z, weight, paint):
    k = weight.shape[-1]
    weight[:, 0, k // 2, k // 2 :] = 0
    weight[:, 0, k // 2 + 1 :] = 0
    return F.conv2d(torch.cat([x, maps_of(z, paint)], 1), weight, padding=k // 2)


def weights_data_zeroed(x, z, weight, paint):
    weight.data[:, 0] *= raster(weight.shape[-1]).to(weight.dtype)
    return F.conv2d(torch.cat([x, maps_of(z, paint)], 1), weight, padding=weight.shape[-1] // 2)


def from_numbers(x, z, weight, paint):
    with torch.no_grad():
        return layer_in_two(x, z, weight, paint)


def padded_for_three(x, z, weight, paint):
    mask = masks(raster)(weight.shape[-1], weight.shape[1]).to(weight.dtype)
    return F.conv2d(torch.cat([x, maps_of(z, paint)], 1), weight * mask, padding=1)


def in_single_precision(x, z, weight, paint):
    return layer_in_two(*(t.float() for t in (x, z, weight, paint)))


def weight_copied(x, z, weight, paint):
    own = weight.clone().detach()
    own[:, 0] *= raster(weight.shape[-1]).to(weight.dtype)
    return F.conv2d(torch.cat([x, maps_of(z, paint)], 1), own, padding=weight.shape[-1] // 2)


def read_as(change):
    """The right layer for maps read another way: change(z, paint) is [batch, maps, height, width]."""

    def answer(x, z, weight, paint):
        k = weight.shape[-1]
        mask = masks(raster)(k, weight.shape[1]).to(weight.dtype)
        return F.conv2d(torch.cat([x, change(z, paint)], 1), weight * mask, padding=k // 2)

    return answer


def right_ajar(k):
    """The centre and the rows below are hidden, and nothing else."""
    mask = rows_below_hidden(k)
    mask[k // 2, k // 2] = 0
    return mask


def rows_below_hidden(k):
    return (torch.arange(k)[:, None] <= k // 2).float().repeat(1, k)


def below_ajar(k):
    mask = torch.ones(k, k)
    mask[k // 2, k // 2 :] = 0
    return mask


def but_the_centre(k):
    mask = torch.ones(k, k)
    mask[k // 2, k // 2] = 0
    return mask


def on_outputs(inputs):
    """mask[0, inputs] where mask[:, 0] is meant."""

    def answer(x, z, weight, paint):
        mask = torch.ones_like(weight)
        mask[0, inputs] = raster(weight.shape[-1]).to(weight.dtype)
        return F.conv2d(torch.cat([x, maps_of(z, paint)], 1), weight * mask, padding=weight.shape[-1] // 2)

    return answer


LAYER_WRONG = [
    (conditioned(masks(raster, raster)), "code_through_the_mask"),
    (by_library, "code_through_the_mask"),
    (conditioned(masks(raster, lambda k: raster(k, True))), "code_through_mask_b"),
    (conditioned(lambda k, channels: torch.ones(channels, k, k)), "nothing_masked"),
    (conditioned(masks(lambda k: raster(k, True))), "image_sees_itself"),
    (conditioned(masks(lambda k: torch.ones(k, k), raster)), "maps_masked_instead"),
    (conditioned(masks(lambda k: 1 - raster(k, True))), "future_for_past"),
    (conditioned(masks(lambda k: raster(k) * (torch.arange(k) < k // 2)[:, None])), "own_row_hidden"),
    (conditioned(masks(lambda k: raster(k) * (torch.arange(k) <= k // 2))), "upper_right_hidden"),
    (conditioned(masks(raster, lambda k: raster(k, True) - raster(k))), "own_place_only"),
    (conditioned(masks(raster), lambda x, maps: torch.cat([maps, x], 1)), "maps_before_image"),
    (
        conditioned(lambda k, c: masks(raster)(k, c).flip(0), lambda x, maps: torch.cat([maps, x], 1)),
        "maps_before_image",
    ),
    (conditioned(masks(raster), lambda x, maps: torch.cat([x, torch.zeros_like(maps)], 1)), "code_forgotten"),
    (conditioned(masks(lambda k: torch.zeros(k, k))), "image_forgotten"),
    (read_as(lambda z, paint: maps_of(z[0].expand_as(z), paint)), "one_code_for_all"),
    (read_as(lambda z, paint: maps_of(z.mean(0, keepdim=True), paint).repeat(len(z), 1, 1, 1)), "codes_averaged"),
    (read_as(lambda z, paint: torch.einsum("bc,cmhw->mhw", z, paint).repeat(len(z), 1, 1, 1)), "codes_averaged"),
    (
        read_as(lambda z, paint: (z @ paint.mean((2, 3)))[..., None, None].expand(-1, -1, *paint.shape[2:])),
        "place_lost",
    ),
    (read_as(lambda z, paint: (z @ paint.reshape(-1, z.shape[1]).T).reshape(-1, *paint.shape[1:])), "maps_scrambled"),
    (conditioned(masks(raster), pad=False), "picture_shrinks"),
    (weights_zeroed, "weights_overwritten"),
    (weights_data_zeroed, "weights_overwritten"),
    (from_numbers, "gradients_cut"),
    (weight_copied, "gradients_cut"),
    (read_as(lambda z, paint: maps_of(z.detach(), paint)), "gradients_cut"),
    (read_as(lambda z, paint: maps_of(z, paint.detach())), "gradients_cut"),
    (padded_for_three, "padding_fixed"),
    (conditioned(masks(lambda k: 1 - raster(k))), "future_for_past"),
    (conditioned(masks(lambda k: raster(k).T)), "columns_for_rows"),
    (conditioned(masks(right_ajar)), "future_seen_in_part"),
    (conditioned(masks(below_ajar)), "future_seen_in_part"),
    (conditioned(masks(but_the_centre)), "future_seen_in_part"),
    (conditioned(masks(rows_below_hidden)), "future_seen_in_part"),
    (conditioned(masks(lambda k: raster(k, True), lambda k: raster(k, True))), "mask_b_everywhere"),
    (conditioned(masks(right_ajar, right_ajar)), "code_through_the_mask"),
    (on_outputs(slice(None)), "mask_of_one_output"),
    (on_outputs(0), "mask_of_one_output"),
    (read_as(lambda z, paint: paint.sum(0).repeat(len(z), 1, 1, 1)), "code_not_multiplied"),
    (read_as(lambda z, paint: (z[:, :, None, None, None] * paint).mean(1)), "mean_over_the_code"),
]


# One bit.


def bit_by_loops(pixels, q, prior, autoregressive):
    left_open, rate = 0.0, 0.0
    for z in range(len(prior)):
        of_zeros, of_ones = float(q[0, z]), float(q[1, z])
        for p in (of_zeros, of_ones):
            if p > 0:
                left_open -= p / 2 * math.log(p / (of_zeros + of_ones))
                rate += p / 2 * (math.log(p / float(prior[z])) if prior[z] > 0 else INF)
    return left_open if autoregressive else pixels * left_open, rate


def entropy(p):
    return torch.special.entr(p).sum(-1)


def bit_by_entropies(pixels, q, prior, autoregressive):
    """H(x|z) = log 2 + H(z|x) - H(z); the rate by torch's own KL of categorical distributions."""
    open_bits = math.log(2) + entropy(q).mean() - entropy(q.mean(0))
    p, f = (dist.Categorical(probs=table, validate_args=False) for table in (q, prior.expand_as(q)))
    return open_bits * (1 if autoregressive else pixels), dist.kl_divergence(p, f).mean()


def bit_by_world(pixels, q, prior, autoregressive):
    """The world of the library, its decoder made by Bayes' rule."""
    aggregate = q.mean(0)
    told = torch.where(aggregate > 0, q / (2 * aggregate), 0.5).T
    world = DiscreteWorld.from_tables(prior, told)
    account = world.account(q, torch.full((2,), 0.5, dtype=q.dtype))
    return account.distortion * (1 if autoregressive else pixels), account.rate


def bit(distortion=None, rate=None, charged=lambda n, flag: 1 if flag else n):
    """Written out, with 0 log 0 = 0 by xlogy, and one thing changed."""

    def answer(pixels, q, prior, autoregressive):
        joint, aggregate = q / 2, q.mean(0)
        h = (torch.special.entr(joint).sum() - entropy(aggregate)) if distortion is None else distortion(q, prior)
        r = cost(q, prior).mean() if rate is None else rate(pixels, q, prior)
        return charged(pixels, autoregressive) * h, r

    return answer


def cost(p, f):
    """KL(p, f) over the last axis, 0 log 0 = 0."""
    return torch.where(p > 0, p * torch.log(p / f), torch.zeros(())).sum(-1)


def bit_with_bayes(eps=0.0, clean=lambda t: t):
    def answer(pixels, q, prior, autoregressive):
        posterior = q / (q[0] + q[1])
        h = clean(-(q * torch.log(posterior + eps)).sum() / 2)
        rate = clean((q * (torch.log(q + eps) - torch.log(prior + eps))).sum() / 2)
        return (h, rate) if autoregressive else (pixels * h, rate)

    return answer


def bit_with_xlogy(pixels, q, prior, autoregressive):
    h = -torch.xlogy(q / 2, q / q.sum(0)).sum()
    return h if autoregressive else pixels * h, cost(q, prior).mean()


def bit_with_small(eps):
    """Every division and every logarithm helped along."""

    def answer(pixels, q, prior, autoregressive):
        posterior = q / (q.sum(0) + eps)
        h = -(0.5 * q * torch.log(posterior + eps)).sum()
        rate = (0.5 * q * torch.log((q + eps) / (prior + eps))).sum()
        return h * (1 if autoregressive else pixels), rate

    return answer


def bit_split(pixels, q, prior, autoregressive):
    h = bit_by_entropies(1, q, prior, True)[0]
    n = 1 if autoregressive else pixels
    return math.log(2) + (n - 1) * h, cost(q.mean(0), prior)


def finite_terms(pixels, q, prior, autoregressive):
    terms = q * (q / prior).log()
    rate = terms[torch.isfinite(terms)].sum() / 2
    return bit_by_entropies(pixels, q, prior, autoregressive)[0], rate


def open_codes(weights):
    """What each code leaves open, averaged with other weights."""

    def distortion(q, prior):
        posterior = (q / q.sum(0)).nan_to_num(0.5)
        used = q.sum(0) > 0
        return (weights(q, prior) * torch.special.entr(posterior).sum(0) * used).sum()

    return distortion


ONE_BIT_WRONG = [
    (bit(charged=lambda n, flag: n), "autoregressive_charged_for_all"),
    (bit(charged=lambda n, flag: 1), "independent_charged_once"),
    (bit(charged=lambda n, flag: n if flag else 1), "decoders_exchanged"),
    (bit(lambda q, prior: entropy(q).mean()), "bayes_forgotten"),
    (bit(lambda q, prior: torch.special.entr(q / 2).sum()), "joint_for_conditional"),
    (bit(open_codes(lambda q, prior: torch.full_like(prior, 1 / len(prior)))), "codes_weighed_alike"),
    (bit(open_codes(lambda q, prior: prior)), "codes_weighed_by_the_prior"),
    (bit(lambda q, prior: math.log(2)), "code_ignored"),
    (bit(lambda q, prior: entropy(q.mean(0)) - entropy(q).mean()), "information_for_distortion"),
    (bit_split, "closed_form_split"),
    (bit(charged=lambda n, flag: 0 if flag else n), "autoregressive_free"),
    (lambda *given: (sum(bit_by_entropies(*given)), bit_by_entropies(*given)[1]), "loss_for_distortion"),
    (bit(rate=lambda n, q, prior: cost(q, prior)), "images_left"),
    (bit(charged=lambda n, flag: 0 if flag else n - 1), "one_pixel_too_few"),
    (bit(rate=lambda n, q, prior: entropy(q.mean(0)) - entropy(q).mean()), "rate_is_information"),
    (bit(rate=lambda n, q, prior: cost(q.mean(0), prior)), "rate_of_the_aggregate"),
    (bit(rate=lambda n, q, prior: cost(prior.expand_as(q), q).mean()), "rate_reversed"),
    (bit(rate=lambda n, q, prior: n * cost(q, prior).mean()), "rate_per_pixel"),
    (bit(charged=lambda n, flag: 1 / n if flag else 1), "mean_over_pixels"),
    (bit(rate=lambda n, q, prior: cost(q, prior).sum()), "images_summed"),
    (lambda *given: [2 * value for value in bit_by_entropies(*given)], "images_summed"),
    (bit_with_bayes(), "zero_log_zero"),
    (bit_with_bayes(clean=torch.nan_to_num), "nan_hidden"),
    (finite_terms, "infinities_forgotten"),
    (bit_with_bayes(1e-12), "unused_code"),
    (bit_with_xlogy, "unused_code"),
    (bit_with_small(1e-12), "added_before_log"),
    (bit_with_small(1e-8), "added_before_log"),
    (
        bit(lambda q, prior: entropy(q.mean(0)) - entropy(q).mean(), charged=lambda n, flag: 1),
        "information_for_distortion",
    ),
    (bit(rate=lambda n, q, prior: -torch.xlogy(q.mean(0), prior).sum()), "rate_without_entropy"),
    (bit(rate=lambda n, q, prior: -entropy(q).mean()), "rate_without_prior"),
    (
        lambda n, q, f, flag: (bit_by_loops(n, q, f, flag)[0], 0.0 if flag else cost(q, f).mean()),
        "rate_only_of_the_independent",
    ),
    (lambda *given: sum(bit_by_entropies(*given)), "sum_returned"),
    (lambda *given: tuple(reversed(bit_by_entropies(*given))), "exchanged"),
    (lambda *given: tuple(value / math.log(2) for value in bit_by_entropies(*given)), "bits"),
]


# The information meter.


def meter_by_loops(log_q):
    n = len(log_q)
    if n < 2:
        raise ValueError("more images, please")
    lower = upper = 0.0
    for i in range(n):
        row = [float(value) for value in log_q[i]]
        lower += row[i] - log_mean(row)
        upper += row[i] - log_mean(row[:i] + row[i + 1 :])
    return lower / n, upper / n, math.log(n)


def log_mean(values):
    top = max(values)
    if top == -INF:
        return -INF
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values))


def meter_by_copy(log_q):
    n = log_q.shape[0]
    if n == 1:
        raise ValueError("a single image cannot be told from others")
    own, others = torch.diag(log_q), log_q.clone()
    others.fill_diagonal_(-INF)
    lower = (own - torch.logsumexp(log_q - math.log(n), 1)).sum() / n
    return lower, torch.mean(own - torch.logsumexp(others, 1)) + math.log(n - 1), torch.tensor(float(n)).log()


def meter_by_shape(log_q):
    """The others as a table [n, n - 1] of their own."""
    n = len(log_q)
    others = log_q[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)
    own, logs = log_q.diagonal(), (math.log(n), math.log(n - 1))
    return (own - log_q.logsumexp(1)).mean() + logs[0], (own - others.logsumexp(1)).mean() + logs[1], logs[0]


def measured(lower=None, upper=None, ceiling=None):
    """Right, but for a bound of each image that is made otherwise."""

    def answer(log_q):
        n, own = len(log_q), log_q.diagonal()
        low, high, top = meter_by_shape(log_q)
        return (
            lower(log_q, own, n).mean() if lower else low,
            upper(log_q, own, n).mean() if upper else high,
            ceiling(n) if ceiling else top,
        )

    return answer


def without(log_q, value=-INF):
    return log_q.clone().fill_diagonal_(value)


def plain_densities(log_q, eps=0.0):
    p, n, own = log_q.exp(), len(log_q), log_q.diagonal()
    if n < 2:
        raise ValueError
    lower = own - torch.log(p.mean(1) + eps)
    return lower.mean(), (own - torch.log((p.sum(1) - p.diagonal()) / (n - 1) + eps)).mean(), math.log(n)


def shifted_by(shift):
    def answer(log_q):
        n, own, p = len(log_q), log_q.diagonal(), (log_q - shift(log_q)).exp()
        if n < 2:
            raise ValueError
        totals = p.sum(1), p.sum(1) - p.diagonal()
        moved = shift(log_q).squeeze()
        lower, upper = (own - moved - (s / k).log() for s, k in zip(totals, (n, n - 1), strict=True))
        return lower.mean(), upper.mean(), math.log(n)

    return answer


def diagonal_lost(log_q):
    own = log_q.diagonal().clone()
    if len(own) < 2:
        raise ValueError
    lower = (own - log_q.logsumexp(1)).mean() + math.log(len(own))
    log_q.fill_diagonal_(-INF)
    return lower, (own - log_q.logsumexp(1)).mean() + math.log(len(own) - 1), math.log(len(own))


def accepts_one(log_q):
    if len(log_q) == 1:
        return torch.zeros(()).double(), torch.zeros(()).double(), 0.0
    return meter_by_shape(log_q)


def changed(make):
    """make(lower, upper, ceiling) of a right answer."""
    return lambda log_q: make(*meter_by_copy(log_q))


def blanked(log_q):
    """Densities with 0 on the diagonal, by a product."""
    return log_q.exp() * (1 - torch.eye(len(log_q), dtype=log_q.dtype))


def upper_where_finite(log_q):
    low, _, top = meter_by_shape(log_q)
    values = log_q.diagonal() - without(log_q).logsumexp(1) + math.log(len(log_q) - 1)
    return low, values[torch.isfinite(values)].mean(), top


def meter_with_an_assert(log_q):
    assert log_q.shape[0] >= 2, "more images, please"
    return meter_by_copy(log_q)


INFORMATION_WRONG = [
    (lambda log_q: meter_by_shape(log_q.T), "wrong_axis"),
    (
        measured(
            lambda log_q, own, n: own - log_q.logsumexp(1), lambda log_q, own, n: own - without(log_q).logsumexp(1)
        ),
        "count_forgotten",
    ),
    (measured(lambda log_q, own, n: own - log_q.logsumexp(1)), "count_forgotten"),
    (measured(upper=lambda log_q, own, n: own - without(log_q).logsumexp(1) + math.log(n)), "count_of_all_for_others"),
    (measured(lambda log_q, own, n: own - log_q.logsumexp(1) + math.log(n - 1)), "count_of_others_for_all"),
    (measured(upper=lambda log_q, own, n: own - log_q.logsumexp(1) + math.log(n - 1)), "own_left_in"),
    (measured(upper=lambda log_q, own, n: own - log_q.logsumexp(1) + math.log(n)), "own_left_in"),
    (
        measured(lambda log_q, own, n: own - without(log_q).logsumexp(1) + math.log(n - 1)),
        "own_left_out_of_both",
    ),
    (
        measured(upper=lambda log_q, own, n: own - without(log_q, 0.0).logsumexp(1) + math.log(n - 1)),
        "diagonal_still_counts",
    ),
    (
        measured(upper=lambda log_q, own, n: own - without(log_q, -1e9).logsumexp(1) + math.log(n - 1)),
        "diagonal_only_made_small",
    ),
    (
        measured(lambda log_q, own, n: own - log_q.mean(1), lambda log_q, own, n: own - (log_q.sum(1) - own) / (n - 1)),
        "logarithms_averaged",
    ),
    (plain_densities, "underflow"),
    (lambda log_q: plain_densities(log_q, 1e-12), "added_before_log"),
    (lambda log_q: plain_densities(log_q, 1e-40), "added_before_log"),
    (shifted_by(lambda log_q: log_q.max()), "one_maximum_for_all"),
    (shifted_by(lambda log_q: log_q.max(1, keepdim=True).values), "own_subtracted"),
    (changed(lambda low, high, top: (low, high.clamp(max=float(top)), top)), "clipped_at_the_ceiling"),
    (changed(lambda low, high, top: (low, torch.nan_to_num(high), top)), "infinity_replaced"),
    (changed(lambda low, high, top: (high, low, top)), "bounds_exchanged"),
    (changed(lambda low, high, top: (low, high, top / math.log(2))), "ceiling_in_bits"),
    (changed(lambda low, high, top: (low, high, top.exp())), "ceiling_is_a_count"),
    (changed(lambda low, high, top: (low, high, 2 * top)), "ceiling_of_the_table"),
    (changed(lambda low, high, top: (low * top.exp(), high * top.exp(), top)), "images_summed"),
    (changed(lambda low, high, top: (-low, -high, top)), "sign_flipped"),
    (changed(lambda low, high, top: (low / math.log(2), high / math.log(2), top / math.log(2))), "bits"),
    (
        measured(
            lambda log_q, own, n: log_q.max(1).values - log_q.logsumexp(1) + math.log(n),
            lambda log_q, own, n: log_q.max(1).values - without(log_q).logsumexp(1) + math.log(n - 1),
        ),
        "largest_for_own",
    ),
    (diagonal_lost, "table_overwritten"),
    (accepts_one, "single_image_accepted"),
    (changed(lambda low, high, top: (torch.relu(low), torch.relu(high), top)), "cut_off_at_zero"),
    (measured(upper=lambda log_q, own, n: own - without(log_q).logsumexp(0) + math.log(n - 1)), "wrong_axis"),
    (measured(lambda log_q, own, n: log_q.log_softmax(0).diagonal() + math.log(n)), "wrong_axis"),
    (measured(upper=lambda log_q, own, n: own - blanked(log_q).mean(1).log() - math.log(n / (n - 1))), "underflow"),
    (upper_where_finite, "infinity_left_out"),
    (meter_with_an_assert, "assert_for_error"),
]


# The plane.


def plane_by_loops(rate, distortion, information, beta):
    models = range(len(rate))
    if any(float(information[i]) > float(rate[i]) + 0.1 for i in models):
        raise ValueError("a meter is wrong")
    below = [
        any(
            rate[j] <= rate[i]
            and distortion[j] <= distortion[i]
            and (rate[j], distortion[j]) != (rate[i], distortion[i])
            for j in models
        )
        for i in models
    ]
    losses = [float(distortion[i] + beta * rate[i]) for i in models]
    return distortion + rate, rate - information, torch.tensor(below), losses.index(min(losses))


def plane_by_axes(rate, distortion, information, beta):
    """Another model lies in the quadrant below and to the left, its border included, and not in the same place."""
    if (information - rate).max() > 0.1:
        raise ValueError("information above the rate")
    right, above = rate.unsqueeze(1) - rate, distortion.unsqueeze(1) - distortion
    worse = ((right >= 0) & (above >= 0) & (right + above > 0)).any(dim=1)
    return rate + distortion, -(information - rate), worse, (distortion + rate * beta).argmin()


def read(*made):
    """(bound, gap, dominated, chosen), each made of (r, d, i, beta), or None where it is right."""

    def answer(rate, distortion, information, beta):
        right = plane_by_axes(rate, distortion, information, beta)
        return tuple(
            f(rate, distortion, information, beta) if f else value for f, value in zip(made, right, strict=True)
        )

    return answer


def below(rule):
    """dominated by a rule of (r_other, r, d_other, d), by loops."""

    def dominated(r, d, i, beta):
        models = range(len(r))
        return torch.tensor([any(rule(r[j], r[m], d[j], d[m]) for j in models if j != m) for m in models])

    return read(None, None, dominated, None)


def without_a_check(rate, distortion, information, beta):
    return (
        plane_by_axes(rate, distortion, torch.zeros_like(rate), beta)[0],
        rate - information,
        *plane_by_axes(rate, distortion, torch.zeros_like(rate), beta)[2:],
    )


def strict_check(rate, distortion, information, beta):
    if (information > rate).any():
        raise ValueError("information above the rate")
    return plane_by_axes(rate, distortion, information, beta)


def refusing(rule, error=ValueError):
    """Right, but for when it refuses, or with which exception."""

    def answer(rate, distortion, information, beta):
        if rule(rate, information):
            raise error("information above the rate")
        _, _, worse, chosen = plane_by_axes(rate, distortion, torch.zeros_like(rate), beta)
        return distortion + rate, rate - information, worse, chosen

    return answer


PLANE_WRONG = [
    (read(lambda r, d, i, beta: i + d, None, None, None), "information_for_rate_in_the_bound"),
    (read(lambda r, d, i, beta: beta * r + d, None, None, None), "beta_in_the_bound"),
    (read(lambda r, d, i, beta: -r - d, None, None, None), "elbo_for_bound"),
    (read(lambda r, d, i, beta: d - r, None, None, None), "rate_subtracted"),
    (read(lambda r, d, i, beta: d, None, None, None), "distortion_for_bound"),
    (read(None, lambda r, d, i, beta: i - r, None, None), "gap_reversed"),
    (read(None, lambda r, d, i, beta: d - i, None, None), "gap_of_the_bound"),
    (read(None, lambda r, d, i, beta: r, None, None), "rate_for_gap"),
    (read(None, lambda r, d, i, beta: (r - i) / r, None, None), "gap_as_a_share"),
    (below(lambda r2, r, d2, d: r2 < r and d2 < d), "dominated_strictly"),
    (below(lambda r2, r, d2, d: r2 <= r and d2 < d), "equal_distortion_missed"),
    (below(lambda r2, r, d2, d: r2 < r and d2 <= d), "equal_rate_missed"),
    (below(lambda r2, r, d2, d: r2 < r or d2 < d), "either_is_enough"),
    (
        read(None, None, lambda r, d, i, b: ((r[:, None] <= r) & (d[:, None] <= d)).any(0), None),
        "dominated_by_itself",
    ),
    (read(None, None, lambda r, d, i, b: ~plane_by_axes(r, d, i, b)[2], None), "not_dominated"),
    (read(None, None, lambda r, d, i, b: plane_by_axes(-r, -d, -r, b)[2], None), "dominates"),
    (read(None, None, lambda r, d, i, b: plane_by_axes(-r, d, -r, b)[2], None), "more_rate_is_better"),
    (read(None, None, lambda r, d, i, b: r + d != (r + d).min(), None), "dominated_by_the_elbo"),
    (read(None, None, None, lambda r, d, i, b: torch.argmin(b * d + r)), "beta_on_distortion"),
    (read(None, None, None, lambda r, d, i, b: torch.argmin(d + r / b)), "beta_on_distortion"),
    (read(None, None, None, lambda r, d, i, b: torch.argmin(d + r)), "beta_forgotten"),
    (read(None, None, None, lambda r, d, i, b: torch.argmin(d + b * i)), "beta_on_information"),
    (read(None, None, None, lambda r, d, i, b: torch.argmax(d + b * r)), "worst_chosen"),
    (read(None, None, None, lambda r, d, i, b: torch.argmin(d - b * r)), "beta_earned"),
    (read(None, None, None, lambda r, d, i, b: torch.min(d + b * r)), "value_for_model"),
    (read(None, None, None, lambda r, d, i, b: torch.argmin(d + b * r) + 1), "counted_from_one"),
    (without_a_check, "impossible_accepted"),
    (read(None, lambda r, d, i, b: torch.relu(r - i), None, None), "gap_cut_off"),
    (read(None, None, lambda r, d, i, b: plane_by_axes(-i, d, -i, b)[2], None), "information_in_dominance"),
    (read(None, None, lambda r, d, i, b: plane_by_axes(-i, r + d, -i, b)[2], None), "information_in_dominance"),
    (read(None, None, lambda r, d, i, b: d + b * r != (d + b * r).min(), None), "all_but_the_chosen"),
    (read(None, None, None, lambda r, d, i, b: (d + b * r).sort().values.argmin()), "first_always_chosen"),
    (read(None, None, None, lambda r, d, i, b: r.argmin()), "least_rate_chosen"),
    (read(None, None, None, lambda r, d, i, b: d.argmin()), "least_distortion_chosen"),
    (strict_check, "chance_refused"),
    (refusing(lambda r, i: (i - r > 0.3).any()), "too_much_for_chance"),
    (refusing(lambda r, i: (i > 1.1 * r).any()), "too_much_for_chance"),
    (refusing(lambda r, i: ((r - i).abs() > 0.1).any()), "gap_refused"),
    (refusing(lambda r, i: (i > r + 0.1).any(), AssertionError), "assert_for_error"),
    (
        read(None, None, lambda r, d, i, b: (d[None] < d[:, None]).any(1) & (r[None] <= r[:, None]).any(1), None),
        "dominated_by_two",
    ),
    (read(None, None, lambda r, d, i, b: (d > d.min()) & (r > r.min()), None), "dominated_by_two"),
    (read(None, None, lambda r, d, i, b: plane_by_axes(r, d, r, b)[2].float(), None), "dominated_as_numbers"),
    (read(lambda r, d, i, b: (r + d).min(), None, None, None), "bound_of_all"),
    (read(lambda r, d, i, b: (r + d).mean(), None, None, None), "bound_of_all"),
]


# Bits back.


def pile_by_loop(log_prior, log_likelihood, log_q):
    net, height, lowest = [], 0.0, 0.0
    for p, likelihood, q in zip(log_prior.tolist(), log_likelihood.tolist(), log_q.tolist(), strict=True):
        height += q / math.log(2)
        lowest = min(lowest, height)
        height -= (p + likelihood) / math.log(2)
        net.append((q - p - likelihood) / math.log(2))
    return torch.tensor(net, dtype=log_q.dtype), -lowest


def pile_by_moments(log_prior, log_likelihood, log_q):
    """The pile after every single step: take, put, take, put."""
    steps = torch.stack([log_q, -log_prior - log_likelihood], 1) / math.log(2)
    return steps.sum(1), -steps.flatten().cumsum(0).min()


def pile_backwards(log_prior, log_likelihood, log_q):
    """What an image needs, and those after it beyond what it leaves them."""
    put, taken = -(log_prior + log_likelihood) / math.log(2), -log_q / math.log(2)
    needed = torch.zeros((), dtype=log_q.dtype)
    for t in reversed(range(len(put))):
        needed = taken[t] + (needed - put[t]).clamp(min=0)
    return put - taken, needed


def balance(net=None, needed=None):
    """net(put, taken), needed(put, taken) in bits, or None where it is right."""

    def answer(log_prior, log_likelihood, log_q):
        right = pile_backwards(log_prior, log_likelihood, log_q)
        put, taken = -(log_prior + log_likelihood) / math.log(2), -log_q / math.log(2)
        return net(put, taken) if net else right[0], needed(put, taken) if needed else right[1]

    return answer


def put_first(put, taken):
    height = lowest = 0.0
    for p, t in zip(put, taken, strict=True):
        height = height + p - t
        lowest = min(lowest, height)
    return -torch.as_tensor(lowest, dtype=put.dtype)


def shortfalls(put, taken):
    return taken - torch.cat([put.new_zeros(1), (put - taken).cumsum(0)[:-1]])


BITS_BACK_WRONG = [
    (balance(lambda put, taken: put), "nothing_given_back"),
    (balance(lambda put, taken: put, lambda put, taken: 0.0 * put.sum()), "nothing_given_back"),
    (balance(lambda put, taken: put + taken), "given_back_twice"),
    (lambda p, likelihood, q: pile_by_loop(torch.zeros_like(p), likelihood, q), "prior_forgotten"),
    (lambda p, likelihood, q: pile_by_loop(p, torch.zeros_like(p), q), "likelihood_forgotten"),
    (balance(lambda put, taken: taken - put), "sign_flipped"),
    (lambda *given: [value * math.log(2) for value in pile_by_loop(*given)], "nats"),
    (lambda *given: [value * math.log10(2) for value in pile_by_loop(*given)], "decimal_digits"),
    (lambda *given: [value * math.log(2) ** 2 for value in pile_by_loop(*given)], "multiplied_for_divided"),
    (balance(needed=put_first), "put_before_taken"),
    (balance(needed=lambda put, taken: taken[0]), "first_image_only"),
    (balance(needed=lambda put, taken: taken.max()), "largest_taken"),
    (balance(needed=lambda put, taken: taken.sum()), "all_taken"),
    (balance(needed=lambda put, taken: torch.zeros_like(put[0])), "nothing_needed"),
    (balance(needed=lambda put, taken: shortfalls(put.flip(0), taken.flip(0)).max()), "last_image_first"),
    (balance(needed=lambda put, taken: torch.relu((taken - put).sum())), "end_only"),
    (balance(needed=lambda put, taken: torch.relu(taken - put).max()), "each_image_alone"),
    (balance(needed=lambda put, taken: torch.relu((put - taken).cumsum(0).max())), "height_of_the_pile"),
    (balance(needed=shortfalls), "needed_of_each"),
    (balance(lambda put, taken: (put - taken).sum()), "images_summed"),
    (balance(lambda put, taken: (put - taken).mean()), "images_averaged"),
    (balance(lambda put, taken: torch.cumsum(put - taken, 0)), "running_total"),
    (lambda *given: pile_by_loop(*given)[::-1], "exchanged"),
    (balance(lambda put, taken: (put - taken) * math.log(2)), "nats"),
    (balance(needed=lambda put, taken: torch.relu(shortfalls(put, taken)[-1])), "last_image_only"),
    (balance(needed=lambda put, taken: (taken - torch.cumsum(put - taken, 0)).max()), "looked_at_after_the_put"),
    (balance(needed=lambda p, t: torch.relu((t - torch.cumsum(p - t, 0)).max())), "looked_at_after_the_put"),
    (balance(needed=lambda put, taken: torch.cumsum(put - taken, 0).min().abs()), "lowest_between_images"),
    (balance(needed=lambda put, taken: torch.cumsum(taken - put, 0).max()), "lowest_between_images"),
    (balance(lambda put, taken: torch.relu(put - taken)), "net_cut_off"),
    (balance(needed=lambda put, taken: torch.ceil(shortfalls(put, taken).max())), "bits_rounded"),
    (balance(lambda put, taken: torch.ceil(put) - torch.ceil(taken)), "bits_rounded"),
    (lambda p, ll, q: (p + ll - q, pile_by_loop(p, ll, q)[1]), "elbo_for_length"),
    (lambda p, ll, q: (-torch.log2(p.exp() * ll.exp() / q.exp()), pile_by_loop(p, ll, q)[1]), "probabilities_formed"),
]


# The flow.


def flow_by_loops(z, shift_weight, shift_bias, scale_weight, scale_bias):
    """Number after number, each a Gaussian given those before it."""
    total = 0
    for i in range(z.shape[1]):
        before = z[:, :i]
        mean = before @ shift_weight[i, :i] + shift_bias[i]
        scale = torch.exp(before @ scale_weight[i, :i] + scale_bias[i])
        total = total + dist.Normal(mean, scale, validate_args=False).log_prob(z[:, i])
    return total


def flow_by_jacobian(z, shift_weight, shift_bias, scale_weight, scale_bias):
    """The determinant from automatic differentiation, code by code, with no word about triangles."""

    def noise(code):
        shift = torch.tril(shift_weight, -1) @ code + shift_bias
        return (code - shift) / torch.exp(torch.tril(scale_weight, -1) @ code + scale_bias)

    values = []
    for code in z:
        jacobian = torch.autograd.functional.jacobian(noise, code, create_graph=True)
        e = noise(code)
        values.append(-0.5 * (e @ e) - 0.5 * len(e) * math.log(2 * math.pi) + torch.linalg.slogdet(jacobian)[1])
    return torch.stack(values)


def flow_by_normal(z, shift_weight, shift_bias, scale_weight, scale_bias):
    mask = torch.ones_like(shift_weight).tril(diagonal=-1)
    shift = F.linear(z, shift_weight * mask, shift_bias)
    log_scale = F.linear(z, scale_weight * mask, scale_bias)
    noise = (z - shift) / log_scale.exp()
    return torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(1) - log_scale.sum(1)


def turned(make, mask=lambda w: torch.tril(w, -1)):
    """make(z, shift, log_scale, N) with N the log-density of N(0, 1); or another mask."""

    def answer(z, shift_weight, shift_bias, scale_weight, scale_bias):
        shift, log_scale = z @ mask(shift_weight).T + shift_bias, z @ mask(scale_weight).T + scale_bias
        return make(z, shift, log_scale, lambda e: -0.5 * e**2 - 0.5 * math.log(2 * math.pi))

    return answer


def right_flow(z, b, s, n):
    return (n((z - b) / s.exp()) - s).sum(1)


def by_predecessors_in_noise(z, shift_weight, shift_bias, scale_weight, scale_bias):
    noise, total = [], 0
    for i in range(z.shape[1]):
        before = torch.stack(noise, 1) if noise else z[:, :0]
        mean = before @ shift_weight[i, :i] + shift_bias[i]
        log_scale = before @ scale_weight[i, :i] + scale_bias[i]
        noise.append((z[:, i] - mean) / log_scale.exp())
        total = total + dist.Normal(0.0, 1.0).log_prob(noise[-1]) - log_scale
    return total


FLOW_WRONG = [
    (turned(lambda z, b, s, n: n((z - b) / s.exp()).sum(1)), "determinant_forgotten"),
    (turned(lambda z, b, s, n: (n((z - b) / s.exp()) + s).sum(1)), "determinant_sign"),
    (turned(lambda z, b, s, n: (n((z - b) * s.exp()) - s).sum(1)), "scale_inverted"),
    (turned(lambda z, b, s, n: (n((z - b) * s.exp()) + s).sum(1)), "direction_reversed"),
    (turned(lambda z, b, s, n: (n(b + z * s.exp()) - s).sum(1)), "noise_for_code"),
    (turned(lambda z, b, s, n: right_flow(z, b, 0.5 * s, n)), "log_scale_as_variance"),
    (turned(lambda z, b, s, n: (n((z - b) / s.exp()) - 0.5 * s).sum(1)), "log_scale_halved_once"),
    (turned(lambda z, b, s, n: (n((z - b) / s) - s.abs().log()).sum(1)), "log_scale_as_scale"),
    (turned(lambda z, b, s, n: (n((z - b) / s.exp()) - s.exp()).sum(1)), "scale_for_log_scale"),
    (turned(lambda z, b, s, n: right_flow(z, -b, s, n)), "shift_added"),
    (turned(lambda z, b, s, n: (n(z / s.exp() - b) - s).sum(1)), "shift_after_scale"),
    (turned(right_flow, lambda w: w), "looks_ahead"),
    (turned(right_flow, lambda w: torch.triu(w, 1)), "looks_ahead"),
    (turned(right_flow, torch.tril), "sees_itself"),
    (lambda z, B, b, S, s: flow_by_normal(z, B, torch.zeros_like(b), S, s), "bias_forgotten"),
    (lambda z, B, b, S, s: flow_by_normal(z, B, b, S, s * 0), "bias_forgotten"),
    (turned(lambda z, b, s, n: (n(z) - s).sum(1)), "code_for_noise"),
    (turned(lambda z, b, s, n: (n(z - b) - s).sum(1)), "scale_only_in_determinant"),
    (turned(right_flow, lambda w: torch.tril(w, -1).T), "weights_transposed"),
    (turned(right_flow, torch.zeros_like), "weights_forgotten"),
    (by_predecessors_in_noise, "noise_before_for_code_before"),
    (turned(lambda z, b, s, n: (-0.5 * ((z - b) / s.exp()) ** 2 - s).sum(1)), "constant_missing"),
    (
        turned(lambda z, b, s, n: (-0.5 * ((z - b) / s.exp()) ** 2 - s).sum(1) - 0.5 * math.log(2 * math.pi)),
        "constant_once",
    ),
    (turned(lambda z, b, s, n: (2 * n((z - b) / s.exp()) + 0.5 * math.log(2 * math.pi) - s).sum(1)), "half_forgotten"),
    (turned(lambda z, b, s, n: -right_flow(z, b, s, n)), "sign_flipped"),
    (turned(lambda z, b, s, n: right_flow(z, b, s, n).exp()), "density"),
    (turned(lambda z, b, s, n: torch.log(torch.exp(right_flow(z, b, s, n)))), "density_formed"),
    (turned(lambda z, b, s, n: (n((z - b) / s.exp()) - s).mean(1)), "mean_over_the_code"),
    (turned(lambda z, b, s, n: (n((z - b) / s.exp()) - s).sum()), "codes_put_together"),
    (turned(lambda z, b, s, n: n((z - b) / s.exp()).sum(1) - s.sum()), "determinant_of_all_codes"),
    (turned(lambda z, b, s, n: n((z - b) / s.exp()) - s), "numbers_left"),
    (turned(lambda z, b, s, n: right_flow(z, b, s, n) / math.log(2)), "bits"),
    (lambda *tensors: flow_by_normal(*(t.detach() for t in tensors)), "gradients_cut"),
    (turned(lambda z, b, s, n: (n(z - b / s.exp()) - s).sum(1)), "shift_alone_divided"),
    (turned(lambda z, b, s, n: n(z - b).sum(1)), "scale_forgotten"),
    (turned(lambda z, b, s, n: right_flow(z, b, torch.clamp(s, -3, 3), n)), "log_scale_cut_off"),
    (turned(lambda z, b, s, n: right_flow(z, b, s.clamp(max=5), n)), "log_scale_cut_off"),
    (turned(lambda z, b, s, n: right_flow(z, b, s.clamp(min=-10), n)), "log_scale_cut_off"),
    (turned(lambda z, b, s, n: (n((z - b) / (s.exp() + 1e-6)) - s).sum(1)), "added_to_the_scale"),
    (turned(lambda z, b, s, n: right_flow(z, b, (s.exp() + 1e-8).log(), n)), "added_to_the_scale"),
    (
        turned(lambda z, b, s, n: (-0.5 * ((z - b) / s.exp()) ** 2 - math.log(2 * math.pi) - s).sum(1)),
        "constant_whole",
    ),
    (turned(lambda z, b, s, n: (n((z - b) / s.exp()) - s).sum(0)), "summed_over_the_batch"),
]

RIGHT = {
    "06.first_layer": [layer_in_two, layer_by_flat_maps, layer_by_places, in_single_precision],
    "06.one_bit": [bit_by_loops, bit_by_entropies, bit_by_world],
    "06.information": [meter_by_loops, meter_by_copy, meter_by_shape],
    "06.read_plane": [plane_by_loops, plane_by_axes],
    "06.bits_back": [pile_by_loop, pile_by_moments, pile_backwards],
    "06.flow_log_prob": [flow_by_loops, flow_by_jacobian, flow_by_normal],
}
WRONG = {
    "06.first_layer": LAYER_WRONG,
    "06.one_bit": ONE_BIT_WRONG,
    "06.information": INFORMATION_WRONG,
    "06.read_plane": PLANE_WRONG,
    "06.bits_back": BITS_BACK_WRONG,
    "06.flow_log_prob": FLOW_WRONG,
}

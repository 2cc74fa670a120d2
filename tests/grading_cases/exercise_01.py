"""Answers to exercise 01, written as beginners write them: loops, numpy, and one thing wrong at a time."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F


def states(p):
    return itertools.product((0, 1), repeat=p.dim())


def others(p, i):
    return [j for j in range(p.dim()) if j != i]


# Code length.


def length_by_mask(p, model):
    there = p > 0
    return -(p[there] * torch.log2(model[there])).sum()


def length_by_loop(p, model):
    bits = 0.0
    for x in states(p):
        if p[x] == 0:
            continue
        bits += float(p[x]) * (math.inf if model[x] == 0 else -math.log2(model[x]))
    return bits


def length_by_nansum(p, model):
    return -(p * model.log2()).nansum()


def length_by_where(p, model):
    return torch.where(p > 0, -p * torch.log2(model), torch.zeros_like(p)).sum()


def length_by_numpy(p, model):
    """Zeros left out by a weight of zero, in numpy."""
    q, m = p.numpy().ravel(), model.numpy().ravel()
    with np.errstate(divide="ignore"):
        bits = -np.log2(m[q != 0])
    return np.dot(q[q != 0], bits)


def length(log2, mask=None):
    """-sum p log2 model with another logarithm, over some states."""

    def answer(p, model):
        seen = torch.ones_like(p, dtype=torch.bool) if mask is None else mask(p, model)
        return -(p[seen] * log2(model[seen])).sum()

    return answer


LENGTH_WRONG = [
    (lambda p, model: -torch.xlogy(p, model).sum(), "nats"),
    (lambda p, model: -torch.xlogy(p, model).sum() * math.log(2), "wrong_base"),
    (lambda p, model: -torch.xlogy(p, model).sum() / np.log(10), "decimal"),
    (lambda p, model: -torch.xlogy(model, p).sum() / math.log(2), "exchanged"),
    (lambda p, model: F.kl_div(model.log(), p, reduction="sum") / math.log(2), "excess"),
    (lambda p, model: F.kl_div(model.log(), p, reduction="sum"), "excess"),
    (lambda p, model: (p * (p / model).log2()).nansum(), "excess"),
    (lambda p, model: -(p * (p / model).log2()).nansum(), "excess"),
    (lambda p, model: torch.xlogy(p, model).sum() / math.log(2), "sign_flipped"),
    (lambda p, model: torch.special.entr(p).sum() / math.log(2), "model_ignored"),
    (lambda p, model: torch.special.entr(model).sum() / math.log(2), "p_ignored"),
    (lambda p, model: -model.log2().sum(), "unweighted"),
    (lambda p, model: -model.log2().mean(), "unweighted"),
    (lambda p, model: (-torch.xlogy(p, model) / math.log(2)).mean(), "mean_over_states"),
    (lambda p, model: length_by_mask(p, model) / p.dim(), "per_pixel"),
    (lambda p, model: -torch.xlogy(p, model) / math.log(2), "states_left"),
    (lambda p, model: -(p * model).sum().log2(), "log_of_mean"),
    (lambda p, model: F.cross_entropy(model.reshape(1, -1), p.reshape(1, -1)), "softmax"),
    (lambda p, model: F.binary_cross_entropy(model, p, reduction="sum") / np.log(2), "binary"),
    (lambda p, model: F.binary_cross_entropy(model, p, reduction="none").sum(), "binary"),
    (lambda p, model: (p * (-model.log2()).ceil())[p > 0].sum(), "whole_bits"),
    (length(torch.log2), "nan"),
    (lambda p, model: float(-(p * torch.log2(model)).sum()), "nan"),
    (lambda p, m: F.kl_div(m.log2(), p, reduction="sum") + torch.special.entr(p).sum(), "nan"),
    (length(torch.log2, lambda p, model: model > 0), "infinity_lost"),
    (length(torch.log2, lambda p, model: (p > 0) & (model > 0)), "infinity_lost"),
    (length(lambda m: m.log2().nan_to_num(neginf=0.0)), "infinity_lost"),
    (length(lambda m: m.log2().nan_to_num()), "infinity_replaced"),
    (lambda p, model: -torch.nan_to_num(p * torch.log2(model)).sum(), "infinity_replaced"),
    (length(lambda m: torch.log2(m + 1e-12)), "added_before_log"),
    (length(lambda m: torch.log2(m + 1e-8)), "added_before_log"),
    (length(lambda m: torch.log2(m.clamp(min=1e-10))), "added_before_log"),
    (length(lambda m: m.clip(1e-7, 1 - 1e-7).log2()), "added_before_log"),
    (length(lambda m: torch.log2(m + 1e-3)), "added_before_log"),
]


# Conditionals.


def conditional_by_states(p, pixel, given):
    """The definition, state by state."""
    answer = torch.zeros_like(p)
    for x in states(p):
        known = [y for y in states(p) if all(y[i] == x[i] for i in given)]
        both = [y for y in known if y[pixel] == x[pixel]]
        answer[x] = sum(p[y] for y in both) / sum(p[y] for y in known)
    return answer


def conditional_by_numpy(p, pixel, given):
    table = p.numpy()
    hidden = tuple(i for i in range(table.ndim) if i != pixel and i not in given)
    both = table.sum(axis=hidden, keepdims=True)
    with np.errstate(invalid="ignore"):
        ratio = both / both.sum(axis=pixel, keepdims=True)
    return torch.from_numpy(np.broadcast_to(ratio, table.shape).copy())


def conditional_axis_by_axis(p, pixel, given):
    both = p
    for i in range(p.dim()):
        if i != pixel and i not in given:
            both = both.sum(dim=i, keepdim=True)
    return both / both.sum(dim=pixel, keepdim=True) * torch.ones_like(p)


def conditional_by_einsum(p, pixel, given):
    axes = list(range(p.dim()))
    known = sorted(given)
    both = torch.einsum(p, axes, sorted([pixel, *given]))
    below = torch.einsum(p, axes, known)
    both = both.reshape([2 if i == pixel or i in given else 1 for i in axes])
    below = below.reshape([2 if i in given else 1 for i in axes])
    return (both / below).expand_as(p)


def seen(p, keep):
    """The sum over all axes that are not kept, one after another."""
    for i in range(p.dim()):
        if i not in keep:
            p = p.sum(i, keepdim=True)
    return p


def ratio(above, below, finish=None):
    """Two sums, one over the other; above and below say which pixels are kept."""

    def answer(p, pixel, given):
        fraction = seen(p, above(p, pixel, given)) / seen(p, below(p, pixel, given))
        return finish(fraction, p) if finish else fraction.expand(p.shape)

    return answer


def both(p, pixel, given):
    return [*given, pixel]


def only_given(p, pixel, given):
    return given


def everything(p, pixel, given):
    return range(p.dim())


def nothing(p, pixel, given):
    return []


def one_sum_over_a_list(p, pixel, given):
    hidden = [i for i in range(p.dim()) if i not in [pixel] + given]
    above = p.sum(dim=hidden, keepdim=True)
    below = p.sum(dim=hidden + [pixel], keepdim=True)
    return (above / below).expand(p.shape)


def one_list_and_its_sum(p, pixel, given):
    hidden = tuple(i for i in range(p.dim()) if i != pixel and i not in given)
    above = torch.sum(p, hidden, keepdim=True)
    return (above / above.sum(pixel, keepdim=True)).expand_as(p)


def gone_axes(p, pixel, given):
    hidden = tuple(i for i in range(p.dim()) if i not in (pixel, *given))
    unseen = tuple(i for i in range(p.dim()) if i not in given)
    return (p.sum(hidden) if hidden else p) / p.sum(unseen)


def means_in_both(p, pixel, given):
    above, below = p, p
    for i in range(p.dim()):
        if i not in given:
            below = below.mean(i, keepdim=True)
            above = above if i == pixel else above.mean(i, keepdim=True)
    return (above / below).expand(p.shape)


def mean_above(p, pixel, given):
    above = p
    for i in range(p.dim()):
        if i != pixel and i not in given:
            above = above.mean(i, keepdim=True)
    return (above / seen(p, given)).expand(p.shape)


def mean_of_full(p, pixel, given):
    full = conditional_by_states(p, pixel, others(p, pixel))
    hidden = [i for i in others(p, pixel) if i not in given]
    return full.mean(hidden, keepdim=True).expand(p.shape) if hidden else full


def chance_of_one(p, pixel, given):
    fraction = conditional_by_states(p, pixel, given)
    return torch.stack([fraction.select(pixel, 1)] * 2, dim=pixel)


def in_reverse(p, pixel, given):
    flipped = p.permute(*range(p.dim())[::-1])
    return conditional_by_states(flipped, pixel, given).permute(*range(p.dim())[::-1])


def float_buffer(p, pixel, given):
    answer = torch.zeros(p.shape)
    answer[...] = conditional_by_states(p, pixel, given)
    return answer


def over_the_whole_table(p, pixel, given):
    table = seen(p, [pixel, *given]).expand(p.shape)
    return table / table.sum()


def given_extended(p, pixel, given):
    below = seen(p, given)
    given.append(pixel)
    return (seen(p, given) / below).expand(p.shape)


def given_emptied(p, pixel, given):
    above, below = seen(p, [pixel, *given]), p
    while given:
        given.pop()
    return (above / above.sum(pixel, keepdim=True)).expand(below.shape)


def given_sorted(p, pixel, given):
    given.sort()
    return conditional_by_einsum(p, pixel, given)


def chance_of_zero(p, pixel, given):
    zeros = conditional_by_states(p, pixel, given).index_select(pixel, torch.tensor([0]))
    return zeros.expand(p.shape)


CONDITIONAL_WRONG = [
    (over_the_whole_table, "normalised_over_all"),
    (lambda p, pixel, given: (lambda t: (t / t.sum(0, True)).expand(p.shape))(seen(p, [pixel, *given])), "wrong_axis"),
    (lambda p, pixel, given: (lambda t: (t / t.sum(-1, True)).expand(p.shape))(seen(p, [pixel, *given])), "wrong_axis"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, [i for i in given if i < pixel]), "given_cut"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, [i for i in given if i > pixel]), "given_cut"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, list(range(pixel))), "raster_past"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, sorted(given)[:1]), "only_one_given"),
    (lambda p, pixel, given: 1 - conditional_by_states(p, pixel, given), "complement"),
    (chance_of_zero, "one_is_one"),
    (given_extended, "list_changed"),
    (given_emptied, "list_changed"),
    (given_sorted, "list_changed"),
    (ratio(both, nothing), "not_divided"),
    (ratio(only_given, nothing), "only_given"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, []), "given_ignored"),
    (ratio(both, lambda p, pixel, given: [pixel]), "turned_round"),
    (ratio(only_given, both), "upside_down"),
    (lambda p, i, g: ratio(both, only_given)(p, i, g) / seen(p, [i]), "divided_by_wrong"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, others(p, pixel)), "all_others_given"),
    (lambda p, pixel, given: p / p.sum(pixel, keepdim=True), "all_others_given"),
    (ratio(everything, only_given), "nothing_summed_above"),
    (lambda p, i, g: conditional_by_states(p, i, [j for j in others(p, i) if j not in g]), "hidden_for_given"),
    (mean_of_full, "averaged"),
    (means_in_both, "mean_for_sum"),
    (mean_above, "mean_for_sum"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, given[:1]), "only_one_given"),
    (lambda p, pixel, given: conditional_by_states(p, pixel, given[-1:]), "only_one_given"),
    (chance_of_one, "one_is_one"),
    (in_reverse, "from_the_end"),
    (one_sum_over_a_list, "sum_over_nothing"),
    (one_list_and_its_sum, "sum_over_nothing"),
    (ratio(both, only_given, lambda fraction, p: fraction), "axes_of_length_one"),
    (ratio(both, only_given, lambda fraction, p: fraction.squeeze()), "axes_dropped"),
    (gone_axes, "axes_dropped"),
    (lambda p, pixel, given: p / (p.sum(given, keepdim=True) if given else 1), "given_summed"),
    (ratio(both, only_given, lambda fraction, p: fraction.expand(p.shape).log()), "log"),
    (float_buffer, "dtype"),
    (lambda p, pixel, given: conditional_by_states(p.double(), pixel, given), "dtype"),
    (lambda p, pixel, given: torch.nan_to_num(conditional_by_states(p, pixel, given)), "number_for_nan"),
    (lambda p, i, g: (seen(p, both(p, i, g)) / (seen(p, g) + 1e-12)).expand(p.shape), "number_for_nan"),
    (lambda p, i, g: (seen(p, both(p, i, g)) / seen(p, g).clip(min=1e-8)).expand(p.shape), "number_for_nan"),
]


# The chain.


def careful(order, p):
    if len(order) != p.dim() or set(order) != set(range(p.dim())):
        raise ValueError("name every pixel once")


def chain_from_beginnings(p, order):
    """Ratios of the probabilities of beginnings."""
    careful(order, p)
    rows, known = [], torch.ones_like(p)
    for k in range(len(order)):
        longer = seen(p, order[: k + 1]).expand(p.shape)
        rows.append(longer / known)
        known = longer
    return torch.stack(rows)


def chain_into_buffer(p, order):
    careful(order, p)
    rows = torch.empty((len(order), *p.shape), dtype=p.dtype)
    past = []
    for row, pixel in zip(rows, order, strict=True):
        row[:] = conditional_by_states(p, pixel, past)
        past.append(pixel)
    return rows


def chain_by_cat(p, order):
    if sorted(order) != list(range(p.dim())):
        raise ValueError(order)
    return torch.cat([conditional_axis_by_axis(p, i, order[: order.index(i)])[None] for i in order])


def chain(given, pixel=lambda order, k: order[k], finish=torch.stack, rule=conditional_by_states):
    """The chain with something else known, asked for, or done with the rows."""

    def answer(p, order):
        careful(order, p)
        return finish([rule(p, pixel(order, k), given(order, k)) for k in range(len(order))])

    return answer


def past(order, k):
    return order[:k]


def by_pixel(p, order):
    careful(order, p)
    rows = torch.zeros(p.dim(), *p.shape, dtype=p.dtype)
    for k, pixel in enumerate(order):
        rows[pixel] = conditional_by_states(p, pixel, order[:k])
    return rows


def beginnings(p, order):
    careful(order, p)
    return torch.stack([seen(p, order[: k + 1]).expand(p.shape) for k in range(len(order))])


def unrolled(p, order):
    careful(order, p)
    return torch.stack([p if k == len(order) else seen(p, order[:k]).expand(p.shape) for k in range(1, len(order) + 1)])


def certain(p, pixel, given):
    """A conditional that sees the pixel itself."""
    known = seen(p, [pixel, *given])
    return (known / known).expand(p.shape)


def own_index(order, k):
    return [order.index(i) for i in range(len(order))]


def inverted(p, order):
    careful(order, p)
    return chain_into_buffer(p, own_index(order, 0))


def float_rows(p, order):
    careful(order, p)
    rows = torch.ones(p.dim(), *p.shape)
    for k in range(p.dim()):
        rows[k] = conditional_by_states(p, order[k], order[:k])
    return rows


def trusting(test):
    """A chain with another test of the order; asked about what is known, its conditional says 1."""

    def answer(p, order):
        if not test(p, order):
            raise ValueError("that is no order")
        known = [seen(p, order[:k]).expand(p.shape) for k in range(len(order) + 1)]
        if not all(i < p.dim() for i in order):
            raise IndexError("Dimension out of range")
        return torch.stack([known[k + 1] / known[k] for k in range(len(order))])

    return answer


def asserting(p, order):
    assert sorted(order) == list(range(p.dim()))
    return chain_into_buffer(p, order)


def cut_without_a_check(p, order):
    return torch.stack([conditional_axis_by_axis(p, i, order[:i]) for i in order])


def emptying(p, order):
    careful(order, p)
    rows, known = [], []
    while order:
        rows.append(conditional_by_states(p, order[0], known))
        known.append(order.pop(0))
    return torch.stack(rows)


def sorted_for_the_check(p, order):
    order.sort()
    return chain_by_cat(p, order)


def sorted_at_the_end(p, order):
    rows = chain_by_cat(p, order)
    order.sort()
    return rows


def step_for_pixel(order, k):
    return k


CHAIN_WRONG = [
    (chain(lambda order, k: order[: order[k]]), "cut_at_pixel"),
    (chain(lambda order, k: order[: order[k]], rule=conditional_axis_by_axis), "cut_at_pixel"),
    (cut_without_a_check, "cut_at_pixel"),
    (chain(past, pixel=step_for_pixel), "pixel_k"),
    (chain(past, pixel=step_for_pixel, rule=conditional_axis_by_axis), "pixel_k"),
    (chain(past, rule=lambda p, pixel, given: 1 - conditional_by_states(p, pixel, given)), "conditional_wrong"),
    (emptying, "list_changed"),
    (sorted_at_the_end, "list_changed"),
    (sorted_for_the_check, "order_ignored"),
    (chain(lambda order, k: []), "marginals"),
    (chain(lambda order, k: [order[k - 1]] if k else []), "previous_only"),
    (chain(lambda order, k: [order[0]] if k else []), "first_only"),
    (chain(lambda order, k: order[: k - 1] if k else []), "one_too_few"),
    (chain(past, rule=certain), "itself_given"),
    (chain(lambda order, k: order[k + 1 :]), "future_given"),
    (chain(lambda order, k: [i for i in order if i != order[k]]), "others_given"),
    (chain(lambda order, k: list(range(order[k]))), "raster_past"),
    (lambda p, order: careful(order, p) or chain_into_buffer(p, list(range(p.dim()))), "order_ignored"),
    (lambda p, order: careful(order, p) or chain_into_buffer(p, order[::-1]), "backwards"),
    (inverted, "inverse_order"),
    (by_pixel, "rows_by_pixel"),
    (beginnings, "beginnings"),
    (unrolled, "beginnings"),
    (chain(past, finish=lambda rows: torch.stack(rows).cumprod(0)), "products"),
    (chain(past, finish=lambda rows: torch.stack(rows).prod(0)), "multiplied"),
    (chain(past, finish=lambda rows: math.prod(rows)), "multiplied"),
    (chain(past, finish=lambda rows: torch.stack(rows).log()), "logs"),
    (chain(past, finish=lambda rows: torch.stack(rows)[1:]), "first_missing"),
    (chain(past, finish=lambda rows: torch.stack(rows)[:-1]), "last_missing"),
    (chain(past, finish=list), "not_stacked"),
    (chain(past, finish=tuple), "not_stacked"),
    (chain(past, finish=torch.cat), "joined"),
    (chain(past, finish=lambda rows: torch.stack(rows, -1)), "stacked_last"),
    (lambda p, order: careful(order, p) or chain_by_cat(p.permute(*order), list(range(p.dim()))), "permuted"),
    (float_rows, "dtype"),
    (chain(past, finish=lambda rows: torch.stack(rows).nan_to_num()), "number_for_nan"),
    (trusting(lambda p, order: True), "order_accepted"),
    (trusting(lambda p, order: len(order) == p.dim()), "order_half_checked"),
    (trusting(lambda p, order: len(set(order)) == len(order)), "order_half_checked"),
    (trusting(lambda p, order: set(order) == set(range(p.dim()))), "order_half_checked"),
    (lambda p, order: chain_by_cat(p, order) if sorted(order) == list(range(p.dim())) else None, "order_accepted"),
    (asserting, "other_exception"),
    (chain(past, rule=one_sum_over_a_list), "conditional_wrong"),
    (chain(past, rule=ratio(both, lambda p, pixel, given: [pixel])), "conditional_wrong"),
    (chain(past, rule=ratio(both, only_given, lambda fraction, p: fraction)), "conditional_wrong"),
    (chain(past, rule=gone_axes), "conditional_wrong"),
    (chain(past, rule=mean_of_full), "conditional_wrong"),
    (chain(lambda order, k: [i for i in order[:k] if i < order[k]]), "conditional_wrong"),
    (chain(past, rule=chance_of_one), "conditional_wrong"),
]


# Total correlation.


def entropy(q):
    return torch.special.entr(q).sum()


def single(p, i):
    return p.sum(others(p, i)) if p.dim() > 1 else p


def correlation_by_divergence(p):
    product = torch.ones_like(p)
    for i in range(p.dim()):
        product = product * seen(p, [i])
    there = p > 0
    return (p[there] * torch.log(p[there] / product[there])).sum()


def correlation_from_ones(p):
    total = 0.0
    for i in range(p.dim()):
        m = min(max(float(p.select(i, 1).sum()), 0.0), 1.0)
        total += sum(-v * math.log(v) for v in (m, 1 - m) if v > 0)
    return total + sum(float(v) * math.log(v) for v in p.flatten() if v > 0)


def correlation_step_by_step(p):
    """Pixel by pixel: what it shares with those before it."""
    total = torch.zeros((), dtype=p.dtype)
    for i in range(1, p.dim()):
        before, pixel, upto = range(i), [i], range(i + 1)
        total = total + entropy(seen(p, before)) + entropy(seen(p, pixel)) - entropy(seen(p, upto))
    return total


def correlation_in_single_precision(p):
    costs = torch.tensor([entropy(single(p, i)) for i in range(p.dim())])
    return costs.sum() - entropy(p.float())


def correlation_with_a_floor(p):
    """Harmless: 0 times any finite number is 0."""
    log = lambda q: torch.log(q.clamp(min=1e-300))  # noqa: E731
    return (p * log(p)).sum() - sum((m * log(m)).sum() for m in (single(p, i) for i in range(p.dim())))


def correlation(combine, each=single, cost=entropy):
    """combine(list of the pixels' entropies, entropy of all, p)."""

    def answer(p):
        return combine([cost(each(p, i)) for i in range(p.dim())], cost(p), p)

    return answer


def naive(q):
    return -(q * q.log()).sum()


def with_little(eps):
    return lambda q: -(q * (q + eps).log()).sum()


def of_the_ones(p, i):
    return p.select(i, 1).sum()


def product_of_singles(p):
    return math.prod(seen(p, [i]) for i in range(p.dim()))


def shared_by_pairs(p):
    total = torch.zeros((), dtype=p.dtype)
    for i, j in itertools.combinations(range(p.dim()), 2):
        total += entropy(seen(p, [i])) + entropy(seen(p, [j])) - entropy(seen(p, [i, j]))
    return total


def left_given_rest(p, i):
    return entropy(p) - entropy(p.sum(i))


def nan_last(p):
    return torch.nan_to_num((p * torch.log(p / product_of_singles(p))).sum())


CORRELATION_WRONG = [
    (lambda p: sum(entropy(single(p, i)) - entropy(p) for i in range(p.dim())), "taken_off_often"),
    (lambda p: length_by_mask(p, product_of_singles(p)) - entropy(p), "units_mixed"),
    (correlation(lambda each, whole, p: sum(each) - whole / math.log(2)), "units_mixed"),
    (nan_last, "nan_replaced"),
    (lambda p: correlation(lambda each, whole, p: sum(each) - whole, cost=naive)(p).nan_to_num(), "nan_replaced"),
    (
        correlation(lambda each, whole, p: sum(each) - whole, cost=lambda q: naive(q).nan_to_num()),
        "nan_replaced",
    ),
    (correlation(lambda each, whole, p: p.dim() * each[0] - whole), "one_for_all"),
    (correlation(lambda each, whole, p: p.dim() * each[-1] - whole), "one_for_all"),
    (correlation(lambda each, whole, p: sum(each[:-1]) - whole), "pixel_missing"),
    (correlation(lambda each, whole, p: sum(each[1:]) - whole), "pixel_missing"),
    (correlation(lambda each, whole, p: sum(each[:2]) - whole), "first_two_only"),
    (correlation(lambda each, whole, p: sum(each) - whole, cost=with_little(1e-6)), "added_before_log"),
    (lambda p: (p * (p / product_of_singles(p) + 1e-5).log()).sum(), "added_before_log"),
    (lambda p: (p * ((p + 1e-5) / (product_of_singles(p) + 1e-5)).log()).sum(), "added_before_log"),
    (lambda p: correlation_by_divergence(p) / math.log(2), "bits"),
    (correlation(lambda each, whole, p: sum((each, -whole)[0]) / np.log(2) - whole / np.log(2)), "bits"),
    (correlation(lambda each, whole, p: whole - sum(each)), "sign_flipped"),
    (correlation(lambda each, whole, p: whole), "joint_entropy"),
    (correlation(lambda each, whole, p: sum(each)), "marginal_entropies"),
    (correlation(lambda each, whole, p: torch.stack(each) - whole), "entropies_left"),
    (correlation(lambda each, whole, p: sum(each) + whole), "entropies_added"),
    (correlation(lambda each, whole, p: sum(each) / len(each) - whole), "mean_over_pixels"),
    (correlation(lambda each, whole, p: (sum(each) - whole) / p.dim()), "per_pixel"),
    (correlation(lambda each, whole, p: (sum(each) - whole) / 2 ** p.dim()), "per_state"),
    (correlation(lambda each, whole, p: sum(each) - whole, each=of_the_ones), "ones_only"),
    (
        correlation(lambda each, whole, p: sum(each) - whole, each=lambda p, i: conditional_by_states(p, i, [])),
        "read_off_at_states",
    ),
    (correlation(lambda each, whole, p: sum(each) - whole, each=lambda p, i: p.sum(i)), "axis_forgotten"),
    (correlation(lambda each, whole, p: sum(each) - whole, each=lambda p, i: p.sum(others(p, i))), "sum_over_nothing"),
    (lambda p: entropy(p) - sum(left_given_rest(p, i) for i in range(p.dim())), "dual"),
    (lambda p: sum(left_given_rest(p, i) for i in range(p.dim())) - entropy(p), "dual"),
    (shared_by_pairs, "pairs"),
    (lambda p: F.kl_div(p.log(), product_of_singles(p), reduction="sum"), "divergence_reversed"),
    (lambda p: (p / product_of_singles(p)).log().sum(), "unweighted"),
    (lambda p: math.log(p.numel()) - entropy(p), "fair_coins"),
    (lambda p: F.kl_div(product_of_singles(p).log(), p, reduction="none").nan_to_num(), "states_left"),
    (correlation(lambda each, whole, p: sum(each) - whole, cost=naive), "nan"),
    (lambda p: (p * (p / product_of_singles(p)).log()).sum(), "nan"),
    (correlation(lambda each, whole, p: sum(each) - whole, cost=with_little(1e-5)), "added_before_log"),
    (correlation(lambda each, whole, p: sum(each) - whole, cost=with_little(1e-4)), "added_before_log"),
    (lambda p: correlation_by_divergence(product_of_singles(p)), "always_zero"),
]


# Conditional total correlation.


def given_code_by_loop(joint):
    total = 0.0
    for z in range(joint.shape[0]):
        weight = float(joint[z].sum())
        if weight > 0:
            total += weight * float(correlation_by_divergence(joint[z] / weight))
    return total


def given_code_by_entropies(joint):
    """sum_i H(x_i, z) - H(x, z) - (n - 1) H(z), without ever dividing."""
    n = joint.dim() - 1
    singles = sum(entropy(seen(joint, [0, i])) for i in range(1, n + 1))
    return singles - entropy(joint) - (n - 1) * entropy(seen(joint, [0]))


def given_code_by_mask(joint):
    p_z = joint.flatten(1).sum(1)
    rows = joint[p_z > 0]
    weights = p_z[p_z > 0]
    prices = [correlation_step_by_step(row / weight) for row, weight in zip(rows, weights, strict=True)]
    return weights @ torch.stack(prices)


def given_code(combine, price=correlation_by_divergence):
    """combine(weights, prices) of the codes that occur."""

    def answer(joint):
        rows = [row for row in joint if row.sum() > 0]
        weights = torch.stack([row.sum() for row in rows])
        return combine(weights, torch.stack([torch.as_tensor(price(row / row.sum())) for row in rows]))

    return answer


def all_codes(joint):
    p_z = joint.flatten(1).sum(1)
    prices = [correlation_step_by_step(row / weight) for row, weight in zip(joint, p_z, strict=True)]
    return (p_z * torch.stack(prices)).sum()


def all_codes_by_entropies(joint):
    return sum(row.sum() * correlation(lambda e, w, p: sum(e) - w)(row / row.sum()) for row in joint)


def replaced_in_loop(joint):
    for row in joint:
        if row.sum() > 0:
            total = row.sum() * correlation_by_divergence(row / row.sum())
    return total


def returned_in_loop(joint):
    for row in joint:
        return row.sum() * correlation_by_divergence(row / row.sum())


def shared_with_code(joint):
    return entropy(joint.sum(0)) + entropy(seen(joint, [0])) - entropy(joint)


WHOLE = correlation(lambda each, whole, p: sum(each) - whole)


def broken_off(joint):
    total = 0.0
    for row in joint:
        if row.sum() == 0:
            break
        total += row.sum() * WHOLE(row / row.sum())
    return total


def given_up(joint):
    total = 0.0
    for row in joint:
        if row.sum() == 0:
            return 0.0
        total += row.sum() * WHOLE(row / row.sum())
    return total


def divided_in_place(weigh):
    """The rows divided where they stand; weigh says what each counts, from p(z) and the row as it is then."""

    def answer(joint):
        total = 0.0
        for z in range(len(joint)):
            weight = joint[z].sum()
            if weight > 0:
                joint[z] /= weight
                total += weigh(weight, joint[z]) * correlation_by_divergence(joint[z])
        return total

    return answer


def two_codes(joint):
    return sum(joint[z].sum() * WHOLE(joint[z] / joint[z].sum()) for z in range(2))


def by_state(joint):
    shares = joint / joint.sum(0)
    return sum(joint[z].sum() * WHOLE(shares[z]) for z in range(len(joint)))


GIVEN_CODE_WRONG = [
    (broken_off, "ends_at_empty_code"),
    (given_up, "lost_with_empty_code"),
    (lambda joint: torch.nan_to_num(all_codes_by_entropies(joint)), "lost_with_empty_code"),
    (lambda joint: sum(row.sum() * WHOLE(row / (row.sum() + 1e-6)) for row in joint), "added_to_code"),
    (
        lambda joint: sum(row.sum() * correlation_by_divergence(row / (row.sum() + 1e-4)) for row in joint),
        "added_to_code",
    ),
    (by_state, "shared_out"),
    (lambda joint: sum(WHOLE(row) for row in joint / joint.sum(0)), "shared_out"),
    (two_codes, "two_codes_only"),
    (lambda joint: given_code_by_loop(joint[:2]), "two_codes_only"),
    (lambda joint: given_code_by_loop(joint[:-1]), "code_missing"),
    (lambda joint: given_code_by_loop(joint[1:]), "code_missing"),
    (divided_in_place(lambda weight, row: 1), "summed_unweighted"),
    (divided_in_place(lambda weight, row: row.sum()), "summed_unweighted"),
    (divided_in_place(lambda weight, row: weight), "table_changed"),
    (
        given_code(torch.dot, price=lambda row: correlation(lambda e, w, p: sum(e) - w, cost=naive)(row).nan_to_num()),
        "correlation_wrong",
    ),
    (given_code(torch.dot, price=nan_last), "correlation_wrong"),
    (lambda joint: sum(row.sum() * WHOLE(row / row.sum()) for row in joint if (row > 0).all()), "correlation_wrong"),
    (given_code(lambda w, t: t.sum()), "summed_unweighted"),
    (given_code(lambda w, t: t.mean()), "averaged_evenly"),
    (lambda joint: given_code(lambda w, t: t.sum())(joint) / joint.shape[0], "averaged_evenly"),
    (lambda joint: given_code_by_loop(joint) / len(joint), "averaged_twice"),
    (given_code(lambda w, t: t), "codes_left"),
    (given_code(lambda w, t: w * t), "codes_left"),
    (given_code(lambda w, t: w * w @ t), "weighed_twice"),
    (given_code(torch.dot, price=entropy), "conditional_entropy"),
    (given_code(torch.dot, price=correlation(lambda e, w, p: sum(e))), "conditional_entropies"),
    (lambda joint: sum(WHOLE(row) for row in joint), "not_normalised"),
    (lambda joint: sum(row.sum() * WHOLE(row) for row in joint), "not_normalised"),
    (lambda joint: sum(correlation_by_divergence(row) for row in joint), "not_normalised"),
    (lambda joint: sum(correlation_from_ones(row) for row in joint), "not_normalised"),
    (lambda joint: WHOLE(joint.sum(dim=0)), "code_ignored"),
    (WHOLE, "code_as_pixel"),
    (correlation_by_divergence, "code_as_pixel"),
    (shared_with_code, "information"),
    (lambda joint: WHOLE(joint.sum(0)) - given_code_by_loop(joint), "saved"),
    (lambda joint: given_code_by_loop(joint) - WHOLE(joint.sum(0)), "saved"),
    (lambda joint: given_code_by_mask(joint.permute(-1, *range(joint.dim() - 1))), "code_last"),
    (returned_in_loop, "first_code_only"),
    (replaced_in_loop, "last_code_only"),
    (given_code(lambda w, t: (w * t).sum() / math.log(2)), "bits"),
    (given_code(lambda w, t: -(w * t).sum()), "sign_flipped"),
    (lambda joint: given_code_by_entropies(joint) / (joint.dim() - 1), "per_pixel"),
    (all_codes, "nan"),
    (all_codes_by_entropies, "nan"),
    (
        given_code(torch.dot, price=correlation(lambda e, w, p: sum(e) - w, each=lambda p, i: p.sum(others(p, i)))),
        "correlation_wrong",
    ),
    (given_code(torch.dot, price=correlation(lambda e, w, p: sum(e) - w, cost=naive)), "correlation_wrong"),
    (given_code(torch.dot, price=correlation(lambda e, w, p: sum(e) - w, each=of_the_ones)), "correlation_wrong"),
]


# The pseudo-likelihood.


def pseudo_by_states(p):
    total = 0.0
    for x in states(p):
        product = 1.0
        for i in range(p.dim()):
            flipped = list(x)
            flipped[i] = 1 - x[i]
            product *= float(p[x] / (p[x] + p[tuple(flipped)]))
        total += product
    return total


def pseudo_by_conditionals(p):
    product = torch.ones_like(p)
    for i in range(p.dim()):
        product *= conditional_axis_by_axis(p, i, others(p, i))
    return product.sum()


def pseudo_by_flips(p):
    return math.prod(p / (p + p.flip(i)) for i in range(p.dim())).sum()


def pseudo(combine, given=others, rule=conditional_by_states):
    def answer(p):
        return combine(torch.stack([rule(p, i, given(p, i)) for i in range(p.dim())]), p)

    return answer


def total(rows, p):
    return rows.prod(0).sum()


PSEUDO_WRONG = [
    (lambda p: math.prod(p / p.sum(i) for i in range(p.dim())).sum(), "axes_dropped"),
    (pseudo(lambda rows, p: sum(rows).prod()), "product_of_sums"),
    (pseudo(lambda rows, p: rows.mean(0).sum()), "no_product"),
    (pseudo(lambda rows, p: rows[-1].sum()), "no_product"),
    (pseudo(lambda rows, p: rows[:-1].prod(0).sum()), "pixel_missing"),
    (pseudo(lambda rows, p: rows[1:].prod(0).sum()), "pixel_missing"),
    (pseudo(lambda rows, p: rows.prod(1).sum()), "wrong_axis"),
    (pseudo(lambda rows, p: rows.prod(-1).sum()), "wrong_axis"),
    (pseudo(total, given=lambda p, i: list(range(i))), "always_one"),
    (pseudo(total, given=lambda p, i: []), "always_one"),
    (lambda p: (pseudo_by_flips(p) / pseudo_by_flips(p)).item(), "always_one"),
    (pseudo(lambda rows, p: rows.sum()), "sum_for_product"),
    (pseudo(lambda rows, p: rows.flatten(1).sum(1).prod()), "product_of_sums"),
    (pseudo(lambda rows, p: rows.prod()), "product_of_all"),
    (pseudo(lambda rows, p: (p * rows.prod(0)).sum()), "weighted"),
    (pseudo(lambda rows, p: rows.prod(0).mean()), "mean"),
    (pseudo(lambda rows, p: rows.prod(0).sum().log()), "log"),
    (pseudo(lambda rows, p: (p * rows.log().sum(0)).sum()), "pseudo_likelihood"),
    (pseudo(lambda rows, p: rows.log().sum()), "logs_summed"),
    (pseudo(lambda rows, p: total(rows, p) - 1), "excess"),
    (pseudo(total, rule=certain), "itself_given"),
    (pseudo(total, rule=ratio(both, lambda p, pixel, given: [pixel])), "rest_given_pixel"),
    (pseudo(total, given=lambda p, i: [j for j in others(p, i) if abs(i - j) == 1]), "neighbours_only"),
    (pseudo(lambda rows, p: rows.prod(0)), "states_left"),
    (pseudo(lambda rows, p: rows.sum(tuple(range(1, rows.dim())))), "rows_left"),
    (pseudo(total, rule=one_sum_over_a_list), "conditional_wrong"),
]

RIGHT = {
    "01.code_length": [
        length_by_mask,
        length_by_loop,
        length_by_nansum,
        length_by_where,
        length_by_numpy,
    ],
    "01.conditional": [
        conditional_by_states,
        conditional_by_numpy,
        conditional_axis_by_axis,
        conditional_by_einsum,
        ratio(both, only_given),
    ],
    "01.chain": [chain_from_beginnings, chain_into_buffer, chain_by_cat, chain(past)],
    "01.total_correlation": [
        correlation_by_divergence,
        correlation_from_ones,
        correlation_step_by_step,
        correlation_with_a_floor,
        correlation_in_single_precision,
        WHOLE,
    ],
    "01.conditional_total_correlation": [given_code_by_loop, given_code_by_entropies, given_code_by_mask],
    "01.pseudo_total": [pseudo_by_states, pseudo_by_conditionals, pseudo_by_flips],
}
WRONG = {
    "01.code_length": LENGTH_WRONG,
    "01.conditional": CONDITIONAL_WRONG,
    "01.chain": CHAIN_WRONG,
    "01.total_correlation": CORRELATION_WRONG,
    "01.conditional_total_correlation": GIVEN_CODE_WRONG,
    "01.pseudo_total": PSEUDO_WRONG,
}

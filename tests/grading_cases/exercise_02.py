"""Answers to exercise 02, written as beginners write them: loops, numpy, and one thing wrong at a time."""

import numpy as np
import torch
import torch.nn.functional as F

# Masks. A rule says which entries (i, j) are visible, given the centre c.


def by_rule(rule, size, check=True):
    if check and size % 2 != 1:
        raise ValueError("odd sizes only")
    c = (size - 1) // 2
    return torch.tensor([[float(rule(i, j, c)) for j in range(size)] for i in range(size)]).reshape(size, size)


def mask(rule, check=True):
    def answer(kernel_size):
        return by_rule(rule, kernel_size, check)

    return answer


def flat_mask(extra):
    def answer(kernel_size):
        if kernel_size % 2 == 0:
            raise ValueError("even")
        n = kernel_size * kernel_size
        ones = n // 2 + extra
        return torch.cat([torch.ones(ones), torch.zeros(n - ones)]).view(kernel_size, kernel_size)

    return answer


def numpy_mask(extra):
    def answer(kernel_size):
        if kernel_size % 2 == 0:
            raise ValueError("even")
        mask = np.ones((kernel_size, kernel_size), dtype=np.float32)
        mask[kernel_size // 2, kernel_size // 2 + extra :] = 0
        mask[kernel_size // 2 + 1 :] = 0
        return torch.from_numpy(mask)

    return answer


def past(i, j, c):
    return i < c or (i == c and j < c)


def past_and_centre(i, j, c):
    return i < c or (i == c and j <= c)


def of_kind(for_a, for_b):
    """One answer from two, by kind."""
    return lambda kind, size: for_a(size) if kind == "A" else for_b(size)


def mask_wrong(right):
    return [
        (mask(lambda i, j, c: right(j, i, c)), "transposed"),
        (mask(lambda i, j, c: right(2 * c - i, 2 * c - j, c)), "future_visible"),
        (mask(lambda i, j, c: not right(i, j, c)), "inverted"),
        (mask(lambda i, j, c: i < c), "centre_row_hidden"),
        (mask(lambda i, j, c: i <= c), "centre_row_visible"),
        (mask(lambda i, j, c: right(i + 1, j, c)), "row_too_high"),
        (mask(lambda i, j, c: right(i - 1, j, c)), "row_too_low"),
        (mask(lambda i, j, c: i < c or (i == c and j <= c + 1)), "one_too_far_right"),
        (mask(lambda i, j, c: i == c and right(i, j, c)), "rows_above_hidden"),
        (mask(lambda i, j, c: i <= c and (j < c or (j == c and right(c, c, c)))), "upper_right_hidden"),
        (mask(lambda i, j, c: j < i or (j == i and right(c, c, c))), "triangle"),
        (mask(lambda i, j, c: j < i or (j == i and not right(c, c, c))), "triangle"),
        (lambda k: torch.ones(k, k), "all_visible"),
        (mask(lambda i, j, c: right(i - 1, j - 1, c)), "centre_off"),
        (lambda k: by_rule(right, k) > 0, "boolean"),
        (lambda k: by_rule(right, k).int().long(), "integer"),
        (lambda k: by_rule(right, k).unsqueeze(0).unsqueeze(0), "extra_axes"),
        (mask(right, check=False), "even_accepted"),
    ]


A, B = mask(past), mask(past_and_centre)
PAIRS = list(zip(mask_wrong(past), mask_wrong(past_and_centre), strict=True))
MASK_WRONG = [
    *((of_kind(a, b), name) for (a, name), (b, _) in PAIRS),
    *((of_kind(A, b), name) for (_, name), (b, _) in PAIRS),
    *((of_kind(a, B), name) for (a, name), _ in PAIRS),
    (of_kind(B, A), "kinds_swapped"),
    (of_kind(A, A), "always_a"),
    (of_kind(B, B), "always_b"),
    (of_kind(A, lambda k: by_rule(past, k) + 1), "added_everywhere"),
]


# Masked convolution. A rule says whether colour a at the centre is seen by colour b.


def conv_by_loops(x, weight, bias, kind, colours):
    """Five loops and no mask at all: the definition, position by position."""
    out, into, k, _ = weight.shape
    c, padded = k // 2, F.pad(x, [k // 2] * 4)
    y = bias.reshape(1, -1, 1, 1).expand(len(x), -1, *x.shape[2:]).clone()
    for a in range(k):
        for b in range(k):
            if (a, b) > (c, c):
                continue
            shifted = padded[:, :, a : a + x.shape[2], b : b + x.shape[3]]
            for o in range(out):
                for i in range(into):
                    theirs, ours = i * colours // into, o * colours // out
                    if (a, b) < (c, c) or theirs < ours or (kind == "B" and theirs == ours):
                        y[:, o] += weight[o, i, a, b] * shifted[:, i]
    return y


def conv_by_repeats(x, weight, bias, kind, colours):
    """The centre by a Kronecker product of colour blocks."""
    out, into, k, _ = weight.shape
    blocks = torch.tril(torch.ones(colours, colours), diagonal=-1 if kind == "A" else 0)
    centre = torch.kron(blocks, torch.ones(out // colours, into // colours))
    full = torch.ones(out, into, k * k)
    full[:, :, k * k // 2] = centre
    full[:, :, k * k // 2 + 1 :] = 0
    return F.conv2d(x, weight * full.view(out, into, k, k), bias, padding="same")


def conv(seen, window=None, colour=None, final=None):
    """A convolution whose mask is built entry by entry; seen(ours, theirs, kind) decides at the centre."""

    def answer(x, weight, bias, kind, colours):
        out, into, k, _ = weight.shape
        full = torch.zeros_like(weight)
        group = colour or (lambda channel, n: channel * colours // n)
        for o in range(out):
            for i in range(into):
                full[o, i] = by_rule(window or past, k).to(weight.dtype)
                full[o, i, k // 2, k // 2] = float(seen(group(o, out), group(i, into), kind))
        return (final or plain_conv)(x, weight * full, bias)

    return answer


def plain_conv(x, weight, bias):
    return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)


def rightly(ours, theirs, kind):
    return theirs <= ours if kind == "B" else theirs < ours


def conv_writing_into_weight(x, weight, bias, kind, colours):
    out, into, k, _ = weight.shape
    for o in range(out):
        for i in range(into):
            weight[o, i, k // 2 + 1 :] = 0
            weight[o, i, k // 2, k // 2 + 1 :] = 0
            if not rightly(o * colours // out, i * colours // into, kind):
                weight[o, i, k // 2, k // 2] = 0
    return plain_conv(x, weight, bias)


def conv_with_data(x, weight, bias, kind, colours):
    """The habit of public code: weight.data *= mask."""
    out, into, k, _ = weight.shape
    weight.data *= torch.stack(
        [
            torch.stack(
                [by_rule(past, k) + centre_of(k, o * colours // out, i * colours // into, kind) for i in range(into)]
            )
            for o in range(out)
        ]
    )
    return plain_conv(x, weight, bias)


def centre_of(k, ours, theirs, kind):
    centre = torch.zeros(k, k)
    centre[k // 2, k // 2] = float(rightly(ours, theirs, kind))
    return centre


def conv_colours_everywhere(x, weight, bias, kind, colours):
    out, into, k, _ = weight.shape
    full = torch.zeros_like(weight)
    for o in range(out):
        for i in range(into):
            if rightly(o * colours // out, i * colours // into, kind):
                full[o, i] = by_rule(past_and_centre, k).to(weight.dtype)
    return plain_conv(x, weight * full, bias)


def conv_later_colours_nowhere(x, weight, bias, kind, colours):
    """Right at the centre, but an earlier pixel's later colours are hidden too, in kind A as in kind B."""
    out, into, k, _ = weight.shape
    full = torch.zeros_like(weight)
    for o in range(out):
        for i in range(into):
            ours, theirs = o * colours // out, i * colours // into
            if theirs <= ours:
                full[o, i] = by_rule(past, k).to(weight.dtype) + centre_of(k, ours, theirs, kind).to(weight.dtype)
    return plain_conv(x, weight * full, bias)


def conv_by_division(x, weight, bias, kind, colours):
    """Map j taken for colour j // colours."""
    return conv(rightly, colour=lambda channel, n: channel // colours)(x, weight, bias, kind, colours)


def conv_unmasked(x, weight, bias, kind, colours):
    return plain_conv(x, weight, bias)


def conv_interleaved(x, weight, bias, kind, colours):
    return conv(rightly, colour=lambda channel, n: channel % colours)(x, weight, bias, kind, colours)


def conv_meshed(x, weight, bias, kind, colours):
    out, into, k, _ = weight.shape
    a, b = torch.arange(into) * colours // into, torch.arange(out) * colours // out
    seen = a.unsqueeze(1) < b.unsqueeze(0) if kind == "A" else a.unsqueeze(1) <= b.unsqueeze(0)
    full = by_rule(past, k).repeat(out, into, 1, 1)
    full[:, :, k // 2, k // 2] = seen.to(full.dtype)
    return plain_conv(x, weight * full, bias)


def conv_one_count(count):
    """Colours of both sides from the number of channels on one of them."""

    def answer(x, weight, bias, kind, colours):
        n = {"out": weight.shape[0], "in": weight.shape[1]}[count]
        return conv(rightly, colour=lambda channel, _: channel * colours // n)(x, weight, bias, kind, colours)

    return answer


def conv_by_data(x, weight, bias, kind, colours):
    return conv(rightly)(x, torch.nn.Parameter(weight.data.clone()), bias, kind, colours)


def layer_without_link_gradient(v, h, vertical, horizontal, link, kind):
    down, _ = layer()(v, h, vertical, horizontal, link, kind)
    with torch.no_grad():
        a = [tensor.clone() for tensor in (v, vertical)]
    return down, layer()(a[0], h, a[1], horizontal, link, kind)[1]


CONV_WRONG = [
    (conv_by_data, "weight_detached"),
    (conv(lambda ours, theirs, kind: theirs < ours if kind == "A" else True), "b_open"),
    (conv(lambda ours, theirs, kind: theirs <= ours if kind == "B" else False), "a_closed"),
    (conv(rightly, colour=lambda channel, n: channel * 3 // n), "colours_fixed"),
    (conv_meshed, "axes_exchanged"),
    (conv_one_count("out"), "groups_of_other_side"),
    (conv_one_count("in"), "groups_of_other_side"),
    (conv_writing_into_weight, "weight_changed"),
    (conv_with_data, "weight_changed"),
    (conv_unmasked, "no_mask"),
    (conv(lambda ours, theirs, kind: rightly(ours, theirs, "BA"["AB".index(kind)])), "kinds_swapped"),
    (conv(lambda ours, theirs, kind: theirs < ours), "always_a"),
    (conv(lambda ours, theirs, kind: theirs <= ours), "always_b"),
    (conv(lambda ours, theirs, kind: kind == "B"), "colours_ignored"),
    (conv_colours_everywhere, "colours_everywhere"),
    (conv_later_colours_nowhere, "colours_everywhere"),
    (conv_by_division, "colours_without_groups"),
    (conv(lambda ours, theirs, kind: rightly(theirs, ours, kind)), "colours_reversed"),
    (conv_interleaved, "colours_interleaved"),
    (conv(rightly, colour=lambda channel, n: channel), "channels_for_colours"),
    (conv(rightly, window=lambda i, j, c: i < c), "past_hidden"),
    (conv(rightly, window=lambda i, j, c: i <= c), "future_visible"),
    (conv(rightly, final=lambda x, w, b: F.conv2d(x, w, b, padding="valid")), "unpadded"),
    (conv(rightly, final=lambda x, w, b: F.conv2d(x, w, b, padding=(1, 1))), "padded_by_one"),
    (conv(rightly, final=lambda x, w, b: F.conv2d(x, w, padding="same")), "bias_forgotten"),
    (conv(rightly, final=lambda x, w, b: plain_conv(x, torch.rot90(w, 2, (2, 3)), b)), "kernel_flipped"),
]


# The gated layer, place by place and by torch's own padding.


def half_gates(y):
    n = y.shape[1] // 2
    return torch.tanh(y[:, :n]) * torch.sigmoid(y[:, n:])


def seen_by(x, weight, down, right):
    """A filter tap by tap: its last tap lies `down` rows above and `right` columns to the left of each place."""
    out, _, rows, columns = weight.shape
    y = x.new_zeros(len(x), out, *x.shape[2:])
    for a in range(rows):
        for b in range(columns):
            up, left = rows - 1 - a + down, columns - 1 - b + right
            moved = torch.zeros_like(x)
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    if 0 <= i - up < x.shape[2] and 0 <= j - left < x.shape[3]:
                        moved[:, :, i, j] = x[:, :, i - up, j - left]
            y += torch.einsum("oi,bihw->bohw", weight[:, :, a, b], moved)
    return y


def gated_by_taps(v, h, vertical, horizontal, link, kind):
    first = 1 if kind == "A" else 0
    a = seen_by(v, vertical, first, -(vertical.shape[3] // 2))
    b = seen_by(h, horizontal, 0, first) + torch.einsum("oi,bihw->bohw", link[:, :, 0, 0], a)
    return half_gates(a), half_gates(b)


def gated_by_slices(v, h, vertical, horizontal, link, kind):
    """Zeros on both sides, and then the part of the output that looks backwards only."""
    height, width = v.shape[2:]
    rows, taps = vertical.shape[2], horizontal.shape[3]
    lag = int(kind == "A")
    a = F.conv2d(v, vertical, padding=(rows, vertical.shape[3] // 2))
    a = a[:, :, 1 - lag :][:, :, :height]
    own = F.conv2d(h, horizontal, padding=(0, taps))[..., 1 - lag :][..., :width]
    return [half_gates(a), half_gates(own + F.conv2d(a, link))]


def gated_by_masks(v, h, vertical, horizontal, link, kind):
    """Filters with zeros at their ends, for an ordinary padded convolution."""
    rows, taps, side = vertical.shape[2], horizontal.shape[3], vertical.shape[3] // 2
    tall = F.pad(vertical, (0, 0, 0, rows if kind == "A" else rows - 1))
    long = F.pad(horizontal, (0, taps if kind == "A" else taps - 1))
    if kind == "A":
        tall, long = F.pad(tall, (0, 0, 0, 1)), F.pad(long, (0, 1))
        v, h = F.pad(v, (0, 0, 1, 0)), F.pad(h, (1, 0))
        a = F.conv2d(F.pad(v, (side, side, rows - 1, rows + 1)), tall)[:, :, :-1]
        own = F.conv2d(F.pad(h, (taps - 1, taps + 1)), long)[..., :-1]
    else:
        a = F.conv2d(v, tall, padding=(rows - 1, side))
        own = F.conv2d(h, long, padding=(0, taps - 1))
    return half_gates(a), half_gates(own + F.conv2d(a, link))


def layer(lag_v=None, lag_h=None, side=None, gate=half_gates, join=None, finish=None, ahead=(0, 0)):
    """The layer by taps, with one thing wrong: which kinds are moved, how far to the side, the gate or the link."""

    def answer(v, h, vertical, horizontal, link, kind):
        moved = [int(kind in (kinds or "A")) if kinds != "" else 0 for kinds in (lag_v, lag_h)]
        away = -(vertical.shape[3] // 2) if side is None else side
        a = seen_by(v, vertical, moved[0] - ahead[0] * (vertical.shape[2] // 2), away)
        own = seen_by(h, horizontal, 0, moved[1] - ahead[1] * (horizontal.shape[3] // 2))
        a, b = join(a, own, link) if join else (a, own + F.conv2d(a, link))
        return finish(a, b) if finish else (gate(a), gate(b))

    return answer


def gate_with(first, second):
    return layer(gate=lambda y: first(y[:, : y.shape[1] // 2]) * second(y[:, y.shape[1] // 2 :]))


def same(y):
    return y


def gated_after(v, h, vertical, horizontal, link, kind):
    """The link behind the gate, as its name in some drawings suggests."""
    shift = 1 if kind == "A" else 0
    side = vertical.shape[3] // 2
    up = half_gates(F.conv2d(F.pad(v, (side, side, vertical.shape[2] - 1 + shift, -shift)), vertical))
    own = F.conv2d(F.pad(h, (horizontal.shape[3] - 1 + shift, -shift)), horizontal)
    return up, half_gates(own + F.conv2d(up, link))


def by_default_chunk(y):
    signal, door = y.chunk(2)
    return signal.tanh() * door.sigmoid()


def swapped_inputs(v, h, *rest):
    return gated_by_slices(h, v, *rest)


def gated_valid(v, h, vertical, horizontal, link, kind):
    a = F.conv2d(v, vertical)
    return half_gates(a), half_gates(F.conv2d(h, horizontal) + F.conv2d(a, link))


def gated_with_a_row_too_many(v, h, vertical, horizontal, link, kind):
    more, side = int(kind == "A"), vertical.shape[3] // 2
    a = F.conv2d(F.pad(v, (side, side, vertical.shape[2] - 1 + more, 0)), vertical)
    own = F.conv2d(F.pad(h, (horizontal.shape[3] - 1 + more, 0)), horizontal)
    return half_gates(a), half_gates(own + F.conv2d(a, link))


def gated_shifted_and_cropped(v, h, vertical, horizontal, link, kind):
    """The picture moved down by hand, and the filter moved up once more by its padding."""
    lag, side = int(kind == "A"), vertical.shape[3] // 2
    down = torch.zeros_like(v)
    down[:, :, lag:] = v[:, :, : v.shape[2] - lag]
    a = F.conv2d(F.pad(down, (side, side, vertical.shape[2] - 1 + lag, -lag)), vertical)
    b = seen_by(h, horizontal, 0, lag) + F.conv2d(a, link)
    return half_gates(a), half_gates(b)


def gated_two_to_the_left(v, h, vertical, horizontal, link, kind):
    lag = int(kind == "A")
    a = seen_by(v, vertical, lag, -(vertical.shape[3] // 2))
    b = seen_by(h, horizontal, 0, 2 * lag) + F.conv2d(a, link)
    return half_gates(a), half_gates(b)


def gated_doubled(v, h, vertical, horizontal, link, kind):
    """The link gets v', twice over so that its maps are enough."""
    lag = int(kind == "A")
    up = half_gates(seen_by(v, vertical, lag, -(vertical.shape[3] // 2)))
    return up, half_gates(seen_by(h, horizontal, 0, lag) + F.conv2d(torch.cat([up, up], dim=1), link))


def by_halves(y):
    return torch.split(y, y.shape[1] // 2, dim=1)


def gated_and_added(v, h, *rest):
    up, out = gated_by_taps(v, h, *rest)
    return up, h + out


GATED_WRONG = [
    (layer_without_link_gradient, "link_detached"),
    (layer(lag_v=""), "vertical_sees_its_row"),
    (layer(lag_h=""), "horizontal_sees_itself"),
    (layer(lag_v="", lag_h=""), "always_b"),
    (layer(lag_v="AB"), "vertical_shifted_always"),
    (layer(lag_h="AB"), "horizontal_shifted_always"),
    (layer(lag_v="AB", lag_h="AB"), "always_a"),
    (layer(lag_v="B", lag_h="B"), "kinds_swapped"),
    (layer(ahead=(1, 0)), "rows_below_visible"),
    (layer(ahead=(0, 1)), "right_visible"),
    (layer(side=0), "blind_spot"),
    (gated_shifted_and_cropped, "vertical_too_high"),
    (gated_two_to_the_left, "horizontal_too_far_left"),
    (gated_doubled, "link_after_gate"),
    (layer(join=lambda a, own, link: (a + own, own + F.conv2d(a, link))), "own_row_in_vertical"),
    (layer(join=lambda a, own, link: (a + own + F.conv2d(a, link), own + F.conv2d(a, link))), "own_row_in_vertical"),
    (layer(gate=lambda y: by_halves(y)[0].tanh() * by_halves(y)[0].sigmoid()), "one_half_twice"),
    (layer(gate=lambda y: by_halves(y)[1].tanh() * by_halves(y)[1].sigmoid()), "one_half_twice"),
    (layer(join=lambda a, own, link: (a, own)), "link_forgotten"),
    (gated_after, "link_after_gate"),
    (layer(join=lambda a, own, link: (a + F.conv2d(own, link), own)), "link_backwards"),
    (layer(join=lambda a, own, link: (a, own + F.conv2d(a, link.mT.permute(1, 0, 2, 3)))), "link_transposed"),
    (layer(join=lambda a, own, link: (a, own + torch.einsum("io,bihw->bohw", link[..., 0, 0], a))), "link_transposed"),
    (layer(join=lambda a, own, link: (a, own + a)), "link_without_weights"),
    (layer(join=lambda a, own, link: (a, F.conv2d(a, link))), "own_row_forgotten"),
    (layer(join=lambda a, own, link: (a, own + F.conv2d(F.pad(a, (0, 0, 1, 0))[:, :, :-1], link))), "link_shifted"),
    (gate_with(torch.sigmoid, torch.tanh), "halves_exchanged"),
    (gate_with(same, torch.sigmoid), "no_tanh"),
    (gate_with(torch.tanh, same), "no_sigmoid"),
    (gate_with(torch.sigmoid, torch.sigmoid), "sigmoid_twice"),
    (gate_with(torch.relu, torch.sigmoid), "relu"),
    (layer(gate=lambda y: torch.tanh(y[:, 0::2]) * y[:, 1::2].sigmoid()), "halves_interleaved"),
    (layer(gate=by_default_chunk), "split_along_another_axis"),
    (layer(gate=lambda y: F.glu(y, dim=1)), "no_tanh"),
    (layer(gate=same), "not_gated"),
    (layer(finish=lambda a, b: (half_gates(b), half_gates(a))), "outputs_exchanged"),
    (swapped_inputs, "stacks_exchanged"),
    (gated_valid, "unpadded"),
    (gated_with_a_row_too_many, "not_cropped"),
    (gated_and_added, "residual_added"),
]


# The scan along diagonals.


def scan_by_lists(x, step):
    """Pixels gathered by a search over all of them, stacked, and put back one by one."""
    batch, channels, height, width = x.shape
    states = {}
    zero = x.new_zeros(batch, channels)
    for t in range(height + width - 1):
        cells = [(i, j) for i in range(height) for j in range(width) if i + j == t]
        inputs = torch.stack([x[:, :, i, j] for i, j in cells], dim=-1)
        above = torch.stack([states.get((i - 1, j), zero) for i, j in cells], dim=-1)
        left = torch.stack([states.get((i, j - 1), zero) for i, j in cells], dim=-1)
        for cell, state in zip(cells, step(inputs, above, left).unbind(-1), strict=True):
            states[cell] = state
    rows = [torch.stack([states[i, j] for j in range(width)], -1) for i in range(height)]
    return torch.stack(rows, dim=2)


def scan_by_skewing(x, step):
    """As the paper does it: skew, run along the columns, skew back. Nothing outside ever leaves zero."""
    height, width = x.shape[2:]
    length = height + width - 1
    skew = torch.stack([F.pad(x[:, :, i], (i, length - width - i)) for i in range(height)], dim=2)
    column = torch.zeros_like(skew[..., 0])
    columns = []
    for t in range(length):
        column = step(skew[..., t], F.pad(column, (1, -1)), column)
        columns.append(column)
    out = torch.stack(columns, dim=3)
    return torch.stack([out[:, :, i, i : i + width] for i in range(height)], dim=2)


def scan_wrapping_round(x, step):
    """No margin: index -1 reads the far end, which is still zero when it is read."""
    height, width = x.shape[2:]
    s = torch.zeros_like(x)
    for t in range(height + width - 1):
        i = torch.tensor([i for i in range(height) if 0 <= t - i < width])
        s[:, :, i, t - i] = step(x[:, :, i, t - i], s[:, :, i - 1, t - i], s[:, :, i, t - i - 1])
    return s


def scan_with(above=(1, 0), left=(0, 1), end=None, cells=None, keep=True, crop=True):
    """The scan from a margin of zeros on all sides, with one thing wrong."""

    def answer(x, step):
        height, width = x.shape[2:]
        s = x.new_zeros(*x.shape[:2], height + 4, width + 4)
        rule = cells or (lambda t, i: t - i)
        for t in range(end(height, width) if end else height + width - 1):
            i = torch.tensor([i for i in range(height) if 0 <= rule(t, i) < width], dtype=torch.long)
            if len(i) == 0:
                continue
            j = rule(t, i)
            old = s if keep else torch.zeros_like(s)
            above_, left_ = (old[:, :, i + 2 - u, j + 2 - b] for u, b in (above, left))
            s[:, :, i + 2, j + 2] = step(x[:, :, i, j], above_, left_)
        return s[:, :, 2:-2, 2:-2] if crop else s[:, :, 1:-2, 1:-2]

    return answer


def scan_pixel_by_pixel(x, step):
    s = torch.zeros_like(x)
    zero = torch.zeros_like(x[:, :, 0, 0])
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            above = s[:, :, i - 1, j] if i else zero
            left = s[:, :, i, j - 1] if j else zero
            s[:, :, i, j] = step(x[:, :, i, j], above, left)
    return s


def scan_diagonal_pixel_by_pixel(x, step):
    s = torch.zeros_like(x)
    zero = torch.zeros_like(x[:, :, 0, 0])
    for t in range(x.shape[2] + x.shape[3] - 1):
        for i in range(x.shape[2]):
            if 0 <= t - i < x.shape[3]:
                above = s[:, :, i - 1, t - i] if i else zero
                left = s[:, :, i, t - i - 1] if t - i else zero
                s[:, :, i, t - i] = step(x[:, :, i, t - i], above, left)
    return s


def scan_square(side):
    """A skewed scan that knows one side of the picture."""

    def answer(x, step):
        n = x.shape[side]
        s = torch.zeros(x.shape[0], x.shape[1], x.shape[2] + 1, x.shape[3] + 1, dtype=x.dtype)
        for t in range(2 * n - 1):
            rows = [i for i in range(n) if 0 <= t - i < n]
            columns = [t - i for i in rows]
            above, left = s[:, :, rows][..., [c + 1 for c in columns]], s[:, :, [r + 1 for r in rows]][..., columns]
            above, left = torch.diagonal(above, 0, 2, 3), torch.diagonal(left, 0, 2, 3)
            new = step(x[:, :, rows, columns], above, left)
            s[:, :, [r + 1 for r in rows], [c + 1 for c in columns]] = new
        return s[:, :, 1:, 1:]

    return answer


def rows_at_once(x, step):
    above, rows = torch.zeros_like(x[:, :, 0]), []
    for row in x.unbind(2):
        above = step(row, above, torch.zeros_like(row))
        rows.append(above)
    return torch.stack(rows, 2)


def rows_at_once_from_inputs(x, step):
    return step(x, F.pad(x, (0, 0, 1, 0))[:, :, :-1], F.pad(x, (1, 0))[..., :-1])


def transposed_twice(x, step):
    return rows_at_once(x.mT, lambda x, above, left: step(x, left, above)).mT


def from_upper_right(x, step):
    return scan_by_lists(torch.flip(x, [-1]), step).flip(-1)


def still_skewed(x, step):
    height, width = x.shape[2:]
    out = scan_by_lists(x, step)
    return torch.stack([F.pad(out[:, :, i], (i, height - 1 - i)) for i in range(height)], dim=2)


SCAN_WRONG = [
    (scan_pixel_by_pixel, "too_many_steps"),
    (scan_diagonal_pixel_by_pixel, "too_many_steps"),
    (scan_with(above=(0, 1), left=(1, 0)), "neighbours_exchanged"),
    (lambda x, step: scan_by_skewing(x.mT, step).mT, "neighbours_exchanged"),
    (rows_at_once, "row_at_once"),
    (transposed_twice, "column_at_once"),
    (rows_at_once_from_inputs, "inputs_for_states"),
    (scan_with(keep=False), "no_memory"),
    (lambda x, step: step(x, 0 * x, 0 * x), "no_memory"),
    (scan_with(above=(1, 1)), "wrong_neighbour"),
    (scan_with(left=(1, 1)), "wrong_neighbour"),
    (scan_with(left=(1, 0)), "wrong_neighbour"),
    (scan_with(above=(1, -1)), "column_at_once"),
    (scan_with(end=lambda height, width: height + width - 2), "last_diagonals_missing"),
    (scan_with(end=lambda height, width: max(height, width)), "last_diagonals_missing"),
    (scan_with(end=lambda height, width: 2 * height - 1), "square_assumed"),
    (scan_with(end=lambda height, width: 2 * width - 1), "square_assumed"),
    (scan_square(2), "square_assumed"),
    (scan_square(3), "square_assumed"),
    (scan_with(crop=False), "margin_left"),
    (from_upper_right, "from_the_right"),
    (still_skewed, "left_skewed"),
]


# Sampling.


def by_uniform_numbers(model, shape, generator):
    x = torch.zeros(shape)
    for pixel in range(shape[2] * shape[3]):
        i, j = divmod(pixel, shape[3])
        u = torch.rand(shape[0], generator=generator)
        x[:, 0, i, j] = (u < torch.sigmoid(model(x)[:, 0, i, j])).float()
    return x


def all_noise_first(model, shape, generator):
    noise = torch.rand(shape, generator=generator).logit()
    x = torch.full(shape, 0.5)
    for i in range(shape[2]):
        for j in range(shape[3]):
            with torch.no_grad():
                x[..., i, j] = (noise < model(x))[..., i, j].to(x.dtype)
    return x


def one_image_after_another(model, shape, generator):
    images = []
    for _ in range(shape[0]):
        images.append(by_uniform_numbers(model, (1, *shape[1:]), generator))
    return torch.cat(images)


def loop(draw, order=None, into=None):
    """The loop with another way to draw, another order, or another place to draw into."""

    def answer(model, shape, generator):
        x = torch.zeros(shape)
        kept = torch.zeros(shape) if into == "another tensor" else x
        places = [(i, j) for i in range(shape[2]) for j in range(shape[3])]
        for i, j in order(shape) if order else places:
            kept[:, :, i, j] = draw(model(x)[:, :, i, j], generator)
        return kept

    return answer


def coin(logits, generator):
    return (torch.rand(logits.shape, generator=generator) < logits.sigmoid()).float()


def all_at_once(model, shape, generator):
    x = torch.zeros(shape)
    p = torch.sigmoid(model(x))
    for i in range(shape[2]):
        for j in range(shape[3]):
            x[:, :, i, j] = torch.bernoulli(p[:, :, i, j], generator=generator)
    return x


def indices_exchanged(model, shape, generator):
    x = torch.zeros(shape)
    for i in range(shape[2]):
        for j in range(shape[3]):
            x[:, 0, j, i] = coin(model(x)[:, 0, j, i], generator)
    return x


def all_anew(model, shape, generator):
    x = torch.zeros(shape)
    for _ in range(shape[2]):
        for _ in range(shape[3]):
            x = (torch.rand(shape, generator=generator) < model(x).sigmoid()).float()
    return x


def a_row_at_a_time(model, shape, generator):
    x = torch.zeros(shape)
    for i in range(shape[2]):
        x[:, :, i, :] = coin(model(x)[:, :, i, :], generator)
    return x


def own_seed(model, shape, generator):
    torch.manual_seed(42)
    return loop(lambda logits, _: torch.bernoulli(logits.sigmoid()))(model, shape, generator)


def one_number_for_every_pixel(model, shape, generator):
    u = torch.rand(shape[0], 1, generator=generator)
    return loop(lambda logits, _: (u < logits.sigmoid()).float())(model, shape, generator)


def only_the_first_image(model, shape, generator):
    x = torch.zeros(shape)
    for i in range(shape[2]):
        for j in range(shape[3]):
            x[0, 0, i, j] = float(torch.rand(1, generator=generator) < model(x)[0, 0, i, j].sigmoid())
    return x


def whole_numbers(dtype):
    def answer(model, shape, generator):
        x = torch.zeros(shape, dtype=dtype)
        for i in range(shape[2]):
            for j in range(shape[3]):
                x[:, :, i, j] = coin(model(x)[:, :, i, j], generator).to(dtype)
        return x

    return answer


SAMPLE_WRONG = [
    (all_at_once, "one_pass"),
    (loop(coin, into="another tensor"), "one_pass"),
    (loop(coin, order=lambda s: [(i, j) for i in range(s[2])[::-1] for j in range(s[3])[::-1]]), "one_pass"),
    (loop(coin, order=lambda s: [(i, j) for j in range(s[3])[::-1] for i in range(s[2])[::-1]]), "reading_order"),
    (a_row_at_a_time, "row_by_row"),
    (loop(coin, order=lambda s: [(i, j) for i in range(s[2]) for j in range(s[3])[::-1]]), "row_by_row"),
    (loop(coin, order=lambda s: [(i, j) for i in range(s[2])[::-1] for j in range(s[3])]), "reading_order"),
    (loop(coin, order=lambda s: [(i, j) for j in range(s[3]) for i in range(s[2])[::-1]]), "reading_order"),
    (loop(coin, order=lambda s: [(i, j) for j in range(s[3])[::-1] for i in range(s[2])]), "reading_order"),
    (loop(coin, order=lambda s: [(0, 0)]), "return_in_loop"),
    (loop(coin, order=lambda s: [(0, j) for j in range(s[3])]), "return_in_loop"),
    (only_the_first_image, "first_image_only"),
    (whole_numbers(torch.long), "dtype"),
    (whole_numbers(torch.uint8), "dtype"),
    (lambda *a: by_uniform_numbers(*a) > 0, "dtype"),
    (loop(coin, order=lambda s: [(i, j) for j in range(s[3]) for i in range(s[2])]), "column_order"),
    (loop(coin, order=lambda s: [(i, j) for i in range(s[3]) for j in range(s[2])]), "sides_swapped"),
    (indices_exchanged, "sides_swapped"),
    (all_anew, "redrawn"),
    (loop(coin, order=lambda s: [(i, j) for i in range(s[2] - 1) for j in range(s[3] - 1)]), "last_skipped"),
    (loop(coin, order=lambda s: [(i, j) for i in range(1, s[2]) for j in range(1, s[3])]), "first_skipped"),
    (loop(lambda logits, g: logits.sigmoid().round()), "thresholded"),
    (loop(lambda logits, g: (logits.sigmoid() > 0.5).float()), "thresholded"),
    (loop(lambda logits, g: coin(logits.sigmoid(), g)), "sigmoid_twice"),
    (loop(lambda logits, g: (torch.rand(logits.shape, generator=g) <= logits) * 1.0), "no_sigmoid"),
    (loop(lambda logits, g: torch.bernoulli(logits, generator=g)), "no_sigmoid"),
    (loop(lambda logits, g: (torch.rand(logits.shape, generator=g) > logits.sigmoid()).float()), "flipped"),
    (loop(lambda logits, g: logits.sigmoid()), "probabilities"),
    (loop(lambda logits, g: (torch.rand(logits.shape) < logits.sigmoid()).float()), "global_generator"),
    (own_seed, "reseeded"),
    (one_number_for_every_pixel, "one_draw_for_all"),
    (loop(lambda logits, g: (torch.rand(1, generator=g) < logits.sigmoid()).float()), "one_draw_per_pixel"),
]

# Cached sampling. A layer tells its channels and taps, and takes [batch, channels, taps].


def cached_in_one_tensor(layers, shape, generator):
    """All that a layer ever heard, with its padding, and a window cut out of that."""
    batch, width = shape
    heard = [torch.zeros(batch, layer.channels, layer.taps + width) for layer in layers]
    x = torch.zeros(shape)
    for j in range(width):
        new = x[:, j - 1 : j] if j > 0 else torch.zeros(batch, 1)
        for k, layer in enumerate(layers):
            heard[k][:, :, layer.taps + j] = new
            new = layer(heard[k][:, :, j + 1 : j + 1 + layer.taps])
        u = torch.rand(batch, generator=generator)
        x[:, j] = (u < torch.sigmoid(new[:, 0])).float()
    return x


def cached_in_lists(layers, shape, generator):
    """Queues of tensors."""
    from collections import deque

    queues = [deque([torch.zeros(shape[0], f.channels)] * f.taps, maxlen=f.taps) for f in layers]
    drawn, last = [], torch.zeros(shape[0], 1)
    for _ in range(shape[1]):
        signal = last
        for queue, f in zip(queues, layers, strict=True):
            queue.append(signal)
            signal = f(torch.stack(list(queue), dim=-1))
        last = torch.bernoulli(signal.sigmoid(), generator=generator)
        drawn.append(last)
    return torch.cat(drawn, dim=1)


def cached_by_rolling(layers, shape, generator):
    """Windows rolled in place; the noise is drawn first."""
    noise = torch.logit(torch.rand(shape, generator=generator))
    windows = [torch.zeros(shape[0], f.channels, f.taps) for f in layers]
    x = torch.zeros(*shape)
    for j in range(shape[1]):
        h = x[:, j - 1 : j] if j else torch.zeros(shape[0], 1)
        for k, f in enumerate(layers):
            windows[k] = windows[k].roll(-1, dims=2)
            windows[k][:, :, -1] = h
            h = f(windows[k])
        x[:, j] = (noise[:, j] < h.squeeze(1)).float()
    return x


def queued(push=None, draw=coin, back=None, finish=None):
    """Queues with one thing wrong: how the newest enters, how a pixel is drawn, what goes back."""

    def answer(layers, shape, generator):
        queues = [torch.zeros(shape[0], f.channels, f.taps) for f in layers]
        x, last = torch.zeros(shape), torch.zeros(shape[0], 1)
        for j in range(shape[1]):
            signal = last
            for k, f in enumerate(layers):
                new = signal.unsqueeze(-1)
                queues[k] = (push or at_the_end)(queues[k], new, k)
                signal = f(queues[k])
            x[:, j] = draw(signal[:, 0], generator)
            last = back(x[:, j : j + 1], signal) if back else x[:, j : j + 1]
        return finish(x) if finish else x

    return answer


def at_the_end(queue, new, k):
    return torch.cat((queue, new), dim=2)[:, :, 1:]


def asked_before(which):
    """The layer is asked first, and its queue moved on afterwards."""

    def answer(layers, shape, generator):
        queues = [torch.zeros(shape[0], f.channels, f.taps) for f in layers]
        x, last = torch.zeros(shape), torch.zeros(shape[0], 1)
        for j in range(shape[1]):
            signal = last
            for k, f in enumerate(layers):
                moved = at_the_end(queues[k], signal.unsqueeze(-1), k)
                signal = f(queues[k] if which(k) else moved)
                queues[k] = moved
            last = coin(signal, generator)
            x[:, j] = last[:, 0]
        return x

    return answer


def everything_again(layers, shape, generator):
    """For each pixel the whole row through all layers, up to that pixel."""
    x = torch.zeros(shape)
    for j in range(shape[1]):
        h = torch.cat([torch.zeros(shape[0], 1), x[:, :j]], dim=1).unsqueeze(1)
        for f in layers:
            padded = F.pad(h, (f.taps - 1, 0))
            h = torch.stack([f(padded[:, :, i : i + f.taps]) for i in range(j + 1)], dim=2)
        x[:, j] = coin(h[:, 0, j], generator)
    return x


def image_after_image(layers, shape, generator):
    return torch.cat([cached_in_lists(layers, (1, shape[1]), generator) for _ in range(shape[0])])


def with_a_seed_of_its_own(layers, shape, generator):
    return cached_by_rolling(layers, shape, generator.manual_seed(1234))


def always_fresh(queue, new, k):
    return F.pad(new, (queue.shape[2] - 1, 0))


CACHED_WRONG = [
    (everything_again, "recomputed"),
    (queued(push=always_fresh), "no_memory"),
    (queued(push=lambda q, new, k: always_fresh(q, new, k) if k else at_the_end(q, new, k)), "no_memory"),
    (asked_before(lambda k: True), "newest_held_back"),
    (asked_before(lambda k: k == 0), "pixel_held_back"),
    (asked_before(lambda k: k > 0), "feature_held_back"),
    (queued(push=lambda q, new, k: torch.cat((new, q), dim=2)[:, :, :-1]), "newest_first"),
    (queued(back=lambda pixel, signal: torch.zeros_like(pixel)), "not_fed_back"),
    (queued(back=lambda pixel, signal: signal.sigmoid()), "probability_fed_back"),
    (queued(back=lambda pixel, signal: signal), "logit_fed_back"),
    (queued(back=lambda pixel, signal: 2 * pixel - 1), "signs_fed_back"),
    (queued(draw=lambda logits, g: (logits > 0).float()), "thresholded"),
    (queued(draw=lambda logits, g: coin(logits.sigmoid(), g)), "sigmoid_twice"),
    (queued(draw=lambda logits, g: (torch.rand(logits.shape, generator=g) < logits).float()), "no_sigmoid"),
    (queued(draw=lambda logits, g: 1 - coin(logits, g)), "flipped"),
    (queued(draw=lambda logits, g: logits.sigmoid()), "probabilities"),
    (queued(draw=lambda logits, g: torch.bernoulli(logits.sigmoid())), "global_generator"),
    (queued(draw=lambda logits, g: (torch.rand(1, generator=g) < logits.sigmoid()).float()), "one_draw_per_pixel"),
    (with_a_seed_of_its_own, "reseeded"),
    (queued(finish=lambda x: x.long()), "dtype"),
    (queued(finish=lambda x: x.unsqueeze(1)), "axes_left"),
]

RIGHT = {
    "02.raster_mask": [of_kind(A, B), of_kind(flat_mask(0), flat_mask(1)), of_kind(numpy_mask(0), numpy_mask(1))],
    "02.masked_conv2d": [conv_by_loops, conv_by_repeats, conv(rightly)],
    "02.gated_layer": [gated_by_taps, gated_by_slices, gated_by_masks, layer()],
    "02.diagonal_scan": [scan_by_lists, scan_by_skewing, scan_wrapping_round],
    "02.sample": [by_uniform_numbers, all_noise_first, loop(coin), one_image_after_another],
    "02.sample_cached": [cached_in_one_tensor, cached_in_lists, cached_by_rolling, queued()],
}
WRONG = {
    "02.raster_mask": MASK_WRONG,
    "02.masked_conv2d": CONV_WRONG,
    "02.gated_layer": GATED_WRONG,
    "02.diagonal_scan": SCAN_WRONG,
    "02.sample": SAMPLE_WRONG,
    "02.sample_cached": CACHED_WRONG,
}

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


def mask_wrong(right, other, name):
    return [
        (mask(other), name),
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


CONV_WRONG = [
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


# Likelihood.


def by_softplus(logits, x):
    return (x * logits - F.softplus(logits)).flatten(1).sum(1)


def by_cross_entropy(logits, x):
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -pixels.sum(dim=[1, 2, 3])


def image_by_image(logits, x):
    total = []
    for image_logits, image in zip(logits, x, strict=True):
        signed = torch.where(image == 1, image_logits, -image_logits)
        total.append(-torch.logaddexp(torch.zeros_like(signed), -signed).sum())
    return torch.stack(total)


def by_distribution(logits, x):
    return torch.distributions.Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3))


def sigmoid_then_log(logits, x):
    p = 1 / (1 + torch.exp(-logits))
    return torch.sum(x * p.log() + (1 - x) * (1 - p).log(), dim=(1, 2, 3))


def log_of_the_right_probability(logits, x):
    p = logits.sigmoid()
    return (p * x + (1 - p) * (1 - x)).log().sum(dim=(1, 2, 3))


def log_with_a_little_something(logits, x, eps=1e-8):
    p = logits.sigmoid()
    return (x * (p + eps).log() + (1 - x) * (1 - p + eps).log()).sum((1, 2, 3))


def log_of_clipped(logits, x):
    p = torch.clip(logits.sigmoid(), min=1e-6, max=1 - 1e-6)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))


def keras_habit(logits, x):
    return -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none").flatten(1).sum(1)


def exp_by_hand(logits, x):
    return (x * logits - (1 + logits.exp()).log()).sum((1, 2, 3))


def one_minus_logsigmoid(logits, x):
    log_p = F.logsigmoid(logits)
    return torch.where(x == 1, log_p, 1 - log_p).sum(dim=(1, 2, 3))


def in_double(logits, x):
    return by_softplus(logits.double(), x.double())


LIKELIHOOD_WRONG = [
    (lambda logits, x: F.binary_cross_entropy_with_logits(logits, x), "mean_loss"),
    (lambda logits, x: F.softplus(logits).sub(x * logits).mean((1, 2, 3)), "mean_loss"),
    (lambda logits, x: (x * logits - F.softplus(logits)).sum((1, 2, 3), keepdim=True), "axes_kept"),
    (one_minus_logsigmoid, "one_minus_log"),
    (lambda ell, x: torch.distributions.Bernoulli(ell.sigmoid()).log_prob(x).sum((1, 2, 3)), "library_clamps"),
    (lambda logits, x: log_with_a_little_something(logits, x, 1e-12), "added_before_log"),
    (lambda logits, x: log_with_a_little_something(logits, x, 1e-6), "added_before_log"),
    (lambda logits, x: by_cross_entropy(logits, x) / x.flatten(1).shape[1], "mean_over_pixels"),
    (lambda logits, x: by_softplus(logits, x).sum(), "sum_over_batch"),
    (lambda logits, x: (x * logits - F.softplus(logits)).mean(), "mean_over_all"),
    (lambda logits, x: -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((-1, -2)), "channels_left"),
    (lambda logits, x: by_softplus(logits[:, :1], x[:, :1]), "first_channel"),
    (lambda logits, x: -F.binary_cross_entropy_with_logits(logits, x, reduction="none"), "pixels_left"),
    (lambda logits, x: F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3)), "sign_flipped"),
    (lambda logits, x: by_softplus(logits, x) / np.log(2), "bits"),
    (lambda logits, x: by_cross_entropy(logits.sigmoid(), x), "sigmoid_twice"),
    (lambda logits, x: (x * F.logsigmoid(logits)).flatten(1).sum(-1), "ones_only"),
    (lambda logits, x: by_softplus(logits, 1 - x), "zeros_and_ones_swapped"),
    (lambda logits, x: torch.where(x > 0, logits.sigmoid(), (-logits).sigmoid()).flatten(1).prod(1), "probability"),
    (lambda logits, x: (x * logits.sigmoid() + (1 - x) * (1 - logits.sigmoid())).sum((1, 2, 3)), "no_logarithm"),
    (lambda logits, x: (x * logits.flatten(1).softmax(1).log().view_as(x)).sum((1, 2, 3)), "softmax"),
    (sigmoid_then_log, "underflow"),
    (log_of_the_right_probability, "underflow"),
    (log_with_a_little_something, "added_before_log"),
    (log_of_clipped, "clamped"),
    (keras_habit, "library_clamps"),
    (exp_by_hand, "overflow"),
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

RIGHT = {
    "02.mask_a": [mask(past), flat_mask(0), numpy_mask(0)],
    "02.mask_b": [mask(past_and_centre), flat_mask(1), numpy_mask(1)],
    "02.masked_conv2d": [conv_by_loops, conv_by_repeats, conv(rightly)],
    "02.log_likelihood": [by_softplus, by_cross_entropy, image_by_image, by_distribution, in_double],
    "02.sample": [by_uniform_numbers, all_noise_first, loop(coin), one_image_after_another],
}
WRONG = {
    "02.mask_a": mask_wrong(past, past_and_centre, "centre_visible"),
    "02.mask_b": [
        *mask_wrong(past_and_centre, past, "centre_hidden"),
        (lambda k: by_rule(past, k) + 1, "added_everywhere"),
    ],
    "02.masked_conv2d": CONV_WRONG,
    "02.log_likelihood": LIKELIHOOD_WRONG,
    "02.sample": SAMPLE_WRONG,
}

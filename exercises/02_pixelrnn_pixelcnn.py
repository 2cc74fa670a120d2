# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 02: from one mask to a fast sampler
#
# Chapter 02 (`chapters/02_pixelrnn_pixelcnn`) showed how a network learns to look only backwards, and what it takes to
# do so fast. Here you build the parts: masks, the two gated stacks of a PixelCNN, the scan of a PixelRNN, and two
# samplers, a plain one and one that remembers.
#
# **After it you can**
#
# - draw the masks A and B, and mask a convolution so that no colour of no pixel sees its own future;
# - build a layer of the gated PixelCNN, and see your own blind spot disappear;
# - run a recurrent layer over a picture in as many steps as it has diagonals;
# - draw a picture pixel by pixel, reproducibly, and without computing anything twice.
#
# Six tasks, 14 points, 90 minutes. You need chapter 02 and a little torch: indexing, `arange`, `conv2d`, `F.pad`.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run the
# cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that fails.
# Stuck? `hint("02.raster_mask")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton.

# %%
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. Masks A and B
#
# Difficulty 1 of 5 · 1 point · 10 minutes
#
# A kernel of size $k$ looks at a $k \times k$ window around a pixel. Read the window like a page, row by row. Mask A
# shows what comes before the middle; the first layer needs it. From the second layer on, the entry in the middle no
# longer holds the pixel itself: it holds what the first layer made of that pixel's past. Mask B shows it too.
#
# **Before you write:** of the 9 entries of a 3 × 3 window, how many come before the one in the middle? Of the 25 of a
# 5 × 5 window? And what would a deep network lose if every layer used mask A?


# %% nbgrader={"grade": false, "grade_id": "02-raster_mask", "locked": false, "schema_version": 3, "solution": true, "task": false}
def raster_mask(kind: str, kernel_size: int) -> Float[Tensor, "k k"]:
    """The mask that shows the past and hides the future.

    mask[i, j] = 1 where entry (i, j) comes before the centre in raster order, for kind "B" also at the centre; else 0.
    The centre of a k x k kernel is [k // 2, k // 2], counted from 0. `kind` is "A" or "B". Returns float32, as
    `torch.zeros` makes it. Raises ValueError for an even size, which has no centre.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-raster_mask-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("02.raster_mask", raster_mask)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# 4 of 9, and 12 of 25: half of all entries but the middle one, $(k^2 - 1) / 2$. With A in every layer, every layer
# takes at least one step back: after two of them the pixel next door is out of sight, after ten the nine nearest in its
# row, and others with them.
#
# </details>

# %% [markdown]
# ## 2. A masked convolution, colours included
#
# Difficulty 3 of 5 · 3 points · 20 minutes
#
# A colour picture is a sequence too: red of the first pixel, then its green, then its blue, then red of the second.
# So at the centre the question is not only *where* but *which colour*: green may see the red of its own pixel, and blue
# may see both. Seeing its own value is what kind A forbids and kind B allows. Of every earlier pixel all colours are
# known.
#
# A layer has many channels, and they are shared out among the colours in **contiguous equal groups**: of $n$ channels,
# channel $j$ belongs to colour $\lfloor j \cdot \text{colours} / n \rfloor$. With `colours=3` and 6 channels,
# channels 0 and 1 are red, 2 and 3 green, 4 and 5 blue.
#
# **Before you write:** a kernel of size 1 with kind A, 3 channels in and 3 out. Which of its 9 weights survive?


# %% nbgrader={"grade": false, "grade_id": "02-masked_conv2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
def masked_conv2d(
    x: Float[Tensor, "batch in height width"],
    weight: Float[Tensor, "out in k k"],
    bias: Float[Tensor, " out"],
    kind: str,
    colours: int,
) -> Float[Tensor, "batch out height width"]:
    """A convolution that looks only backwards, with zeros around the picture so that its size stays.

    Before the centre in raster order every weight counts; after it, none. At the centre, a weight from channel i to
    channel o counts where colour(i) < colour(o) for kind "A", and where colour(i) <= colour(o) for kind "B". Channel j
    of n belongs to colour j * colours // n; one colour is grey, three are red, green and blue. k is odd.
    The arguments are left as they are: `weight` belongs to the optimiser. Differentiable in x, weight and bias.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-masked_conv2d-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("02.masked_conv2d", masked_conv2d)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# Three of the nine: from red to green, from red to blue, from green to blue. As `weight[out, in]` they are `[1, 0]`,
# `[2, 0]` and `[2, 1]`. Kind B adds the three on the diagonal.
#
# </details>

# %% [markdown]
# ## 3. Two stacks, and a gate
#
# Difficulty 3 of 5 · 3 points · 20 minutes
#
# However deep, a stack of masked convolutions never sees a part of the upper right. The cure is to give the past two
# halves, and each its own stack of features: **vertical**, $v$, hears of the rows above, full rows with no mask at all,
# and **horizontal**, $h$, hears of its own row to the left. What $v$ knows is handed to $h$, never the other way, and
# before the gate: $a$ is handed over, not $v'$:
#
# $$a = V * v, \qquad b = H * h + L\, a, \qquad v' = \mathrm{gate}(a), \qquad h' = \mathrm{gate}(b) .$$
#
# $V$ and $H$ are ordinary filters; all that keeps them from the future is where they lie. In the first layer, kind
# "A", $v$ and $h$ are both the picture itself. Later, kind "B", row $i$ of $v$ tells of the rows above $i$ alone, and
# $h$ at a pixel of the past of that pixel alone, so that both may be read where they stand.
#
# | | kind A | kind B |
# |---|---|---|
# | $V$, of size r × k, at row $i$ sees the rows | $i-r, \dots, i-1$ | $i-r+1, \dots, i$ |
# | $H$, of size 1 × t, at column $j$ sees the columns | $j-t, \dots, j-1$ | $j-t+1, \dots, j$ |
#
# $L$ is a matrix that mixes the maps at each pixel (a convolution of size 1 × 1). Every filter makes $2c$ maps, and the
# gate makes $c$ of them: the first half is a signal, the second half a door, which says how much of it goes through,
#
# $$\mathrm{gate}(y) = \tanh(y_{\text{first half}}) \cdot \sigma(y_{\text{second half}}) .$$
#
# (Van den Oord and colleagues 2016, arXiv 1606.05328, figure 2 and equation 2. Their layers also add $h$ to $h'$ and
# mix its maps; we leave that out.)
#
# **Before you write:** the link from $v$ to $h$ is harmless. Why would one from $h$ to $v$ leak?


# %% nbgrader={"grade": false, "grade_id": "02-gated_layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gated_layer(
    v: Float[Tensor, "batch in height width"],
    h: Float[Tensor, "batch in height width"],
    vertical: Float[Tensor, "two_c in r k"],
    horizontal: Float[Tensor, "two_c in 1 t"],
    link: Float[Tensor, "two_c two_c 1 1"],
    kind: str,
) -> tuple[Float[Tensor, "batch c height width"], Float[Tensor, "batch c height width"]]:
    """(v', h') = (gate(a), gate(b)) with a = vertical * v and b = horizontal * h + link a.

    At row i the vertical filter's lowest row lies on row i - 1 for kind "A" and on row i for kind "B"; k is odd, and
    it reaches k // 2 columns to each side. At column j the horizontal filter's last tap lies on column j - 1 for "A"
    and on column j for "B". Outside the picture there are zeros. `*` is what conv2d does; there are no biases.
    gate(y) = tanh(first half of the maps) sigmoid(second half). Differentiable in all five tensors.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-gated_layer-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("02.gated_layer", gated_layer)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $h$ at a pixel knows what stands to its left, in its own row. Were that put into row $i$ of $v$, the vertical filter of
# the next layer would carry it up to $k // 2$ columns to the left and to the right, within row $i$: to pixels that come
# earlier and must not know it.
#
# </details>

# %% [markdown]
# ## 4. A recurrent layer, a diagonal at a time
#
# Difficulty 3 of 5 · 2 points · 15 minutes
#
# An LSTM that reads a picture makes a state at each pixel from the pixel and from the states above and to the left:
#
# $$s_{i,j} = \mathrm{step}(x_{i,j},\; s_{i-1,j},\; s_{i,j-1}) .$$
#
# Each state waits for two others. So is this one long queue, a pixel at a time? No: the pixels with the same $i + j$, a
# diagonal, wait for the diagonal before and not for one another. One call of `step` can serve them all. (The Diagonal
# BiLSTM of van den Oord, Kalchbrenner and Kavukcuoglu 2016, arXiv 1601.06759, does it by skewing the picture: row $i$ is
# moved $i$ places to the right, and the diagonals become columns.)
#
# **Before you write:** how many calls does a picture of 28 × 28 take? How many would it take pixel after pixel?


# %% nbgrader={"grade": false, "grade_id": "02-diagonal_scan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def diagonal_scan(
    x: Float[Tensor, "batch channels height width"], step: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Float[Tensor, "batch channels height width"]:
    """s[i, j] = step(x[i, j], s[i - 1, j], s[i, j - 1]) for every pixel; a state outside the picture is 0.

    step(x, above, left) takes three tensors [batch, channels, n] and gives the states of n pixels at once; n may be
    any number. It is the slow part: height + width - 1 calls are enough, and one more is refused with a RuntimeError.
    step(0, 0, 0) = 0, so that filling, such as that of a skewed picture, stays 0. All states have x's dtype.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-diagonal_scan-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("02.diagonal_scan", diagonal_scan)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $28 + 28 - 1 = 55$, for $i + j$ runs from 0 to 54; pixel after pixel it would be 784. A masked convolution makes one
# pass, with nothing to wait for.
#
# </details>

# %% [markdown]
# ## 5. A sampler, pixel by pixel
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# Training sees the whole picture at once. Drawing cannot: a pixel is drawn from what has been drawn before it, then put
# into the picture, and only then can the next one be asked for.
#
# **Before you write:** how often is the model called for one picture of 28 × 28? And for 100 pictures at a time?


# %% nbgrader={"grade": false, "grade_id": "02-sample", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample(
    model: Callable[[Tensor], Tensor], shape: tuple[int, int, int, int], generator: torch.Generator
) -> Float[Tensor, "batch 1 height width"]:
    """Draws binary images: x_i ~ Bernoulli(sigmoid(l_i)), pixel after pixel in raster order.

    `model(x)` gives logits of the shape of x; the logit of a pixel depends on the pixels before it alone. `shape` is
    (batch, 1, height, width), and one call of the model for each pixel can serve the whole batch. All chance comes
    from `generator`: the same seed gives the same images. Returns float32, zeros and ones.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-sample-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("02.sample", sample)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# 784 times: once for each pixel. And 784 times for 100 pictures as well: they go through the model side by side.
#
# </details>

# %% [markdown]
# ## 6. A sampler that remembers
#
# Difficulty 3 of 5 · 3 points · 15 minutes
#
# Your sampler asks the model for the whole picture, and uses one pixel of the answer. Almost all of that work was done
# before: what a layer says at a place depends on pixels before that place, and those are drawn and done. It holds for
# good.
#
# Take a picture of a single row, and a stack of masked layers along it. The first has mask A: at place $j$ it sees the
# pixels $j - t, \dots, j - 1$. Each further one has mask B: at place $j$ it sees what the layer before said at places
# $j - t + 1, \dots, j$. ($t$ is the layer's number of taps, and before the first place there are zeros.) The last layer
# says the logit of pixel $j$. So all that a layer needs is a **window** of its own: the last $t$ things that it was
# told. (Le Paine and colleagues 2016, arXiv 1611.09482, do this for sound, Ramachandran and colleagues 2017, arXiv
# 1704.06001, for pictures too.)
#
# **Before you write:** how many calls of a layer at one place does a row of 28 pixels take with 3 layers? And if all
# layers are asked about all 28 places, for every pixel anew?


# %% nbgrader={"grade": false, "grade_id": "02-sample_cached", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample_cached(
    layers: list[Callable[[Tensor], Tensor]], shape: tuple[int, int], generator: torch.Generator
) -> Float[Tensor, "batch width"]:
    """Draws rows of binary pixels, x_j ~ Bernoulli(sigmoid(l_j)) from left to right; `shape` is (batch, width).

    Each layer has `layer.channels` and `layer.taps`, and layer(window) takes its last inputs, [batch, channels, taps],
    the newest at the end, to its output at the present place, [batch, channels of the next layer]; the last layer's
    output is the logit, [batch, 1]. The newest input of layer 0 is the pixel drawn last (0 before the first), of every
    further layer the output of the one before. Each layer may be called once for each place, for the whole batch: one
    call more is refused with a RuntimeError. All chance comes from `generator`. Returns float32, zeros and ones.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-sample_cached-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("02.sample_cached", sample_cached)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $28 \cdot 3 = 84$, against $28 \cdot 28 \cdot 3 = 2352$. The pixels still come one after another: what is saved is
# the work for each, not the waiting.
#
# </details>

# %% [markdown]
# ## What you have built: the blind spot, and its cure
#
# Your layers, with random weights and eight of them, on a window of 11 × 11. The gradient of the features in the middle
# says which pixels they see: `#` is seen, `o` is past and not seen, `.` lies in the future, `x` is the pixel itself.
#
# **Predict:** in which corner do the `o` stand on the left, and how many are there on the right?


# %%
def plain(x: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 2 height width"]:
    """Eight masked convolutions of 3 x 3."""
    for kind in "ABBBBBBB":
        x = masked_conv2d(x, torch.rand(2, x.shape[1], 3, 3).double(), torch.zeros(2).double(), kind, 1).tanh()
    return x


def gated(x: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 2 height width"]:
    """Eight gated layers, with filters of 2 x 3 and 1 x 2."""
    v = h = x
    for kind in "ABBBBBBB":
        shapes = (4, v.shape[1], 2, 3), (4, v.shape[1], 1, 2), (4, 4, 1, 1)
        v, h = gated_layer(v, h, *(torch.rand(shape).double() for shape in shapes), kind)
    return h


def field(network: Callable[[Tensor], Tensor], size: int = 11) -> list[str]:
    """What the features in the middle see, a line for each row."""
    x = torch.full((1, 1, size, size), 1e-3, dtype=torch.float64, requires_grad=True)
    network(x)[0, :, size // 2, size // 2].sum().backward()
    signs = ["#" if seen else "o" for seen in x.grad.flatten() != 0]
    middle = size**2 // 2
    after = ["!" if sign == "#" else "." for sign in signs[middle + 1 :]]
    line = "".join([*signs[:middle], "!" if signs[middle] == "#" else "x", *after])
    return [line[i : i + size] for i in range(0, size**2, size)]


with when_solved():
    torch.manual_seed(0)
    maps = field(plain), field(gated)
    print("one masked stack    two stacks")
    print("\n".join(f"{left:<20}{right}" for left, right in zip(*maps)))
    print("not seen:", " against ".join(str("".join(lines).count("o")) for lines in maps))

# %% [markdown]
# <details><summary>What the maps show</summary>
#
# Ten past pixels at the upper right stay unseen by the masked stack, and more layers would not help: in a row it moves to
# the left alone. The two stacks see all 60. A `!` would mark a leak, a pixel that is seen and should not be.
#
# </details>

# %% [markdown]
# ## What you have built: fewer steps, and fewer calls
#
# First the scan, on a picture that is white at its first pixel, with step(x, above, left) = x + above + left: each state
# counts the ways to that pixel from the first one. Then a row of 28 pixels from three layers, drawn by both of your
# samplers from the same seed.
#
# **Predict:** the number of calls, three times.


# %%
class Layer:
    """A masked layer along a row, at one place; it counts its calls."""

    calls = 0

    def __init__(self, channels: int, out: int, taps: int):
        self.channels, self.taps = channels, taps
        self.weight = 2 * torch.randn(out, channels, taps)

    def __call__(self, window: Float[Tensor, "batch channels taps"]) -> Float[Tensor, "batch out"]:
        Layer.calls += 1
        return torch.einsum("oit,bit->bo", self.weight, window - (self.channels == 1) / 2)


def whole_row(x: Float[Tensor, "batch 1 1 width"]) -> Float[Tensor, "batch 1 1 width"]:
    """The logits at all places, every layer at every place."""
    h = F.pad(x[:, :, 0], (1, -1))
    for layer in layers:
        windows = F.pad(h, (layer.taps - 1, 0)).unfold(2, layer.taps, 1)
        h = torch.stack([layer(windows[:, :, place]) for place in range(x.shape[3])], dim=2)
    return h[:, :, None]


with when_solved():
    steps = []
    corner = torch.zeros(1, 1, 4, 7)
    corner[..., 0, 0] = 1
    ways = diagonal_scan(corner, lambda x, above, left: steps.append(1) or x + above + left)
    print(ways[0, 0].int().numpy())
    print(f"{len(steps)} steps for {corner.numel()} pixels\n")

    torch.manual_seed(4)
    layers = [Layer(1, 4, 5), Layer(4, 4, 3), Layer(4, 1, 3)]
    for name, draw, shape in (("plain", sample, (1, 1, 1, 28)), ("remembering", sample_cached, (1, 28))):
        Layer.calls = 0
        row = draw(whole_row if draw is sample else layers, shape, torch.Generator().manual_seed(0)).flatten()
        print(f"{name:<12}", "".join(".#"[int(pixel)] for pixel in row), f"{Layer.calls} calls")

# %% [markdown]
# <details><summary>Need the two rows be the same?</summary>
#
# They come from the same probabilities, so where both samplers spend their random numbers in the same order they agree
# to the pixel. A sampler that draws, say, all its noise beforehand is as right, and draws another row.
#
# </details>

# %% [markdown]
# ## What you have built: a model by hand
#
# Two of your functions once more: the masked convolution, with weights chosen by hand, is the model, and the sampler
# draws from it. By the weights, a pixel would like to agree with the one above it and to differ from the one on its left.
#
# **Predict:** what will the pictures look like? And if you change the sign of the first weight?


# %%
def stripes(x: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """logit = 2 above - 2 left, where a neighbour counts +1 if it is 1, -1 if it is 0, and 0 outside the picture."""
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 0, 1], weight[0, 0, 1, 0] = 2.0, -2.0
    return masked_conv2d(2 * x - 1, weight, torch.zeros(1), "A", 1)


with when_solved():
    picture = sample(stripes, (1, 1, 8, 32), torch.Generator().manual_seed(2))
    for line in picture[0, 0]:
        print("".join(".#"[int(pixel)] for pixel in line))
    nats = F.binary_cross_entropy_with_logits(stripes(picture), picture, reduction="sum")
    coins = F.binary_cross_entropy_with_logits(torch.zeros_like(picture), picture, reduction="sum")
    print(f"-log p = {nats:.1f} nats; with a fair coin for each pixel, {coins:.1f}")

# %% [markdown]
# <details><summary>What the pictures look like, and with the other sign</summary>
#
# Upright stripes, one pixel wide: to agree with the pixel above makes columns, to differ from the pixel on the left
# makes them alternate. Here and there a column begins wrong or changes its mind, for every pixel is drawn by chance;
# still the picture is far more probable than it would be with fair coins. With $-2$ for the pixel above, a pixel would
# like to differ from both its neighbours: a chessboard.
#
# </details>

# %% [markdown]
# To draw the picture took 256 passes; to say how probable it is took one, since by then every pixel was known. That is
# why training is parallel and sampling is not.
#
# **To go on thinking**
#
# - In the two stacks, what can a sampler keep? What of it changes from pixel to pixel, and what only from row to row?
# - Mask A in the first layer: what would happen with mask B there? Try it: in `stripes`, make the kind "B" and give the
#   centre a weight, `weight[0, 0, 1, 1] = 2.0`. Which -log p do the drawings get, and can you believe it?
# - A scan from the upper left sees what lies above and to the left. Which part of the past does it miss, and which
#   second scan would see that?

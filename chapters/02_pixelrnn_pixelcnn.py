# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · How do you look only backwards, fast?
#
# A painter who works from the top left to the bottom right can look at everything already on the canvas, and at
# nothing else. This chapter builds a network that obeys the same rule and still answers for all pixels in one pass.
#
# **You will be able to**
#
# - write the likelihood of a picture as a product over its pixels, and say why each factor must not see its own pixel;
# - build masks A and B, for grey and for colour pictures, and prove by gradient and by perturbation that they hold;
# - compute how far a stack of masked convolutions looks, and point at the pixels it can never see;
# - train a PixelCNN, read its likelihood in nats and in bits, and draw from it, pixel by pixel.
#
# **Minutes**: 45, and 55 more for the exercise.
#
# **Prerequisites**: what a convolution does; the chain rule, $p(a, b) = p(a)\,p(b \mid a)$, and cross-entropy (chapter 01).
#
# **Claims and numbers**: what the article claims is numbered, C01 to C27; here we test C06 and C07. `confirm` compares
# a number measured just now with the course's ledger of results, where it stands with its spread over seeds, and
# complains when it lies outside a stated band.
#
# **How far it goes**: to the plain PixelCNN and its blind spot. The cure (two stacks, gates) and the recurrent cousin,
# PixelRNN, are being written.

# %%
import itertools
import math

import torch
from matplotlib.patches import Rectangle

from course_lib import zoo
from course_lib.data import digits
from course_lib.experiments.chapter_02 import (
    LIVE,
    PEEK,
    independent_nll,
    live_model,
    lower_edge_inked,
    measured_field,
    open_the_masks,
)
from course_lib.figures.style import BLUE, FAINT, INK, VERMILION, figure, image_grid, show
from course_lib.measurement.ledger import ClaimsTable, confirm, result
from course_lib.measurement.receptive_field import field_by_gradient, field_by_perturbation, is_past, plain_stack_field
from course_lib.models.masks import MaskedConv2d, causal_mask, raster_mask
from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Plan, fit
from course_lib.widgets import Choice, Explorer, IntRange

train, _, test = digits(binary=True)
x_train, x_test = train.images, test.images
print(f"{len(x_train)} training digits and {len(x_test)} test digits, {tuple(x_train.shape[1:])}, black or white")

# %% [markdown]
# ## A picture is a sequence
#
# Number the pixels in raster order, row by row from the top left: $x_1, x_2, \dots, x_n$. The chain rule holds for any
# variables, so it holds for pixels:
#
# $$p(x) = \prod_{i=1}^{n} p(x_i \mid x_1, \dots, x_{i-1}), \qquad
# \log p(x) = \sum_{i=1}^{n} \log p(x_i \mid x_{<i}).$$
#
# For black and white pictures each factor is a coin, and a coin needs one number. Let a convolutional network produce
# it: a **logit** $\ell_i$ for every pixel, with $p(x_i = 1 \mid x_{<i}) = \sigma(\ell_i)$. Picture in, logits out, same
# size: convolutions are good at that.
#
# **Before you run the next cell.** We train an ordinary convolutional network, no tricks, to predict each pixel of a
# digit from the digit. Pixels that know nothing of each other cost what the first line will print. What will
# the network's $-\log p(x)$ be: a little lower, half as much, next to nothing?

# %% tags=["nbval-ignore-output"]
confirm("02.digits.independent", independent_nll(x_train, x_test))
peeking = open_the_masks(live_model(seed=0))
fit(peeking, negative_log_likelihood, x_train, PEEK, progress=False)
with torch.no_grad():
    peeking_nll = float(-peeking.log_prob(x_test).mean())
confirm("02.digits.peeking", peeking_nll)

# %% [markdown]
# Nearly nothing: as if digits held no surprise at all. Do you believe it? A model of pictures can also draw, so let it
# draw: start from an empty canvas, ask for the first pixel, toss the coin, go on to the next.

# %%
drawn = peeking.sample(8, torch.Generator().manual_seed(0))
fig = image_grid(
    torch.cat([x_test[:8], drawn]),
    columns=8,
    title="The network with the perfect score draws nothing",
    row_labels=["digits", "its drawings"],
)
show(
    fig,
    alt="Two rows. Above, eight test digits. Below, what the unmasked network draws: empty canvases.",
)

# %% [markdown]
# It has learnt to copy. Each output sits on top of the very pixel it is asked about, and hands it through; on an empty
# canvas it copies emptiness. Its score was never a likelihood: a likelihood adds up to 1 over all pictures.
#
# That is easy to check where there are few pictures. In a world of 2 x 2 pixels there are 16. We sum $p(x)$ over all of
# them, for a small network with masks (we come to them in a moment), for the same network without, and for the latter
# after some training. **Predict** the three sums.

# %%
every_picture = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double().view(16, 1, 2, 2)
torch.manual_seed(3)
with_masks = PixelCNN((1, 2, 2), width=8, depth=2).double()
total = float(with_masks.log_prob(every_picture).exp().sum().detach())
without = open_the_masks(with_masks)
untrained = float(without.log_prob(every_picture).exp().sum().detach())
fit(without, negative_log_likelihood, every_picture, Plan(steps=300, batch_size=16, warm_up=10), progress=False)
trained = float(without.log_prob(every_picture).exp().sum().detach())
print(f"sum of p(x) over all 16 pictures: with masks {total:.10f}")
print(f"without masks: {untrained:.3f}, and once it has learnt to copy, {trained:.3f}")
assert abs(total - 1) < 1e-12 and abs(untrained - 1) > 1e-3 and trained > 15.9

# %% [markdown]
# The copier gives every picture probability one. Sixteen certainties in a world that has room for one.
#
# ## Masks A and B
#
# The rule we need: logit $\ell_i$ may depend on $x_1, \dots, x_{i-1}$ alone. For a convolution that means setting some
# filter taps to zero: all that lie to the right in the same row, and all rows below. Two kinds differ in the centre.
#
# - **Mask A** removes the centre too. The first layer needs it, because there the centre *is* the pixel $x_i$.
# - **Mask B** keeps the centre. Every later layer may use it, because behind a mask-A layer, the feature at place $i$
#   knows only $x_{<i}$.
#
# **Predict**: what would a stack lose that used mask A in every layer?

# %%
fig, axes = figure(1, 2, width=5.5, height=2.7)
for ax, kind in zip(axes, "AB", strict=True):
    mask = raster_mask(kind, 5)
    ax.imshow(mask, cmap="cividis", vmin=0, vmax=1)
    for row, column in itertools.product(range(5), range(5)):
        kept = bool(mask[row, column])
        ax.text(column, row, int(kept), ha="center", va="center", color=INK if kept else "white")
    ax.add_patch(Rectangle((1.5, 1.5), 1, 1, fill=False, edgecolor=VERMILION, linewidth=3))
    ax.set_title(f"Mask {kind} {'hides' if kind == 'A' else 'keeps'} the centre")
    ax.set_xticks(range(5))
    ax.set_yticks(range(5))
    ax.set_xlabel("column of the filter")
axes[0].set_ylabel("row of the filter")
show(
    fig,
    alt="Two 5 by 5 filters, the centre framed. In both, the two rows above and the two taps to the left hold ones, that "
    "is, they are kept. The centre is one in mask B only.",
)

# %%
blank = torch.zeros(1, 1, 7, 7).double()
for kinds in ("AB", "AA"):
    torch.manual_seed(0)
    stack = torch.nn.Sequential(MaskedConv2d(kinds[0], 1, 8, 3), MaskedConv2d(kinds[1], 8, 1, 3)).double()
    seen = field_by_gradient(stack, blank, (0, 3, 3))[0] > 0
    print(
        f"mask {kinds[0]}, then mask {kinds[1]}: {int(seen.sum())} pixels seen, left neighbour seen: {bool(seen[3, 2])}"
    )

# %% [markdown]
# Mask A twice loses two pixels, the left neighbour among them, the one that says most. After the first layer,
# $x_{i-1}$ has been heard of at place $i$ and at places after it, and a second mask A admits none of those.
#
# A colour picture has three numbers at each place. They are ordered as well: red, then green, which may look at red,
# then blue, which may look at both. Away from the centre nothing changes. At the centre, the mask becomes a small
# table: which output colour (row) may see which input colour (column)?

# %%
for kind in "AB":
    at_the_centre = causal_mask(kind, 3, 3, 3, colours=3)[:, :, 1, 1].int()
    print(f"mask {kind}, centre tap      sees R G B")
    for colour, row in zip(["red", "green", "blue"], at_the_centre.tolist(), strict=True):
        print(f"  output {colour:<17} {row[0]:>5} {row[1]} {row[2]}")

# %% [markdown]
# ## Does it hold? (claim C06)
#
# The article says that a masked convolution conditions each pixel on those before it and on no other. A network that
# peeks trains happily and reports a wonderful likelihood, as you have just seen, and a single tap, the centre, is enough
# to copy with. So we do not trust, we measure, in two ways:
#
# - **gradient**: $\partial \ell_i / \partial x_j$ for all $j$, zero for $j \ge i$;
# - **perturbation**: flip $x_j$ and look whether $\ell_i$ moves. No derivative, so no accident of a flat spot.
#
# Both look at the logits. Samples would not do: they are random, and a leak hides in the noise.
#
# **Predict** two shapes on an 8 x 8 picture: the pixels whose flip changes the logit in the middle, and the logits that
# change when the pixel in the middle is flipped.

# %%
torch.manual_seed(0)
model = PixelCNN((1, 8, 8), width=16, depth=3, kernel=5).double()
x = x_test[:1].double()
place = (0, 4, 4)
looks_at = field_by_perturbation(model, x, place)[0]
flipped = x.clone()
flipped[0][place] = 1 - flipped[0][place]
with torch.no_grad():
    moved = (model(flipped) - model(x)).abs()[0, 0]

fig, axes = figure(1, 2, width=6.4, height=3.2)
for ax, change, title in [
    (axes[0], looks_at, "A logit hears the past"),
    (axes[1], moved, "A pixel tells the future"),
]:
    ax.imshow(change > 0, cmap="cividis", vmin=0, vmax=1)
    ax.plot(4, 4, marker="o", color=VERMILION, markersize=8)
    ax.set_title(title)
    ax.set_xlabel("column")
axes[0].set_ylabel("row")
show(
    fig,
    alt="Two 8 by 8 maps with the pixel at row 4, column 4 marked. Left: the pixels whose flip changes its logit lie in "
    "the rows above, and to the left in its row. Right: the logits that change when it is flipped lie to the right in "
    "its row, and in the rows below. One past pixel at the upper "
    "right has no effect, and two future ones at the left of the next row are not affected.",
)

# %%
worst_change = worst_gradient = 0.0
for place in itertools.product(range(1), range(8), range(8)):
    hidden = ~is_past((1, 8, 8), place)
    worst_change = max(worst_change, float(field_by_perturbation(model, x, place)[hidden].max()))
    worst_gradient = max(worst_gradient, float(field_by_gradient(model, x, place)[hidden].max()))
confirm("C06.change", worst_change)
confirm("C06.gradient", worst_gradient)

# %% [markdown]
# (In the left picture one past pixel stays dark, at the upper right, and in the right one two future pixels. Keep them
# in mind.)
#
# Not small: zero, to the last bit, at all 64 places. The masked weights are exactly 0, and 0 times anything is 0. On
# this point the article is right, and the test suite repeats the measurement on random shapes, in colour, and in
# training mode.
#
# One famous way to break it all the same: put batch normalisation into the network. In training mode it averages over
# all places of the picture, future ones included.
#
# ## How far back does it look? (claim C07)
#
# One 3 x 3 mask-A layer sees four pixels. The article says that further layers widen the field until it takes in the
# global structure. Take a 21 x 21 window and stand in the middle: 10 full rows above and 10 pixels to the left, 220
# past pixels in all.
#
# **Predict** how many of the 220 a stack of 1, 2, 4 and 8 layers of 3 x 3 filters reaches. And 20 layers?

# %%
fig, axes = figure(1, 4, width=7.2, height=2.3)
for ax, layers in zip(axes, (1, 2, 4, 8), strict=True):
    seen = measured_field(kernel=3, layers=layers)
    ax.imshow(seen, cmap="cividis", vmin=0, vmax=1)
    ax.plot(10, 10, marker="o", color=VERMILION, markersize=4)
    ax.set_title(f"{layers}: {int(seen.sum())} of 220")
    ax.set_xticks([0, 10, 20])
    ax.set_yticks([0, 10, 20])
    ax.set_xlabel("column")
    confirm(f"C07.kernel3.layers{layers:02d}", float(seen.sum()))
axes[0].set_ylabel("row")
fig.suptitle("More layers see more of the past, but nothing beyond the diagonal", x=0.01, ha="left", fontweight="bold")
show(
    fig,
    alt="Four maps of a 21 by 21 window for stacks of 1, 2, 4 and 8 layers. The field grows with depth to the left and "
    "upwards. To the right it is cut off along a diagonal, so that a triangle at the upper right stays dark.",
)

# %% [markdown]
# The field grows, as the article says. But look at its right edge. Move the sliders: does any depth fill the corner?


# %%
def draw_field(kernel, layers):
    """The field of a plain stack in a 21 x 21 window: seen, not seen yet, and never to be seen."""
    seen = plain_stack_field(21, kernel, kernel, layers)
    ever = plain_stack_field(21, kernel, kernel, 20)
    past = is_past((1, 21, 21), (0, 10, 10))[0]
    fig, ax = figure(width=5.2, height=3.9, fixed=True)
    ax.set(xlim=(-0.7, 20.7), ylim=(12.7, -0.7), aspect="equal", xticks=range(0, 21, 5), yticks=[0, 5, 10])
    kinds = [(seen, BLUE, "seen"), (past & ever & ~seen, FAINT, "not yet"), (past & ~ever, VERMILION, "never")]
    for mask, colour, label in kinds:
        rows, columns = mask.nonzero(as_tuple=True)
        ax.scatter(columns, rows, marker="s", s=88, color=colour, label=f"{label}: {len(rows)}")
    ax.plot(10, 10, marker="o", color=INK, markersize=8)
    ax.set_title(f"{kernel} x {kernel}, {layers} layers: {int(seen.sum())} of 220 seen")
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    ax.legend(loc="lower center", ncols=3, fontsize=10)
    return fig


Explorer(
    draw_field,
    alt="A 21 by 21 window: past pixels seen, not seen yet, and never seen, for the chosen filter and depth.",
    layers=IntRange(1, 20, start=6),
    kernel=Choice([3, 5, 7]),
)

# %% [markdown]
# ### The blind spot, derived
#
# Follow a path from a past pixel to the logit, backwards, layer by layer. Within a row a masked filter never moves to
# the right; a layer that does move right climbs at least one row as well, and moves at most $(k-1)/2$ columns. So on a
# path that climbs $d$ rows there are at most $d$ moves to the right, and it ends at most $d\,(k-1)/2$ columns to the
# right, however many layers there are. In a window that ends 10 columns to the right, what stays unseen is
#
# $$\text{blind}(k) = \sum_{d=1}^{10} \max\!\left(0,\; 10 - d\,\tfrac{k-1}{2}\right).$$
#
# Depth does not occur in the formula. Checked by number, against the gradient of a 20-layer network:

# %%
print("filter   blind by formula   seen = 220 - blind   measured")
for kernel in (3, 5, 7):
    blind = sum(max(0, 10 - d * (kernel // 2)) for d in range(1, 11))
    measured = int(measured_field(kernel, layers=20).sum())
    print(f"{kernel} x {kernel} {blind:>14} {220 - blind:>20} {measured:>14}")
    assert measured == 220 - blind == result(f"C07.kernel{kernel}.layers20").value

# %% [markdown]
# So C07 is half true. More layers do widen the field, and it does become global towards the left. To the far upper
# right a plain stack stays blind at every depth. Wider filters shrink the blind spot; by the formula it is gone from
# this window at $k = 21$, a filter as wide as the window. Van den Oord and colleagues noticed this in their own model a
# few months later, and cured it with two stacks.
#
# ## What does a digit cost?
#
# With masks, one pass gives all $n$ conditionals of a known picture, and its log-likelihood is a sum of
# cross-entropies:
#
# $$\log p(x) = \sum_i x_i \log \sigma(\ell_i) + (1 - x_i) \log \sigma(-\ell_i) \quad \text{nats per image.}$$
#
# A *sum* over pixels. Many programs take the mean, which divides by the number of pixels and goes unnoticed until
# something else, such as the KL term of a VAE, is added to it.
#
# **Predict**: independent pixels and the peeking network gave you two numbers. Where between them will an honest
# PixelCNN land?

# %% tags=["nbval-ignore-output"]
pixelcnn = live_model(seed=0)
history = fit(pixelcnn, negative_log_likelihood, x_train, LIVE, every=10, progress=False)
with torch.no_grad():
    nll = float(-pixelcnn.log_prob(x_test).mean())
confirm("02.digits.nll", nll)
print(f"that is {nll / math.log(2):.1f} bits for {x_test[0].numel()} pixels")

# %% tags=["nbval-ignore-output"]
fig, ax = figure(width=6.4, height=2.9)
ax.plot(history.steps, history.terms["nll"], color=BLUE, label="training batches")
ax.axhline(nll, color=INK, linestyle="--", label="PixelCNN, test digits")
ax.axhline(independent_nll(x_train, x_test), color=VERMILION, linestyle=":", label="independent pixels, test digits")
ax.set_xlabel("training step")
ax.set_ylabel("NLL (nats per image)")
ax.set_title("Looking back pays, within seconds of training")
ax.legend()
show(
    fig,
    alt="Negative log-likelihood against training step. The curve falls from above the line of independent pixels to "
    "clearly below it, and the test value of the trained network lies well below too.",
)

# %% [markdown]
# ## Drawing, one pixel at a time
#
# In training every pixel is known, so one pass scores a whole picture. In drawing, pixel $i$ must exist before the
# network can be asked about pixel $i + 1$. That is a loop with one pass per pixel, and the loop is all there is to it.
#
# Below it starts from the upper half of a digit rather than from an empty canvas. **Predict**: will the endings agree?

# %% tags=["nbval-ignore-output"]
generator = torch.Generator().manual_seed(4)
canvas = x_test[[3, 11, 20]].repeat_interleave(7, dim=0)
canvas[:, :, 4:] = 0
with torch.no_grad():
    for row, column in itertools.product(range(4, 8), range(8)):
        p = torch.sigmoid(pixelcnn(canvas)[:, 0, row, column])
        canvas[:, 0, row, column] = torch.bernoulli(p, generator=generator)

rows = torch.cat([torch.cat([x_test[i : i + 1], canvas[7 * k : 7 * k + 7]]) for k, i in enumerate([3, 11, 20])])
fig = image_grid(rows, columns=8, title="One beginning, many endings (first column: the digit itself)")
show(
    fig,
    alt="Three rows of 8 by 8 digits. The first column shows a test digit; the other seven share its upper half "
    "and have lower halves drawn by the network.",
)

# %% [markdown]
# They do not: the same upper half is carried on in different ways, some of them digits.
#
# ## At the papers' size
#
# The zoo holds two plain PixelCNNs trained on MNIST, 28 x 28, with the same data, seed and number of steps. They differ
# in how far they look: the **narrow** one has a first filter of 7 x 7, the **wide** one of 27 x 27 and one block more.
# Their cards say on which hardware and for how long they were trained, and weights whose checksum is not the card's are
# refused. The binarisation is **dynamic**: each grey pixel is a coin, tossed afresh. That matters when you compare: the
# fixed binarisation of the same digits gives other numbers.

# %%
for name in ("pixelcnn_mnist_narrow", "pixelcnn_mnist"):
    card = zoo.card(name)
    shape, found = card["arguments"], card["measurements"]["nll_test"]
    rows_up = shape["first_kernel"] // 2 + shape["depth"] * (shape["kernel"] // 2)
    print(f"{name}: looks {rows_up} rows up, {card['parameters']:,} parameters, {card['plan']['steps']:,} steps")
    print(f"  {card['seconds'] / 60:.0f} minutes on {card['hardware']}")
    print(f"  test NLL {found['nats']:.2f} ± {found['standard_error']:.2f} nats per image", end=" ")
    print(f"= {found['nats'] / 784 / math.log(2):.4f} bits per pixel")
print(f"({found['images']:,} test images, {found['estimator']}, {found['binarisation']})")

# %% [markdown]
# The wide one wins. For orientation: the small PixelCNN without a code in the appendix of the Variational Lossy
# Autoencoder paper (Chen et al., 2017, appendix D) reaches 87.55 nats on dynamically binarised MNIST.
#
# A digit is 20 rows high. **Predict**: what goes wrong in the drawings of a model that forgets what lies more than ten
# rows above, and where in the picture will it show?

# %%
fig, axes = figure(2, 1, width=7.0, height=3.5)
for ax, name, title in [
    (axes[0], "pixelcnn_mnist_narrow", "Narrow: starts a second stroke at the bottom, having forgotten the first"),
    (axes[1], "pixelcnn_mnist", "Wide: knows when the digit is finished"),
]:
    image_grid(zoo.samples(name)[:24], columns=12, title=title, ax=ax)
show(
    fig,
    alt="Two panels of 24 drawings each. The narrow model's strokes are clean, but many pictures have stray strokes along "
    "the lower edge. The wide model's pictures are mostly readable digits with an empty lower edge.",
)

# %%
for name in ("pixelcnn_mnist_narrow", "pixelcnn_mnist"):
    inked = lower_edge_inked(zoo.samples(name))
    print(f"{name}: {inked:.0%} of {len(zoo.samples(name))} drawings have ink in the lowest row")
    assert inked == result(f"02.{name}.lower_edge").value
print(f"real digits: {result('02.mnist.lower_edge').value:.1%} of 10,000 test images")

# %% [markdown]
# That is claim C07 with a price tag. What a field does not reach, the model cannot keep consistent, and no pixel will
# tell you: each looks fine next to its neighbours.
#
# Nothing in these networks stands for "this is a seven": there is no code. Give such a decoder a code, and it may have
# little use for it. That is the story of chapter 06.

# %%
ClaimsTable("C06", "C07")

# %% [markdown]
# ## Questions
#
# 1. Why does one mask-A layer suffice?
# <details><summary>Answer</summary>After it, the feature at place i is a function of the pixels before i only. A mask-B
# layer combines features at places up to and including i, so it too depends only on pixels before i. A second mask A
# would leak nothing either, but it loses the left neighbour, as you measured.</details>
#
# 2. Your gradient test finds no leak on one blank picture; a colleague's test finds one on others. How can that be?
# <details><summary>Answer</summary>Behind a ReLU that is off, a gradient is zero, leak or no leak; and two paths of
# opposite sign can cancel. Random weights, several random pictures, float64, and a second method that uses no gradient
# make such an accident unlikely.</details>
#
# 3. A 5 x 5 plain stack stands at the left edge of the picture. Does the blind spot hurt less or more than in the
# middle?
# <details><summary>Answer</summary>More: everything it has to rely on lies above and to the right, and the part to the
# upper right beyond the slope of two columns a row is what it cannot see. At the right edge there is nothing to be
# blind to.</details>
#
# 4. Training takes one pass per picture and drawing takes one per pixel. Is that because training is done on many
#    machines?
# <details><summary>Answer</summary>No. In training all pixels are known, so every conditional can be computed at once
# (teacher forcing), on one machine. In drawing they are not known. The complete chapter will time both.</details>
#
# ## Where next
#
# The exercise `exercises/02_pixelrnn_pixelcnn` lets you write the masks, the convolution, the likelihood and the
# sampler yourself, and answers at once.
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018. The article this course follows.
# - A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv 1601.06759.
# - A. van den Oord et al. (2016), Conditional Image Generation with PixelCNN Decoders, arXiv 1606.05328. The blind spot
#   and its cure.
# - X. Chen et al. (2017), Variational Lossy Autoencoder, arXiv 1611.02731.

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 · How can a picture be a sequence?
#
# A picture is there all at once; a sequence comes one thing after another. Yet one line of probability turns the first
# into the second and loses nothing. What does that line cost, what does it cost to do without it, and why not let every
# pixel look at all the others instead?
#
# **You will be able to**
#
# - split the probability of a picture into one conditional per pixel, in any order, and price each in bits;
# - say what a wrong conditional costs;
# - tell a blurred mean from a noisy drawing, say which of the two comes of independence, and price independence
#   exactly: the conditional total correlation;
# - explain why the conditionals of every pixel on all the others are no model of pictures.
#
# **Minutes**: 65, and 55 more for the exercise.
#
# **Prerequisites**: conditional probability, the logarithm, what an average is. No networks in the first half.
#
# **Claims and numbers**: what the article claims is numbered, C01 to C27; here we test C01, C02 and C03. `confirm`
# compares a number measured just now with the course's ledger of results, and complains when it lies outside a stated
# band.

# %%
import itertools
import math

import torch

from course_lib.data import digits
from course_lib.experiments.chapter_01 import (
    CHANCES,
    PENALTY,
    SLIP,
    STROKES,
    account,
    codes,
    drawn,
    label_unknown,
    labelled_coins,
    mean_drawing,
    mean_pictures,
    named_worlds,
    one_pixel_memory,
    per_pixel,
    random_worlds,
    raw_coins,
    stroke_world,
    tempered_last,
    trained_pixelcnn,
)
from course_lib.figures.style import AMBER, BLUE, FAINT, GREEN, GREY, INK, VERMILION, figure, image_grid, show
from course_lib.measurement.ledger import ClaimsTable, confirm, result
from course_lib.measurement.mean import Mean
from course_lib.measurement.sharpness import sharpness
from course_lib.measurement.stray_dots import stray_dots
from course_lib.measurement.worlds.images import (
    all_images,
    chain,
    code_length,
    conditional_total_correlation,
    dual_total_correlation,
    entropy,
    factorised,
    full_conditionals,
    marginal,
)
from course_lib.models.from_the_rest import predict_from_the_rest, pseudo_nll
from course_lib.widgets import Choice, Explorer, IntRange

# %% [markdown]
# ## A world of sixteen pictures
#
# To be sure of something, make the world so small that all of it can be listed. Ours has pictures of 2 x 2 pixels,
# black or white: sixteen of them. Somebody draws one of four strokes, the top row most often, the right column least,
# and each pixel may slip and come out the other way. That gives each of the sixteen pictures a probability, $p(x)$: a
# **joint table**, since it speaks of all four pixels together.
#
# In the code a table lies flat, sixteen numbers in a row. Read the pixels of a picture, row by row, as the digits of a
# binary number, and you have its place: the top row is 1 1 above 0 0, so `0b1100`. (The exercise folds the same table,
# one axis of length 2 for each pixel, and counts pixels from 0; the formulas here count from 1.)

# %%
print(f"chance of each stroke {dict(zip(STROKES, CHANCES, strict=True))}, of a slip {SLIP}")
joint = stroke_world()  # p(z, x): four strokes, sixteen pictures
p = joint.sum(0)  # p(x)
pictures = all_images((1, 2, 2))

fig, ax = figure(width=7.2, height=3.2)
ranked = p.argsort(descending=True)
ax.bar(range(16), p[ranked], color=BLUE)
for place, state in enumerate(ranked.tolist()):
    thumbnail = ax.inset_axes([place - 0.36, -0.065, 0.72, 0.05], transform=ax.transData)
    thumbnail.imshow(pictures[state, 0], cmap="gray_r", vmin=0, vmax=1, aspect="auto")
    thumbnail.set(xticks=[], yticks=[])
    thumbnail.spines[:].set(visible=True, color=GREY)
ax.set(xticks=[], ylabel="probability", ylim=(0, 0.36), xlim=(-0.7, 15.7))
ax.set_title("Four strokes make up most of this world, and slips the rest")
show(
    fig,
    alt="Bars for the probabilities of all sixteen 2 by 2 pictures, in falling order, each with its picture below. "
    "The four strokes come first: top row, left column, bottom row, right column. The other twelve are rare.",
)

# %% [markdown]
# ## One picture, four steps (claim C01)
#
# Two facts about a joint table. Sum it over what you do not care about, and you have a **marginal**: $p(x_1)$ is the
# sum of $p(x)$ over all values of the other pixels. Divide one marginal by another, and you have a **conditional**:
#
# $$p(x_i \mid x_S) = \frac{p(x_i, x_S)}{p(x_S)} \qquad \text{for any set } S \text{ of other pixels.}$$
#
# Now multiply four of them, each pixel given those before it:
#
# $$p(x_1)\, \frac{p(x_1, x_2)}{p(x_1)}\, \frac{p(x_1, x_2, x_3)}{p(x_1, x_2)}\,
# \frac{p(x_1, x_2, x_3, x_4)}{p(x_1, x_2, x_3)}.$$
#
# Everything cancels but the joint. That is the **chain rule**, the one line we spoke of; it made no use of what is to
# the left of what. So it should not matter in which order the pixels come. There are 24 orders.
#
# **Predict**: over all orders and all pictures, how far will the product be from the joint?

# %%
top_row = 0b1100
print("the top row, in reading order:")
for i, factor in enumerate(chain(p, [0, 1, 2, 3])[:, top_row].tolist(), start=1):
    print(f"  p(x{i} | before) = {factor:.4f}")
print(f"  product {float(chain(p, [0, 1, 2, 3])[:, top_row].prod()):.6f}, joint table {float(p[top_row]):.6f}\n")

orders = list(itertools.permutations(range(4)))
worst = max(float((chain(p, order).prod(0) - p).abs().max()) for order in orders)
confirm("C01.error", round(worst, 12))
assert len(orders) == 24

# %% [markdown]
# No distance at all, beyond the last bit of the arithmetic. The article writes the rule for two variables and uses it
# for a whole picture, rightly: it holds for as many as you like, in any order. (The small print: where the pixels
# before cannot occur, the quotient is $0/0$ and the conditional is undefined. It does no harm: those pictures have
# probability zero by an earlier factor.)
#
# This is also how to *draw*: toss a coin for the first pixel, then one for the second with the probability that fits
# what came first, and so on. No picture has to be there all at once.
#
# ### The bill
#
# A good code spends $-\log_2 p$ bits on an event of probability $p$ (Shannon, 1948): one bit for a fair coin, little
# for what was to be expected, much for a surprise. Logarithms turn the product into a sum, so each pixel gets its line
# on the bill:
#
# $$-\log_2 p(x) = \sum_{k=1}^{4} -\log_2 p(x_{k\text{-th}} \mid \text{those before}).$$
#
# Below, move through the 24 orders. The numbers in the pixels say when each is asked. (A page without a kernel shows
# the first order only; the lines above the picture give two more.)
#
# **Predict**: for one and the same picture, what will change from order to order, and what will not?


# %%
NAMED = {name: sum(bit << (3 - i) for i, bit in enumerate(pixels)) for name, pixels in STROKES.items()}
NAMED |= {"one dot": 0b0100, "blank": 0b0000}


def draw_bill(order, picture):
    """The bill of one picture in one of the 24 orders: when each pixel is asked, and what it adds in bits."""
    chosen, state = orders[order - 1], NAMED[picture]
    bits = -chain(p, chosen)[:, state].log2()
    ends = bits.cumsum(0)
    fig, (left, right) = figure(1, 2, width=6.6, height=3.0, fixed=True)
    left.imshow(pictures[state, 0], cmap="gray_r", vmin=-0.3, vmax=1.3)
    for when, pixel in enumerate(chosen, start=1):
        colour = "white" if pictures[state].flatten()[pixel] else INK
        left.text(pixel % 2, pixel // 2, when, ha="center", va="center", fontsize=18, color=colour)
    left.set(xticks=[], yticks=[], title=f"{picture}, order {order}")
    total = -float(p[state].log2())
    right.bar(range(1, 5), bits, bottom=ends - bits, color=[BLUE, AMBER, GREEN, VERMILION])
    right.axhline(total, color=INK, linestyle="--", linewidth=1.2)
    asked = zip(["1st", "2nd", "3rd", "4th"], bits.tolist(), strict=True)
    right.set_xticks(range(1, 5), [f"{when}\n+{cost:.2f}" for when, cost in asked])
    right.set(xlim=(0.4, 4.6), ylim=(0, 1.1 * total), ylabel="bits, pixel by pixel")
    right.set_title(f"{float(ends[-1]):.3f} bits in all")
    return fig


for number in (1, 6, 13):
    lines = -chain(p, orders[number - 1])[:, top_row].log2()
    asked = "".join(str(pixel + 1) for pixel in orders[number - 1])
    print(f"order {number:>2} ({asked}): {' + '.join(f'{bits:.2f}' for bits in lines)} = {float(lines.sum()):.3f} bits")

Explorer(
    draw_bill,
    alt=lambda order, picture: (
        f"Left, the picture '{picture}' with the place of each pixel in order {order}. Right, what each "
        f"pixel adds in bits; the sum is {-float(p[NAMED[picture]].log2()):.3f} in every order."
    ),
    order=IntRange(1, 24, start=1),
    picture=Choice(list(NAMED)),
)

# %% [markdown]
# The lines of the bill move about, the total stays. Averaged over pictures the total is the **entropy**
# $H(x) = -\sum_x p(x) \log_2 p(x)$, the shortest average code there is.
#
# Some words for later. Let $z$ be anything that goes with the picture, with a joint table $p(z, x)$. The **conditional
# entropy** $H(x \mid z) = -\sum_{z, x} p(z, x) \log_2 p(x \mid z)$ is the average bill of one who knows $z$, and
# $H(x_i \mid z)$ that of one pixel alone. The **mutual information** $I(x; z) = H(x) - H(x \mid z)$ is what knowing $z$
# saves, and $I(x_i; z)$ what it saves on one pixel. And $x_{<k}$ are the pixels asked before the $k$-th, so that on
# average the bill reads $H(x) = \sum_k H(x_k \mid x_{<k})$.
#
# ### When is the order not free?
#
# Exact conditionals look at *everything* that came before. A network with limited sight, or a memory that fades, does
# not. Give each pixel only the one asked just before it, $m(x) = p(x_a)\, p(x_b \mid x_a)\, p(x_c \mid x_b)\,
# p(x_d \mid x_c)$. Every factor is a true conditional of the world, only with less in it.
#
# **Predict**: will all 24 orders still cost the same?

# %%
shortest = float(code_length(p, p))
extra = [float(code_length(p, one_pixel_memory(p, order))) - shortest for order in orders]
confirm("C01.bits", shortest)
confirm("C01.memory.least", min(extra))
confirm("C01.memory.most", max(extra))

diagonal = [sum(a + b == 3 for a, b in itertools.pairwise(order)) for order in orders]
fig, ax = figure(width=7.0, height=3.2)
ranked = sorted(range(24), key=lambda number: extra[number])
for steps, colour, label in [(2, GREEN, "two steps across"), (1, AMBER, "one step across"), (0, BLUE, "none")]:
    places = [place for place, number in enumerate(ranked) if diagonal[number] == steps]
    ax.vlines(places, 0, [extra[ranked[place]] for place in places], color=colour, linewidth=4)
    ax.plot(places, [extra[ranked[place]] for place in places], "o", markersize=8, color=colour, label=label)
    ax.annotate(
        f"{extra[ranked[places[0]]]:.3f}", (places[0], extra[ranked[places[0]]]), (-8, 7), textcoords="offset points"
    )
ax.axhline(0, color=INK, linewidth=1.2, zorder=0)
ax.set_ylim(-0.03, 1.1)
ax.set_xticks(range(24), ["".join(str(i + 1) for i in orders[number]) for number in ranked], rotation=90)
ax.get_xticklabels()[ranked.index(0)].set(fontweight="bold", color=VERMILION)
ax.set_xlabel("order of the pixels: 1 2 above, 3 4 below, so 1234 is reading order")
ax.set_ylabel("bits beyond the entropy")
ax.set_title("With a memory of one pixel the order matters")
ax.legend(title="the diagonal", alignment="left", loc="upper left")
show(
    fig,
    alt="What each of the 24 orders costs beyond the entropy when every pixel sees only the one asked before it. The "
    "eight orders that step across the diagonal twice cost next to nothing, the eight that do so once, reading "
    "order among them, about half a bit, and the eight that never do nearly one bit.",
)

# %% [markdown]
# They do not. The cheap orders step across a diagonal twice, because in this world the pixel across the diagonal is the
# one that tells most: exactly one of the two is in the stroke. So C01 comes with a rider. **The order is free for as
# long as nothing is forgotten.** (One network can even be trained for all orders at once: Uria et al., 2014.) What a
# network must see to keep that freedom is the subject of chapter 02.
#
# ## The price of a wrong conditional
#
# Let the model be $m$ and the world $p$. Its code spends $L = -\sum_x p(x) \log_2 m(x)$ bits a picture, which exceeds
# the entropy by the Kullback-Leibler divergence, $L - H = \mathrm{KL}(p, m) = \sum_x p(x) \log_2 \frac{p(x)}{m(x)}$.
#
# **It is never negative.** The curve $\log u$ lies under its tangent at 1, $\log u \le u - 1$, so $-\mathrm{KL}(p, m) =
# \sum_x p(x) \log \frac{m(x)}{p(x)} \le \sum_x m(x) - 1 = 0$, and the two touch only where $m = p$. (That is in nats;
# bits are the same times a constant.) So no model beats the entropy. Nor does knowing more ever cost:
# $I(x; z) = \mathrm{KL}\big(p(z, x),\, p(z)\, p(x)\big) \ge 0$.
#
# Write $p$ and $m$ as chains and the logarithm of the quotient falls into a sum, one term for each conditional:
#
# $$\mathrm{KL}(p, m) = \sum_k \; \mathbb{E}_{x_{<k}}\, \mathrm{KL}\big(p(x_k \mid x_{<k}),\, m(x_k \mid x_{<k})\big).$$
#
# Mistakes at different pixels do not interfere. Each costs its own divergence, averaged ($\mathbb{E}_{x_{<k}}$) over
# what the world puts before it.
#
# Let us spoil the last conditional only: raise it to a power $t$ and normalise. At $t = 1$ it is right; at $t = 0$ it
# is a fair coin, all doubt; large $t$ is overconfidence. **Predict** which is dearer: no opinion, or one four times too
# strong?

# %%
reading = [0, 1, 2, 3]
powers = torch.arange(0, 5.01, 0.05).tolist()
price = [float(code_length(p, tempered_last(p, reading, t))) - shortest for t in powers]

truth, told = chain(p, reading)[-1], tempered_last(p, reading, 4.0) / marginal(p, reading[:-1])
one_conditional = float((p * (truth / told).log2()).sum())
print(
    f"t = 4: the whole bill grows by {price[80]:.6f} bits, the mean divergence at the last pixel is "
    f"{one_conditional:.6f}"
)
assert abs(price[80] - one_conditional) < 1e-9

confirm("01.price.doubt", price[0])
confirm("01.price.overconfidence", price[80])
fig, ax = figure(width=6.2, height=2.8)
ax.plot(powers, price, color=BLUE)
ax.plot([0, 1, 4], [price[0], price[20], price[80]], "o", color=VERMILION)
for t, cost, words, where in [
    (0, price[0], "fair coin", (10, 0)),
    (1, 0, "truth", (0, 8)),
    (4, price[80], "too sure", (-62, 4)),
]:
    ax.annotate(words, (t, cost), where, textcoords="offset points")
ax.set_xlabel("power t of the last conditional")
ax.set_ylabel("price (bits per picture)")
ax.set_title("Doubt has a ceiling, overconfidence has none")
show(
    fig,
    alt="The price in bits against the power t. It falls from the fair coin at t = 0 to zero at the truth, t = 1, and "
    "then rises, ever closer to a straight line, beyond the price of the fair coin.",
)

# %% [markdown]
# Doubt costs at most one bit for one pixel: a fair coin never does worse. Certainty that is wrong now and then costs as
# much as you care to stake, and at $t = \infty$ everything.
#
# ## Pixels that know nothing of each other (claim C02)
#
# The opposite of a chain: each pixel is a coin of its own. The best such model has $m(x) = \prod_i p(x_i)$. Why? If
# coin $i$ says black with probability $m_i$, the bill is a sum of one cross-entropy per pixel,
# $-\mathbb{E}[x_i] \log m_i - (1 - \mathbb{E}[x_i]) \log (1 - m_i)$, and the derivative vanishes where
# $m_i = \mathbb{E}[x_i]$. **The best coin for a pixel is its expected value**, as the article says. And the price is
#
# $$\mathrm{TC}(x) = \sum_i H(x_i) - H(x),$$
#
# the **total correlation** (Watanabe, 1960): all that the pixels have in common.
#
# Now add a **code** $z$: something settled first, that every pixel is told. Here it will be a hint at the stroke, then
# a digit's label; in chapter 03 it is a few numbers that a network finds. A model $m(x \mid z)$ of the picture given
# the code is a **decoder**. It is one half of a VAE, a variational autoencoder; the other half reads a picture and
# proposes a code. In the plain VAE the decoder's pixels are *independent given z*. The article compares them to
# factories that build parts of one machine and know the central plan, but not each other. Such a decoder has a set of
# coins for each value of $z$, and the same argument for each value gives $m_i(z) = \mathbb{E}[x_i \mid z]$ and the
# price
#
# $$\mathrm{TC}(x \mid z) = \sum_i H(x_i \mid z) - H(x \mid z),$$
#
# the **conditional total correlation**. The code itself is charged what it tells, $I(x; z)$, so with everything on the
# bill: $I(x; z) + H(x \mid z) + \mathrm{TC}(x \mid z) = H(x) + \mathrm{TC}(x \mid z)$.
#
# In our world, let $z$ tell nothing; or whether the stroke lies (a row) or stands (a column); or which of the four it
# is. **Predict** the price of independence in the three cases. Does half a hint save half of it?

# %%
bills = {name: account(table) for name, table in codes().items()}
print("z tells          I(x;z) + H(x|z) + TC(x|z) = bits in all")
for name, (information, known, paid) in bills.items():
    print(f"{name:<15} {information:>7.4f} {known:>8.4f} {paid:>9.4f} {information + known + paid:>14.4f}")

differences = [
    abs(paid - float(conditional_total_correlation(codes()[name])) / math.log(2))
    for name, (_, _, paid) in bills.items()
]
confirm("C02.strokes.difference", round(max(differences), 12))
for name, (_, _, paid) in bills.items():
    confirm(f"C02.strokes.{name.replace(' ', '_')}", paid)

# %%
fig, ax = figure(width=7.0, height=2.7)
start = torch.zeros(3)
rows = torch.tensor(list(bills.values()))
parts = [(FAINT, "I(x;z): told"), (BLUE, "H(x|z): left open"), (VERMILION, "TC(x|z): price of independence")]
for part, (colour, label) in enumerate(parts):
    ax.barh(range(3), rows[:, part], left=start, color=colour, label=label)
    start = start + rows[:, part]
ax.axvline(shortest, color=INK, linestyle="--", linewidth=1.2)
ax.set_yticks(range(3), list(bills))
ax.invert_yaxis()
ax.set(xlabel="bits per picture (dashed: entropy of the world)", ylabel="z tells", xlim=(0, 4.6))
ax.set_title("Half a hint makes independence dearer")
ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=3, fontsize=9.5)
show(
    fig,
    alt="Three stacked bars, one for each z: what the code tells, what it leaves open, and the price of independence. "
    "Up to the dashed line at the entropy the first two fill each bar. The price beyond it is largest where z tells "
    "whether the stroke lies or stands, smaller where z tells nothing, and zero where z tells which stroke it is.",
)

# %% [markdown]
# The price is the conditional total correlation, to the last digit. It is nothing where $z$ settles all that the pixels
# share: given the stroke, slips are independent, and independent pixels lose nothing. The factories' parts fit, since
# the plan says all that matters. But half a hint costs *more* than none. Subtract the two formulas:
#
# $$\mathrm{TC}(x \mid z) = \mathrm{TC}(x) + I(x; z) - \sum_i I(x_i; z).$$
#
# The price rises when the pixels tell more about $z$ together than one by one. Whether a stroke lies shows in pairs of
# pixels and hardly in any single one, so a coin has little use for the hint. Of two codes that tell equally much, the
# cheaper one for such a decoder is the one that single pixels can use.
#
# What do independent pixels do with half a hint? Tell them "it lies", and look. **Predict** the mean picture, and the
# drawings.

# %%
half = codes()["lies or stands"]
apart = entropy(factorised(p)) - sum(row.sum() * entropy(factorised(row / row.sum())) for row in half)
together, _, dearer = bills["lies or stands"]
print(f"the pixels tell whether it lies: together {together:.4f} bits, one by one {float(apart) / math.log(2):.4f}")
assert abs(dearer - bills["nothing"][2] - together + float(apart) / math.log(2)) < 1e-9

lies = half[0] / half[0].sum()
coins = factorised(lies)
from_world = torch.multinomial(lies, 12, True, generator=torch.Generator().manual_seed(0))
from_coins = torch.multinomial(coins, 12, True, generator=torch.Generator().manual_seed(0))
mean = (coins[:, None, None, None] * pictures).sum(0, keepdim=True)
rows = torch.cat([pictures[from_world], mean.repeat(12, 1, 1, 1), pictures[from_coins]])
fig, ax = figure(width=7.0, height=1.8)
image_grid(
    rows.repeat_interleave(5, dim=2).repeat_interleave(5, dim=3),
    columns=12,
    title="Told 'it lies': the mean is grey, the drawings are noise",
    row_labels=["the world", "mean", "coins draw"],
    ax=ax,
)
show(
    fig,
    alt="Three rows of twelve 2 by 2 pictures. The world draws top rows and bottom rows with few slips. The mean "
    "picture is grey, darker above than below. What the independent pixels draw is a row now and then, but mostly"
    " a corner, a diagonal or a dot.",
)
agree = (pictures[:, 0, 0, 0] == pictures[:, 0, 0, 1]).double()
print(f"upper pixels agree: in the world {float(lies @ agree):.4f}, as independent coins {float(coins @ agree):.4f}")

# %% [markdown]
# Here the claim needs a finer word. Each pixel's best *parameter* is its expected value, so the **mean picture** is a
# blur of all that is possible. It is that mean which programs usually show of a VAE. But the mean is no draw from the
# model. Draw from it, and what comes is **noise**: every pixel tosses a coin, and none knows which stroke the others go
# for.
#
# Would a chain that is told the same $z$ have a sharper mean? No. If its $p(x \mid z)$ is right, then so is the average
# of each pixel, and its mean is $\mathbb{E}[x_i \mid z]$ too, **just as grey**. How undecided a pixel is,
# $H(x_i \mid z)$, depends on what $z$ leaves open about it, not on whom it talks to. The last row of the table of bills
# says the same: told which stroke it is, coins pay nothing for their independence, and still no pixel of the mean is
# quite black or white, as each may have slipped. What a chain does change is what the grey costs, and how it is drawn.
# Read the definition the other way round:
#
# $$\sum_i H(x_i \mid z) = H(x \mid z) + \mathrm{TC}(x \mid z).$$
#
# Coins pay the left side. A chain with the same $z$ pays $H(x \mid z)$ and no more, and what it draws fits together.
# So independence is to blame for the price and for the noise, but not for the grey: only a $z$ that tells the pixels
# more can lessen that. (Why then do pictures look sharper with a chain for a decoder, as the article reports? Of coins
# one usually shows the mean, of a chain a drawing.)
#
# ## Do digits pay? (claim C02, at 64 pixels)
#
# With 64 pixels the world cannot be listed, but the price can still be estimated. Let $z$ be the digit's label, and
# build two models of $p(x \mid z)$:
#
# - **coins**: one coin per pixel and label, set to how often the pixel was black in the training digits, after one
#   black and one white have been added to what was counted. Why add them? A pixel that was always white, or always
#   black, would get a coin that is certain, and wrong certainty, as we saw, costs everything. The cell below counts
#   such coins.
# - a small **PixelCNN** (van den Oord et al., 2016), a chain in reading order that a network computes, and that is told
#   the label as well. Chapter 02 builds it.
#
# The average of $-\log p$ over test digits is called the **NLL**, for negative log-likelihood: our bill. From here on
# it is in nats, with the natural logarithm, as networks are trained and as later chapters count; one bit is $\ln 2$
# nats. On average, coins pay $H(x \mid z) + \mathrm{TC}(x \mid z)$ per digit, the chain $H(x \mid z)$, each plus its
# own error. So the difference on test digits estimates $\mathrm{TC}(x \mid z)$.
#
# **Predict** the difference. For scale: the label itself can be worth no more than $\ln 10$.

# %% tags=["nbval-ignore-output"]
train, _, test = digits(binary=True)
certain, impossible = raw_coins(train, test)
print(f"frequencies as counted: {certain} of 640 coins certain, {impossible} of {len(test)} test digits impossible\n")

digit_coins = labelled_coins(train)
pixelcnn = trained_pixelcnn(0, train)
by_coins, by_chain = (per_pixel(model, test).sum(dim=(1, 2)) for model in (digit_coins, pixelcnn))  # nats, 250 digits
paid_by_coins, paid_by_chain = float(by_coins.mean()), float(by_chain.mean())
confirm("C02.digits.coins", paid_by_coins)
confirm("C02.digits.pixelcnn", paid_by_chain)
difference = Mean.of(by_coins - by_chain)
confirm("C02.digits.price", difference.value)
print(f"the difference, over {len(test)} test digits: {difference}; that is {difference.value / math.log(2):.1f} bits")

# %% [markdown]
# One digit that was thought impossible would have made the whole average infinite.
#
# How far can we trust the estimate? The ± beside it is chance in the choice of test digits; the smaller one in the
# ledger is only what changes from one training to the next. And neither model is the best of its kind. A coin set from
# $N$ digits is off by about $\sqrt{\mu (1 - \mu) / N}$, where $\mu$ is the true mean, and pays about $1 / (2N)$ nats
# for that, since the divergence is about half the squared error over $\mu (1 - \mu)$. For the coins that never saw
# their pixel change this is no argument: such a coin gives the other colour $1 / (N + 2)$, and if that never comes,
# pays about $1 / N$. Either way the difference comes out a little too large. The network pays too much as well, which
# makes the difference too *small*, by how much we do not know.
#
# The cell below also has the bill of a chain which nobody tells the label. It has to average over what the label
# may be, $p(x) = \sum_z p(z)\, p(x \mid z)$ with $p(z) = 1/10$, and pays $-\log p(x)$.

# %% tags=["nbval-ignore-output"]
N = len(train) / 10  # digits behind each coin; 64 coins a picture
least, most = 64 / (2 * N), 64 / (2 * N) + certain / 10 / (2 * N)
print(f"coins pay some {least:.2f} to {most:.2f} nats too much; without that the estimate is")
print(f"{difference.value - most:.1f} to {difference.value - least:.1f}, and too small by what the chain pays too much")
unknown = float(label_unknown(pixelcnn, test).mean())
confirm("01.digits.label_unknown", unknown)
print(f"telling the chain the label saves {unknown - paid_by_chain:.2f} nats, of ln 10 = {math.log(10):.2f}")

# %% [markdown]
# By this estimate, independence costs more than the label can be worth. Now look at what each model makes of the ten
# labels: its mean picture and two drawings. The coins' mean is known; the chain's is the average of 400 drawings.
#
# **Predict** which rows you will read most easily, which look most like handwriting, and which least. Will the chain's
# mean be sharper than the coins'?

# %% tags=["nbval-ignore-output"]
first = torch.stack([(test.labels == label).nonzero()[0, 0] for label in range(10)])
ten = test[first]
average = mean_drawing(pixelcnn, 400, 0)
rows = [ten.images, mean_pictures(digit_coins, ten), average]
rows += [drawn(model, ten, seed) for model, seed in [(digit_coins, 0), (digit_coins, 1), (pixelcnn, 2), (pixelcnn, 3)]]
fig, ax = figure(width=6.6, height=4.25)
image_grid(
    torch.cat(rows),
    columns=10,
    row_labels=["test digit", "coins' mean", "chain's mean", *["coins draw"] * 2, *["chain draws"] * 2],
    title="Both means are blurred, only the coins draw noise",
    ax=ax,
)
show(
    fig,
    alt="Seven rows of ten 8 by 8 pictures, for the labels 0 to 9: test digits; the mean pictures of the coins and of "
    "the PixelCNN, grey, blurred and nearly the same; two rows that the coins draw, with ragged outlines, holes and "
    "stray dots; two rows that the PixelCNN draws, with smoother strokes and few stray dots.",
)
for name, made in [
    ("mean", mean_pictures(digit_coins, test)),
    ("chain_mean", average[test.labels]),
    ("coins", drawn(digit_coins, test, 0)),
    ("pixelcnn", drawn(pixelcnn, test, 0)),
]:
    confirm(f"C02.sharpness.{name}", sharpness(made, test.images))
confirm("C02.stray.digits", stray_dots(test.images))
for name, model in [("coins", digit_coins), ("pixelcnn", pixelcnn)]:
    confirm(f"C02.stray.{name}", stray_dots(drawn(model, test, 0)))

# %% [markdown]
# The two means are nearly the same blur, and perhaps the easiest to read: ten digits you know, each the average of many
# hands. But nobody writes grey. Of what the models draw, the chain's rows look most like handwriting, though not
# every drawing is a digit, and the coins' rows least.
#
# Now the numbers. Sharpness is contrast between neighbours, and 1 is that of the digits: both means have far too
# little, the coins' noise too much, the chain's drawings about right. It cannot tell noise from detail, so count stray
# dots as well, black pixels with no black one above, below, left or right: the coins leave many, the chain hardly more
# than the writers of the digits.
#
# ## Why not look at everything? (claim C03)
#
# If looking back helps, looking at *all* other pixels should help more. The article mentions this option and sets it
# aside as computationally infeasible. Count. For $n$ binary pixels, a table of $p(x_i \mid \text{all others})$ has one
# number for each of the $2^{n-1}$ values of the others, and there are $n$ such tables: $n\, 2^{n-1}$ numbers.
#
# **Predict**: how many numbers does a *chain* of full tables need, pixel $i$ given the $i - 1$ before it, which have
# $2^{i-1}$ values between them?

# %%
pixels = list(range(1, 65))
fig, ax = figure(width=6.6, height=3.0)
ax.plot(pixels, [n * 2 ** (n - 1) for n in pixels], color=VERMILION, label="tables, each pixel given all others")
ax.plot(pixels, [2**n - 1 for n in pixels], color=BLUE, linestyle="--", label="tables, a chain")
weights = sum(weight.numel() for weight in pixelcnn.parameters())
ax.plot(64, 64 * 63 + 64, "s", color=VERMILION, label="linear network, each pixel given all others")
ax.plot(64, weights, "o", color=BLUE, label="network, a chain (this chapter's PixelCNN)")
ax.set(yscale="log", xlabel="pixels", ylabel="numbers to be set", xticks=range(0, 65, 8))
ax.set_title("Tables explode either way, networks do not")
ax.legend(fontsize=9)
show(
    fig,
    alt="Numbers to be set against the number of pixels, on a logarithmic axis. The curves for tables given all "
    "others and for a chain of tables rise together to more than ten to the nineteen at 64 pixels. Two networks "
    "lie near ten to the four.",
)
confirm("C03.numbers.full", 4 * 2**3)
confirm("C03.numbers.chain", 1 + 2 + 4 + 8)
confirm("C03.numbers.network", weights / 1000)
print(f"64 pixels: {64 * 2**63:.2e} numbers given all others, {2**64 - 1:.2e} in a chain")

# %% [markdown]
# $1 + 2 + 4 + \dots + 2^{n-1} = 2^n - 1$, as many as the joint table itself has: the chain rule does not compress.
# Tables are out of reach for both, and the chain wins by a factor of about $n/2$ only. What makes either affordable is
# a network that shares its weights among cases, and one network can answer "this pixel, given all the others" for every
# pixel, in one pass. The counting alone does not rule it out.
#
# The count does hold a warning, though. A joint distribution has $2^n - 1$ degrees of freedom. Whoever sets
# $n\, 2^{n-1}$ numbers freely has set too many, and as a rule they contradict each other: no joint has them.
#
# And suppose that they do not. Let them be the *true* conditionals of a world, and multiply them as if they were a
# chain: $\tilde p(x) = \prod_i p(x_i \mid \text{all others})$, the **pseudo-likelihood** (Besag, 1975). Take two pixels
# that are always equal, both black or both white with probability one half. **Predict** $\tilde p$ of both pictures,
# and the sum.

# %%
print("world                     sum over all pictures    e^D")
for name, table in named_worlds().items():
    total = float(full_conditionals(table).prod(0).sum())
    bound = float(dual_total_correlation(table).exp())
    print(f"{name:<24} {total:>22.4f} {bound:>6.4f}")
    assert abs(total - result(f"C03.total.{name.replace(' ', '_')}").value) < 1e-4

# %% [markdown]
# Each of the two equal pixels is certain, given the other: $1 \cdot 1$ for both pictures, in all 2. If the number of
# black dots is always even, every pixel is certain given the rest, and eight pictures claim probability one each. This
# is no accident of two odd worlds. What is the last column? Call the sum $Z$. Then $\tilde p / Z$ is a distribution,
# above zero wherever $p$ is. A divergence cannot be negative, and written out in nats that reads
#
# $$0 \le \mathrm{KL}(p, \tilde p / Z) = \log Z - \Big( H(x) - \sum_i H(x_i \mid \text{all others}) \Big)
# \quad\Longrightarrow\quad Z \ge e^{D}.$$
#
# Equality holds where $\tilde p / Z$ is $p$, as in those two. The bracket, $D$, is the **dual total correlation** (Han,
# 1978), in nats because of the $e$. Take any order of the pixels, and write $H(x)$ as the bill of its chain:
#
# $$D = \sum_i \big( H(x_i \mid x_{<i}) - H(x_i \mid \text{all others}) \big).$$
#
# No term is negative: knowing *all* others leaves a pixel no less certain than knowing some. So $D \ge 0$. And if
# $D = 0$, every term is zero, in every order. Let pixel $i$ come first, and its term is $H(x_i) - H(x_i \mid \text{all
# others})$: the others tell nothing of it. That goes for each pixel, so they are independent. The product of true
# conditionals on everything therefore **sums to more than 1 in every world whose pixels have anything to do with each
# other**. (Where the others cannot occur, a conditional is undefined and counts as 0.) In 300 random worlds:

# %%
worlds = random_worlds()
bounds = torch.stack([dual_total_correlation(table).exp() for table in worlds])
sums = torch.stack([full_conditionals(table).prod(0).sum() for table in worlds])
confirm("C03.bound", float((sums / bounds).min()) - 1)
assert bool((sums >= bounds).all()) and bool((bounds > 1).all())

fig, ax = figure(width=5.6, height=3.6)
for part, (count, colour, marker) in enumerate([(2, BLUE, "o"), (3, VERMILION, "s"), (4, GREEN, "^")]):
    chosen = slice(100 * part, 100 * part + 100)
    ax.scatter(bounds[chosen], sums[chosen], s=14, color=colour, marker=marker, label=f"{count} pixels")
ax.plot([1, 2.6], [1, 2.6], color=INK, linestyle="--", linewidth=1.2, label="equality")
ax.set_xlabel(r"$e^{D}$, $D$ the dual total correlation in nats")
ax.set_ylabel("sum of the product over all pictures")
ax.set_title("Never under the bound, and never 1")
ax.legend()
show(
    fig,
    alt="A scatter of 300 random worlds of two, three and four pixels. All points lie on or above the diagonal, where"
    " the sum equals e to the dual total correlation, and above 1; as a rule, more pixels have larger sums.",
)

# %% [markdown]
# Last, the trap at full size. For each of the 64 pixels of a digit, fit a logistic regression on the 63 others: no
# hidden layer, no label. Add up $-\log p(x_i \mid \text{all others})$ and call it an NLL. Beside it, what the PixelCNN
# pays when nobody tells it the label. **Predict** which is lower.

# %% tags=["nbval-ignore-output"]
from_the_rest = predict_from_the_rest(train.images, PENALTY)
with torch.no_grad():
    pseudo = float(pseudo_nll(from_the_rest, test.images).mean())
confirm("C03.digits.pseudo", pseudo)
confirm("01.digits.label_unknown", unknown)
assert pseudo < unknown

# %% [markdown]
# A linear predictor seems to beat a convolutional network. It does not: what its number cannot fall below is
# $\sum_i H(x_i \mid \text{all others})$, and that is *less* than the entropy, which is the floor for every model. Nor
# could such a code be read: to decode the first pixel you would need all the others, and for each of them the first.
#
# None of this makes such conditionals useless. If no picture is impossible, the true ones determine the joint: for two
# pictures that differ in one pixel they say how much likelier one is than the other. In drawing the article has a
# point: each pixel waits for all the others, so none can go first. The way out is to start anywhere and ask them over
# and over (Gibbs sampling), which takes many passes and gives no likelihood. And learning them is a way to learn a
# representation, as masked language models do (Devlin et al., 2019). They are no model *by multiplication*. The
# article's advice stands: pretend that a picture is a sequence. Only the reason changes: a chain is what makes the
# product a probability.

# %%
ClaimsTable("C01", "C02", "C03")

# %% [markdown]
# ## Questions
#
# 1. Two fair coins $x_1$ and $x_2$ are independent, and $z$ is 1 if they differ. What do independent pixels cost
#    without $z$, and given $z$?
# <details><summary>Answer</summary>Without z nothing: they are independent. Given z one bit: each coin alone is still
# fair, two bits for the two, but given z one settles the other, so H(x|z) is one bit. A code can create a dependence,
# not only remove one; that is why half a hint was dearer.</details>
#
# 2. A model says p(x2 | x1): "equal to x1, with probability 0.9", and p(x1 | x2): "different from x2, with probability
#    0.9". Which joint distribution has both?
# <details><summary>Answer</summary>None. The odds ratio p(00) p(11) / (p(01) p(10)) can be read off either conditional
# alone: the first says 81, the second 1/81. Four freely chosen numbers, and a joint of two pixels has three.</details>
#
# 3. A VAE's reconstructions are blurred. Would an autoregressive decoder with the same z make them sharp, and right?
# <details><summary>Answer</summary>Its drawings would be sharp: their pixels agree with each other. Right, not
# necessarily: what z leaves open, H(x|z), stays open, and the decoder settles it by its own draws. You get one sharp
# picture among those that fit z, and another next time. The mean of them all is as blurred as before.</details>
#
# 4. Some $z$ leaves every one of $n$ pixels a fair coin: the mean picture is grey all over. What is TC(x|z)?
# <details><summary>Answer</summary>That cannot be said. It is 0 if the coins are independent, and n - 1 bits if given z
# all pixels are equal: n bits one by one, one bit together. The mean is the same in both cases, the drawings are
# not.</details>
#
# ## Where next
#
# The exercise `exercises/01_chain_rule` lets you compute code lengths, conditionals, chains and total correlations
# yourself, and answers at once. Then [chapter 02](02_pixelrnn_pixelcnn.ipynb): how one network computes all
# conditionals of a chain in one pass, and never looks ahead.
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018. The article this course follows.
# - C. E. Shannon (1948), A Mathematical Theory of Communication, Bell System Technical Journal 27. Entropy, code
#   length.
# - S. Watanabe (1960), Information Theoretical Analysis of Multivariate Correlation, IBM Journal of Research and
#   Development 4(1). Total correlation.
# - J. Besag (1975), Statistical Analysis of Non-Lattice Data, The Statistician 24(3). Pseudo-likelihood.
# - T. S. Han (1978), Nonnegative Entropy Measures of Multivariate Symmetric Correlations, Information and Control
#   36(2). Dual total correlation.
# - B. Uria, I. Murray and H. Larochelle (2014), A Deep and Tractable Density Estimator, arXiv 1310.1757. One network
#   for all orders.
# - J. Devlin, M.-W. Chang, K. Lee and K. Toutanova (2019), BERT: Pre-training of Deep Bidirectional Transformers for
#   Language Understanding, arXiv 1810.04805. Conditionals on everything else, for words.
# - A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv 1601.06759.

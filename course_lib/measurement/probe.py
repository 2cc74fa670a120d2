"""How easily a class is read off a code."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data import Split
from course_lib.models.vae import VAE


@dataclass(frozen=True)
class Probe:
    """The share of test images whose class a linear classifier reads off the code; `chance` is the largest class's."""

    accuracy: float
    chance: float

    def __str__(self) -> str:
        return f"{self.accuracy:.3f} (the largest class alone: {self.chance:.3f})"


@torch.no_grad()
def probe_accuracy(
    vae: VAE, train: Split, test: Split, generator: torch.Generator | None = None, batch_size: int = 1000
) -> Probe:
    """Logistic regression on the codes, standardised on `train`, fitted there, tested on `test`.

    Without `generator` a code is the mean of q(z|x), known to every digit, and no chance enters: the usual probe. With
    it a code is drawn from q(z|x), what the decoder gets: a mean can tell classes apart that are lost in the noise.
    Raises ValueError when an image of `test` is also in `train`.
    Source: Alain and Bengio (2016), arXiv 1610.01644.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    _refuse_shared(train.images, test.images)
    inputs = [_codes(vae, split.images, generator, batch_size) for split in (train, test)]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(inputs[0], train.labels.cpu().numpy())
    accuracy = classifier.score(inputs[1], test.labels.cpu().numpy())
    return Probe(float(accuracy), float(test.labels.bincount().max()) / len(test))


def _codes(vae: VAE, x: Tensor, generator: torch.Generator | None, batch_size: int):
    found = [vae.encode(part) for part in x.split(batch_size)]
    codes = [q.mu if generator is None else q.sample(generator) for q in found]
    return torch.cat(codes).double().cpu().numpy()


def _refuse_shared(train: Float[Tensor, "n ..."], test: Float[Tensor, "m ..."]) -> None:
    known = {image.tobytes() for image in train.cpu().numpy()}
    shared = sum(image.tobytes() in known for image in test.cpu().numpy())
    if shared:
        raise ValueError(
            f"{shared} of {len(test)} test images are also training images: a probe is tested on images it never saw; "
            "pass two different splits"
        )

"""A posterior for a decoder that was trained with another aim: q learnt again, the decoder left as it is."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import trange

from course_lib.models.vae import VAE
from course_lib.objectives.infovae import InfoVAE


@torch.enable_grad()
def refit(
    vae: VAE,
    x_train: Float[Tensor, "n colours height width"],
    generator: torch.Generator,
    encoder: nn.Module | None = None,
    objective=InfoVAE(),
    steps: int = 2000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    progress: bool = False,
) -> VAE:
    """A VAE with the same decoder and prior, shared, and an encoder that maximises the ELBO on TRAINING images.

    The encoder of an InfoVAE is not trained to be the posterior, so that the ELBO and the IWAE bound through it are
    loose. Refitted on the images it is then measured on, it would flatter: never pass test images. It starts as a
    copy of `encoder`, or of the present one. `objective` is the ELBO unless another is given; grey images need one
    that binarises. Adam with a cosine decay to zero. `vae`, and the gradients it holds, are left untouched.
    """
    new = VAE(copy.deepcopy(encoder or vae.encoder), vae.decoder, vae.code_size, vae.prior)
    weights = list(new.encoder.parameters())
    optimiser = torch.optim.Adam(weights, lr=learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    new.encoder.train()
    for _ in trange(steps, desc="refitting q", disable=not progress):
        optimiser.zero_grad()
        # Gradients for the encoder alone: the shared decoder gathers none.
        objective(new, _batch(x_train, batch_size, generator), generator)["loss"].backward(inputs=weights)
        optimiser.step()
        decay.step()
    new.encoder.eval()
    return new


def _batch(x: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Rows drawn with replacement."""
    return x[torch.randint(len(x), (size,), generator=generator, device=generator.device).to(x.device)]

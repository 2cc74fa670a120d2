"""The fit loop: Adam, a warm-up and a cosine decay, checkpoints that resume exactly, and nothing lost on Ctrl-C."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.data.noise import Shard
from course_lib.models.checks import check_sizes
from course_lib.objectives.objective import Objective, Terms
from course_lib.training import checkpoint as checkpoints
from course_lib.training.checkpoint import CheckpointError
from course_lib.training.placement import Placement, compiled
from course_lib.training.stopping import stop_signal

Loss = Objective | Callable[[nn.Module, Tensor, torch.Generator], Terms]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn. `learning_rate` is the peak, reached after `warm_up` steps.

    `batch_size` counts the images of all processes together; `bf16` computes in bfloat16 where that is safe.
    Raises ValueError for a number that no run can be made of.
    """

    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    warm_up: int = 100
    seed: int = 0
    clip: float = 10.0
    bf16: bool = False

    def __post_init__(self):
        check_sizes(1, batch_size=self.batch_size)
        check_sizes(0, steps=self.steps, warm_up=self.warm_up)
        if not (self.learning_rate > 0 and self.clip > 0):
            raise ValueError(f"learning_rate and clip must be positive, got {self.learning_rate} and {self.clip}")

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine from the peak down to 1% of it."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


@dataclass
class History:
    """The named terms, every `every` steps, in nats per image; `finished` is False after an interruption."""

    steps: list[int] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    finished: bool = False

    def add(self, step: int, terms: dict[str, float]) -> None:
        """Note the terms after `step` steps."""
        self.steps.append(step)
        for name, value in terms.items():
            self.terms.setdefault(name, []).append(value)


class NotFinite(ArithmeticError):
    """A term became NaN or infinite; the message names the step and the term. The weights are those before it."""


class Fit:
    """One training run that can be stopped and taken up again with the same result as if it had never stopped.

    Batch t is a function of (seed, t) alone, and so is its noise; a checkpoint therefore needs only the step, the
    weights, the optimiser, and the state of an objective that has one. Of several processes each takes its rows of the
    batch and of the noise, and the gradients are averaged: together they do what one process would.

    `checkpoint` is a file; the plan, an objective of the library and `about` identify the run. The model is moved to
    the placement's device.
    Raises CheckpointError for a checkpoint of another run, ValueError where a batch cannot be made or shared.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Loss,
        images: Float[Tensor, "n colours height width"],
        plan: Plan,
        checkpoint: Path | None = None,
        about: dict | None = None,
        placement: Placement = Placement(),
    ):
        self.model, self.objective, self.plan, self.placement = model, objective, plan, placement
        self.checkpoint = Path(checkpoint) if checkpoint else None
        told = {"objective": repr(objective)} if isinstance(objective, Objective) else {}
        self.about = json.loads(json.dumps({"plan": asdict(plan), **told, **(about or {})}))
        self.optimiser = torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
        self.step, self.seconds, self.history = 0, 0.0, History()
        self.fabric = placement.start(plan.bf16)
        self._check_batch(len(images))
        self.images = images.to(self.fabric.device)
        self._forward = self.fabric.setup_module(_Forward(model, self._terms))
        if self.checkpoint and self.checkpoint.exists():
            self._load()

    def _check_batch(self, count: int) -> None:
        size, processes = self.plan.batch_size, self.fabric.world_size
        if size > count:
            raise ValueError(f"{count} images do not fill one batch of {size}")
        if size % processes:
            raise ValueError(f"{processes} processes cannot share a batch of {size} evenly: change one of the two")

    def run(self, every: int = 100, save_every: int = 500, progress: bool = True) -> History:
        """Train to the end of the plan, or until Ctrl-C, and return the history.

        Ctrl-C lets the step in hand end, and keeps what was learnt. With a checkpoint the run can be taken up again;
        without one the interrupt is passed on, so that nothing after it works on a half-trained model unawares.
        Raises NotFinite at a term or a gradient that is no number, ValueError for an `every` or `save_every` under 1.
        """
        check_sizes(1, every=every, save_every=save_every)
        self.model.train()
        try:
            with compiled(self.model) if self.placement.compile else contextlib.nullcontext():
                self._steps(every, save_every, progress and self._first)
        finally:
            self.model.eval()
        self._save()
        self.history.finished = self.step == self.plan.steps
        if not self.history.finished:
            if self._first:
                print(f"stopped at step {self.step} of {self.plan.steps}; what was learnt is kept")
            if not self.checkpoint:
                raise KeyboardInterrupt
        return self.history

    @property
    def _first(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.fabric.global_rank == 0

    def _steps(self, every: int, save_every: int, progress: bool) -> None:
        """Steps to the end of the plan, or to the one in which a process was interrupted."""
        started, stop = time.perf_counter() - self.seconds, False
        bar = tqdm(total=self.plan.steps, initial=self.step, disable=not progress, unit="step")
        with bar, stop_signal() as interrupted:
            while self.step < self.plan.steps and not stop:
                terms, stop = self._one_step(interrupted)
                self.step, self.seconds = self.step + 1, time.perf_counter() - started
                bar.update()
                if self.step % every == 0 or self.step == self.plan.steps:
                    self.history.add(self.step, terms)
                    bar.set_postfix({name: f"{value:.2f}" for name, value in terms.items()})
                if self.step % save_every == 0:
                    self._save()

    def _one_step(self, interrupted: threading.Event) -> tuple[dict[str, float], bool]:
        """One step, whole or not at all: whatever can be foreseen to fail does so before the weights move."""
        try:
            terms, stop = self._gradients(interrupted)
        except Exception:
            self._save()
            raise
        self.optimiser.step()
        if hasattr(self.objective, "after_step"):
            self.objective.after_step()
        return terms, stop

    def _gradients(self, interrupted: threading.Event) -> tuple[dict[str, float], bool]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        terms = self._forward(self.step)
        found, stop = self._agreed(terms, interrupted.is_set())
        self._refuse_nan(found)
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(terms["loss"])
        length = nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        self._refuse_nan({"gradient": float(length)})
        return found, stop

    def _terms(self, step: int) -> Terms:
        x, generator = self._batch(step)
        objective = self.objective.at(step) if hasattr(self.objective, "at") else self.objective
        return objective(self.model, x, generator)

    def _batch(self, step: int) -> tuple[Tensor, Shard]:
        """This process's rows of batch `step`, and the source of their noise."""
        size, rank, world = self.plan.batch_size, self.fabric.global_rank, self.fabric.world_size
        epoch, place = divmod(step, len(self.images) // size)
        if getattr(self, "_epoch", None) != epoch:
            shuffler = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + epoch)
            self._order, self._epoch = torch.randperm(len(self.images), generator=shuffler), epoch
        joint = self._order[place * size : (place + 1) * size]
        return self.images[joint.chunk(world)[rank]], Shard((self.plan.seed + 1) * 10_000_019 + step, rank, world)

    def _agreed(self, terms: Terms, interrupted: bool) -> tuple[dict[str, float], bool]:
        """The terms averaged over all processes, and whether any was interrupted: the same answer in each."""
        own = torch.stack([value.detach().double() for value in terms.values()])
        *values, stop = self.fabric.all_reduce(torch.cat([own, own.new_tensor([interrupted])])).tolist()
        return dict(zip(terms, values, strict=True)), stop > 0

    def _refuse_nan(self, terms: dict[str, float]) -> None:
        for name, value in terms.items():
            if not math.isfinite(value):
                raise NotFinite(f"step {self.step}: the term {name!r} is {value}; try a lower learning rate")

    def _save(self) -> None:
        if not self.checkpoint or not self._first:
            return
        state = {"step": self.step, "seconds": self.seconds, "about": self.about}
        state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"steps": self.history.steps, "terms": self.history.terms}
        if hasattr(self.objective, "state_dict"):
            state["objective"] = self.objective.state_dict()
        checkpoints.write(self.checkpoint, state)

    def _load(self) -> None:
        state = checkpoints.read(self.checkpoint, self.about)
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            remedy = f"delete {self.checkpoint} to start anew"
            raise CheckpointError(f"the checkpoint is of another model ({error}): {remedy}") from error
        self.optimiser.load_state_dict(state["optimiser"])
        if "objective" in state:
            self.objective.load_state_dict(state["objective"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history = History(state["steps"], state["terms"])


class _Forward(nn.Module):
    """What a step computes, as the forward of a module: that is where DistributedDataParallel averages gradients."""

    def __init__(self, model: nn.Module, terms: Callable[[int], Terms]):
        super().__init__()
        self.model, self.terms = model, terms

    def forward(self, step: int) -> Terms:
        return self.terms(step)


def fit(
    model: nn.Module, objective: Loss, images: Float[Tensor, "n colours height width"], plan: Plan, **options
) -> History:
    """Train `model` on `images`; the options: those of `Fit.run`, and `checkpoint`, `about`, `placement` of `Fit`."""
    own = {name: options.pop(name) for name in ("checkpoint", "about", "placement") if name in options}
    return Fit(model, objective, images, plan, **own).run(**options)

"""The fit loop: Adam, a warm-up and a cosine decay, checkpoints that resume exactly, and nothing lost on Ctrl-C."""

import contextlib
import json
import math
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

Terms = dict[str, Tensor]
Objective = Callable[[nn.Module, Tensor, torch.Generator], Terms]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn. `learning_rate` is the peak, reached after `warm_up` steps."""

    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    warm_up: int = 100
    seed: int = 0
    clip: float = 10.0
    bf16: bool = False

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

    def add(self, step: int, terms: Terms) -> None:
        self.steps.append(step)
        for name, value in terms.items():
            self.terms.setdefault(name, []).append(float(value))


class CheckpointError(Exception):
    """A checkpoint is damaged or belongs to another run; the message names the file and what to do."""


class NotFinite(ArithmeticError):
    """A term became NaN or infinite; the message names the step and the term. The weights are those before it."""


class Fit:
    """One training run that can be stopped and taken up again with the same result as if it had never stopped.

    Batch t is a function of (seed, t) alone, and so is its noise; a checkpoint therefore needs only the
    step, the weights and the optimiser.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        images: Tensor,
        plan: Plan,
        checkpoint: Path | None = None,
        about: dict | None = None,
    ):
        self.model, self.objective, self.images, self.plan = model, objective, images, plan
        self.checkpoint = Path(checkpoint) if checkpoint else None
        self.about = json.loads(json.dumps({"plan": asdict(plan), **(about or {})}))
        self.optimiser = torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
        self.step, self.seconds, self.history = 0, 0.0, History()
        if self.checkpoint and self.checkpoint.exists():
            self._load()

    def run(self, every: int = 100, save_every: int = 500, progress: bool = True) -> History:
        """Train to the end of the plan, or until Ctrl-C, and return the history.

        Ctrl-C lets the step in hand end, and keeps what was learnt. With a checkpoint the run can be taken up again;
        without one the interrupt is passed on, so that nothing after it works on a half-trained model unawares.
        """
        self.model.train()
        started = time.perf_counter() - self.seconds
        bar = tqdm(total=self.plan.steps, initial=self.step, disable=not progress, unit="step")
        with bar, _stop_signal() as stopped:
            try:
                while self.step < self.plan.steps and not stopped.is_set():
                    terms = self._one_step()
                    self.step, self.seconds = self.step + 1, time.perf_counter() - started
                    bar.update()
                    if self.step % every == 0 or self.step == self.plan.steps:
                        self.history.add(self.step, terms)
                        bar.set_postfix({name: f"{float(value):.2f}" for name, value in terms.items()})
                    if self.step % save_every == 0:
                        self._save()
            except Exception:
                self._save()
                raise
            finally:
                self.model.eval()
        self._save()
        self.history.finished = self.step == self.plan.steps
        if not self.history.finished:
            print(f"stopped at step {self.step} of {self.plan.steps}; what was learnt is kept")
            if not self.checkpoint:
                raise KeyboardInterrupt
        return self.history

    def _one_step(self) -> Terms:
        """One step, whole or not at all: whatever can fail does so before the weights move."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        x, generator = self._batch(self.step)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.plan.bf16):
            terms = self.objective(self.model, x, generator)
        self._refuse_nan(terms)
        self.optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        self._refuse_nan({"gradient": nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)})
        self.optimiser.step()
        return {name: value.detach() for name, value in terms.items()}

    def _batch(self, step: int) -> tuple[Tensor, torch.Generator]:
        per_pass = len(self.images) // self.plan.batch_size
        if per_pass == 0:
            raise ValueError(f"{len(self.images)} images do not fill one batch of {self.plan.batch_size}")
        epoch, place = divmod(step, per_pass)
        if getattr(self, "_epoch", None) != epoch:
            shuffler = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + epoch)
            self._order, self._epoch = torch.randperm(len(self.images), generator=shuffler), epoch
        chosen = self._order[place * self.plan.batch_size : (place + 1) * self.plan.batch_size]
        noise = torch.Generator().manual_seed((self.plan.seed + 1) * 10_000_019 + step)
        return self.images[chosen], noise

    def _refuse_nan(self, terms: Terms) -> None:
        for name, value in terms.items():
            if not torch.isfinite(value).all():
                found = float(value.detach())
                raise NotFinite(f"step {self.step}: the term {name!r} is {found}; try a lower learning rate")

    def _save(self) -> None:
        if not self.checkpoint:
            return
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        state = {"step": self.step, "seconds": self.seconds, "model": self.model.state_dict(), "about": self.about}
        state |= {"optimiser": self.optimiser.state_dict(), "steps": self.history.steps, "terms": self.history.terms}
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def _load(self) -> None:
        remedy = f"delete {self.checkpoint} to start anew"
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            found = state["about"]
        except (EOFError, KeyError, RuntimeError, OSError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"the checkpoint is damaged or none of ours ({error}): {remedy}") from error
        for name in sorted(self.about.keys() | found.keys()):
            if self.about.get(name) != found.get(name):
                told = f"{name} was {found.get(name)}, and is now {self.about.get(name)}"
                raise CheckpointError(f"the checkpoint belongs to another run ({told}): {remedy}")
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise CheckpointError(f"the checkpoint is of another model ({error}): {remedy}") from error
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.history = History(state["steps"], state["terms"])


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one interrupts at once. Only the main thread hears signals."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def first(number, frame):
        stopped.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def fit(model: nn.Module, objective: Objective, images: Tensor, plan: Plan, **options) -> History:
    """Train `model` on `images` [n, colours, height, width]; see `Plan`, `Fit` and `Fit.run` for the options."""
    checkpoint = options.pop("checkpoint", None)
    return Fit(model, objective, images, plan, checkpoint).run(**options)

"""Going on from the zoo's stored weights: python course.py train NAME --more STEPS."""

import dataclasses
import json
from dataclasses import dataclass

from torch import nn

from course_lib.objectives.later import Later
from course_lib.objectives.objective import Objective
from course_lib.training.fit import Loss, Plan
from course_lib.zoo import cards
from course_lib.zoo.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class GoingOn(Recipe):
    """A recipe whose model starts from the stored weights of `name`; `went_on_from` tells which these are.

    An adversary is not stored with a model, so it starts anew.
    """

    name: str
    went_on_from: dict

    def build(self) -> nn.Module:
        """The stored model. Raises ZooError where it is not the one that the card describes."""
        return cards.load(self.name, cards.WEIGHTS)


def going_on(name: str, recipe: Recipe, more: int) -> GoingOn:
    """`recipe` for `more` further steps at half its peak rate: a fresh warm-up and cosine, batches and noise not seen.

    Raises ValueError for fewer than one step, without stored weights, or for those of another architecture.
    """
    if more < 1:
        raise ValueError(f"--more counts further steps: at least 1, not {more}")
    before = _stored(name, recipe)
    told = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(Recipe)}
    told["plan"] = _plan_after(before["steps"], recipe.plan, more)
    told["objective"] = lambda: _later(recipe.objective(), before["steps"])
    return GoingOn(**told, name=name, went_on_from=before)


def _stored(name: str, recipe: Recipe) -> dict:
    """The stored weights, with the steps and the seconds in them from the very first."""
    if name not in cards.names(cards.WEIGHTS):
        raise ValueError(f"there are no stored weights of {name!r} to go on from: train it without --more")
    card = cards.card(name, cards.WEIGHTS)
    made_of = {"builder": recipe.builder, "arguments": recipe.arguments}
    if any(card[key] != value for key, value in json.loads(json.dumps(made_of)).items()):
        raise ValueError(f"the stored weights of {name!r} are of another architecture: train it without --more")
    return {"sha256": card["sha256"][name]} | cards.spent(card)


def _plan_after(steps: int, plan: Plan, more: int) -> Plan:
    """The seed counts the steps before, so that no two continuations share batches or noise."""
    return dataclasses.replace(plan, steps=more, learning_rate=plan.learning_rate / 2, seed=plan.seed + steps)


def _later(objective: Loss, steps: int) -> Loss:
    return Later(objective, steps) if isinstance(objective, Objective) else objective

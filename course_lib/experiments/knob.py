"""The knob of chapter 06: what a code tells, and what it costs, against how far its decoder sees."""

from collections.abc import Iterator

from course_lib.experiments.seeds import over_seeds
from course_lib.measurement.ledger import Result
from course_lib.zoo import cards
from course_lib.zoo.recipes.knob import FIELDS, OBJECTIVES, SAMPLES, SEEDS, field_name, name_of

QUANTITIES = {
    "information_lower": "I(x;z), lower bound",
    "information_upper": "I(x;z), upper bound",
    "rate": "rate",
    "distortion": "distortion",
    "swapped_code_gap": "swapped-code gap",
    "nll_nats": f"NLL, IWAE through its own q, K = {SAMPLES}",
    "nll_refitted_nats": f"NLL, IWAE through a refitted q, K = {SAMPLES}",
}


def on_digits() -> Iterator[Result]:
    """Every quantity at every field, from the cards of the knob's models: mean and spread over three seeds."""
    for objective in OBJECTIVES:
        for field in FIELDS:
            found = [cards.card(name_of(objective, field, seed)) for seed in SEEDS]
            about = dict(unit="nats per image", hardware=found[0]["hardware"])
            for name, quantity in QUANTITIES.items():
                values = [card["measurements"][name] for card in found]
                key = f"C10.{objective}.field_{field_name(field)}.{name}"
                label = f"{quantity}: {objective}, field {field_name(field)}"
                claim = "C10" if name == "information_lower" else ""
                yield over_seeds(key, label, values, band=0.0, claim=claim, **about)


EXPERIMENTS = {"C10.knob": on_digits}

"""How each model of the zoo is built, from which data, and by which objective: all that is needed to train it again."""

from course_lib.zoo.recipes import full_scale, headline, knob, lab, outstanding, pixelcnn_mnist, puzzle, vlae
from course_lib.zoo.recipes.recipe import BUILDERS, DIGITS_BINARISATION, Recipe, binary_digits

RECIPES: dict[str, Recipe] = {
    **full_scale.RECIPES,
    **headline.RECIPES,
    **knob.RECIPES,
    **lab.RECIPES,
    **outstanding.RECIPES,
    **pixelcnn_mnist.RECIPES,
    **puzzle.RECIPES,
    **vlae.RECIPES,
}
# Larger models and plans for a GPU, each under the name of its recipe and ".gpu".
GPU: dict[str, Recipe] = full_scale.GPU

__all__ = ["BUILDERS", "DIGITS_BINARISATION", "GPU", "RECIPES", "Recipe", "binary_digits"]

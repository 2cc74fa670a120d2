"""The pair of plain PixelCNNs of chapter 02, on dynamically binarised MNIST."""

from course_lib.data import mnist
from course_lib.measurement.likelihood import exact_nll, exact_nll_per_image, summary
from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Plan
from course_lib.zoo.recipes.recipe import Recipe


def evaluate_pixelcnn_mnist(model: PixelCNN) -> dict:
    """NLL of the 10,000 test images, of their first 500 for a quick repetition, and of the validation images."""
    splits, binarisation = mnist(), "dynamic binarisation, seed 0"
    test = exact_nll_per_image(model, splits.test.images, seed=0)
    return {
        "nll_test": vars(summary(test, "exact", binarisation)),
        "nll_test_first_500": vars(summary(test[:500], "exact", binarisation)),
        "nll_validation": vars(exact_nll(model, splits.validation.images, seed=0)),
    }


def mnist_recipe(field: str, first_kernel: int, depth: int) -> Recipe:
    """A plain PixelCNN on MNIST, whose field is set by its first filter and its depth."""
    return Recipe(
        purpose=f"chapter 02, a plain PixelCNN at the papers' picture size, {field} field",
        builder="PixelCNN",
        arguments=dict(image_shape=(1, 28, 28), width=32, depth=depth, kernel=3, first_kernel=first_kernel),
        data="mnist, dynamic binarisation, 50,000 training images",
        objective_name="maximum likelihood",
        objective=lambda: negative_log_likelihood,
        plan=Plan(steps=10_000, batch_size=50, bf16=True),
        train_images=lambda: mnist().train.images,
        evaluate=evaluate_pixelcnn_mnist,
    )


RECIPES = {
    "pixelcnn_mnist": mnist_recipe("wide", first_kernel=27, depth=8),
    "pixelcnn_mnist_narrow": mnist_recipe("narrow", first_kernel=7, depth=7),
}

"""The limits of a recipe's values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien.emotions import binary_task
from mien.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from mien.runs.recipe import Key, Recipe


def check(recipe: Recipe, keys: tuple[Key, ...]) -> None:
    """Hold a recipe against the limits of its keys, and against what they mean together.

    Raises:
        RecipeError: the first that is outside; the message says what is allowed.
    """
    values = recipe.to_dict()
    for entry in keys:
        value = values[entry.section][entry.name] if entry.section else values[entry.name]
        least, most = entry.limits
        if least is not None and most is not None:
            for number in _numbers(value):
                # Written so that not-a-number is outside.
                if not least <= number <= most:
                    raise RecipeError(f"{entry.path} must lie in {least:g} to {most:g}, not {value!r}.")
    _check_together(recipe)


def _numbers(value: Any) -> list[float]:
    """The numbers in a value, however deep in tuples."""
    return [n for part in value for n in _numbers(part)] if isinstance(value, tuple) else [value]


def _check_together(recipe: Recipe) -> None:
    """What no key can say by itself."""
    if recipe.optimizer.clip_value and recipe.optimizer.clip_norm:
        raise RecipeError(
            "optimizer.clip_value and optimizer.clip_norm are both set; keep one and set the other to 0."
        )
    votes_count = recipe.loss.votes_weight and recipe.data.votes and not recipe.data.binary
    if not recipe.loss.label_weight and not votes_count:
        raise RecipeError("loss.label_weight is 0 and no other head is trained: nothing would be learned.")
    if recipe.data.folds == 1 or (recipe.data.folds and recipe.data.fold > recipe.data.folds):
        raise RecipeError(
            f"data.folds must be 2 or more and data.fold none above it, not {recipe.data.folds} and "
            f"{recipe.data.fold}; data.folds=0 is without folds."
        )
    if recipe.data.binary:
        try:
            binary_task(recipe.data.binary)
        except UsageError as error:
            raise RecipeError(f"data.binary: {error}") from None
    if recipe.augment.scale[0] > recipe.augment.scale[1]:
        raise RecipeError(f"augment.scale must be smallest, largest; not {list(recipe.augment.scale)}.")
    sizes = [list(pair) for pair in recipe.schedule.sizes]
    starts = [start for start, _ in recipe.schedule.sizes]
    if starts and (starts[0] != 0 or starts != sorted(set(starts))):
        raise RecipeError(f"schedule.sizes must start at epoch 0 and rise, not {sizes}.")
    if any(not 16 <= side <= 1024 for _, side in recipe.schedule.sizes):
        raise RecipeError(f"schedule.sizes: a side must lie in 16 to 1024, not {sizes}.")

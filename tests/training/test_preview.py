"""The preview is what the run itself will see, and changes nothing about it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mien.data.table import FaceTable
from mien.runs.recipe import Recipe
from mien.training.data.loader import BatchLoader
from mien.training.data.preview import preview_of
from mien.training.distributed import World


def feed(recipe: Recipe, faces: FaceTable) -> BatchLoader:
    return BatchLoader(recipe, faces, device=torch.device("cpu"), world=World(), note=lambda text: None)


def test_it_shows_the_first_faces_of_the_first_batches(
    tiny: Callable[..., Recipe], few_faces: FaceTable
) -> None:
    made = feed(tiny(augment={"mixup": 0.0, "cutmix": 0.0}), few_faces)
    preview = preview_of(made, columns=5)
    assert (preview.rows, preview.columns) == (2, 5)
    training = few_faces.split("Training")
    for epoch in (0, 1):
        order = made.order(epoch)
        batch = made.batch_at(order, epoch, 0)
        part = slice(5 * epoch, 5 * epoch + 5)
        np.testing.assert_array_equal(preview.before[part], training.pixels[order[:5].numpy()])
        seen = (batch.pixels[:5, 0].numpy() * 255).round()
        np.testing.assert_array_equal(preview.after[part], seen)
        names = [training.classes[label] for label in training.labels[order[:5].numpy()]]
        assert preview.captions[part] == tuple(names)


def test_mixed_faces_are_named_with_their_shares(tiny: Callable[..., Recipe], few_faces: FaceTable) -> None:
    mixed = preview_of(feed(tiny(augment={"mixup": 8.0, "cutmix": 0.0}), few_faces)).captions
    shared = [caption for caption in mixed if "%" in caption]
    assert shared
    for caption in shared:
        assert sum(int(part.split()[-1].rstrip("%")) for part in caption.split(", ")) in range(99, 102)


def test_an_only_epoch_has_one_row_and_a_small_batch_no_more_faces(
    tiny: Callable[..., Recipe], few_faces: FaceTable
) -> None:
    preview = preview_of(feed(tiny(schedule={"epochs": 1}, loop={"batch_size": 4}), few_faces))
    assert (preview.rows, len(preview.captions)) == (1, 4)


def test_looking_leaves_the_random_numbers_alone(tiny: Callable[..., Recipe], few_faces: FaceTable) -> None:
    made = feed(tiny(), few_faces)
    before = torch.get_rng_state()
    preview_of(made)
    assert torch.equal(torch.get_rng_state(), before)

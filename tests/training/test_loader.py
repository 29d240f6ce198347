"""Which faces a run sees, and in which batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien.data.synthetic.faces import faces
from mien.data.table import UNLABELLED, FaceTable
from mien.errors import DataError, TrainError
from mien.runs.recipe import Recipe, from_dict
from mien.runs.recipe_sections import DataRecipe
from mien.training.data.loader import BatchLoader, on_one_thread, seed_of
from mien.training.data.splits import batch_of, rows_of, with_splits_of
from mien.training.distributed import World

CPU = torch.device("cpu")


def feed(
    recipe: Recipe, table: FaceTable, world: World | None = None, notes: list[str] | None = None
) -> BatchLoader:
    note = ([] if notes is None else notes).append
    return BatchLoader(recipe, table, device=CPU, world=world or World(), note=note)


def test_each_epoch_shows_each_face_once_in_an_order_of_its_own(
    tiny: Callable[..., Recipe], few_faces: FaceTable
) -> None:
    one = feed(tiny(), few_faces)
    first, second = one.order(0), one.order(1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(32))
    assert first.tolist() != second.tolist()
    assert torch.equal(first, feed(tiny(), few_faces).order(0))
    assert not torch.equal(first, feed(tiny(loop={"seed": 1}), few_faces).order(0))


def test_a_batch_is_a_function_of_seed_epoch_and_step(
    tiny: Callable[..., Recipe], few_faces: FaceTable
) -> None:
    one, same = feed(tiny(), few_faces), feed(tiny(), few_faces)
    one.batch_at(one.order(0), 0, 0)  # whatever came before
    a, b = (f.batch_at(f.order(1), 1, 2) for f in (one, same))
    assert torch.equal(a.pixels, b.pixels)
    assert all(torch.equal(a.targets[name], b.targets[name]) for name in a.targets)
    assert a.seed == b.seed
    assert a.pixels.shape == (8, 1, 48, 48)
    assert not torch.equal(a.pixels, one.batch_at(one.order(1), 2, 2).pixels)


def test_batches_are_made_on_one_thread_and_the_others_come_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with on_one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyError), on_one_thread():
        raise KeyError
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_processes_share_each_batch_without_overlap(
    tiny: Callable[..., Recipe], few_faces: FaceTable
) -> None:
    """With nothing changed about the faces, the parts of two processes are the batch of one."""
    off = (
        "degrees",
        "translate",
        "flip",
        "autocontrast",
        "brightness",
        "contrast",
        "erase",
        "mixup",
        "cutmix",
    )
    still = dict.fromkeys(off, 0.0)
    recipe = tiny(augment=still | {"crop_padding": 0, "scale": [1.0, 1.0]})
    alone = feed(recipe, few_faces)
    pair = [feed(recipe, few_faces, World(rank, 2)) for rank in range(2)]
    assert [p.batch for p in pair] == [4, 4]
    assert pair[0].steps == alone.steps == 4
    whole = alone.batch_at(alone.order(0), 0, 1)
    halves = [p.batch_at(p.order(0), 0, 1) for p in pair]
    torch.testing.assert_close(torch.cat([half.pixels for half in halves]), whole.pixels)
    assert torch.equal(torch.cat([half.targets["votes"] for half in halves]), whole.targets["votes"])
    validated = torch.cat([p.validation.pixels for p in pair])
    assert sorted(map(torch.Tensor.tolist, validated.flatten(1))) == sorted(
        map(torch.Tensor.tolist, alone.validation.pixels.flatten(1))
    )


def test_processes_augment_differently(tiny: Callable[..., Recipe], few_faces: FaceTable) -> None:
    seeds = {
        feed(tiny(), few_faces, World(rank, 2)).batch_at(torch.arange(32), 0, 0).seed for rank in range(2)
    }
    assert len(seeds) == 2


def test_mixing_ends_with_the_last_epochs(tiny: Callable[..., Recipe], few_faces: FaceTable) -> None:
    one = feed(tiny(schedule={"epochs": 3}, augment={"mixup_off_epochs": 1}), few_faces)
    pure = [bool((one.batch_at(one.order(e), e, 0).targets["fer2013"].amax(1) == 1).all()) for e in range(3)]
    assert pure == [False, False, True]


def test_seeds_differ_by_place_and_fit_torch() -> None:
    seeds = {seed_of(*place) for place in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 0, 1)]}
    assert len(seeds) == 7
    for seed in seeds:
        torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [40, 64])
def test_faces_of_another_size_are_fed_at_their_size(tiny: Callable[..., Recipe], size: int) -> None:
    notes: list[str] = []
    one = feed(tiny(network={"size": 48}), faces(60, size=size), notes=notes)
    assert one.batch_at(one.order(0), 0, 0).pixels.shape == (8, 1, size, size)
    assert one.size == size
    assert [note for note in notes if f"Set network.size={size}" in note] == notes
    assert len(notes) == (size > 48)


# ---- rows -----------------------------------------------------------------------------------------


def test_faces_without_a_label_are_left_out_and_counted(few_faces: FaceTable) -> None:
    labels = few_faces.labels.copy()
    labels[:5] = UNLABELLED
    notes: list[str] = []
    train, validation = rows_of(replace(few_faces, labels=labels), DataRecipe(), notes.append)
    assert (len(train), len(validation)) == (27, 12)
    assert notes == ["5 faces of Training have no label and are left out."]


def test_duplicates_of_another_split_are_left_out_and_counted(few_faces: FaceTable) -> None:
    pixels = few_faces.pixels.copy()
    pixels[[3, 9]] = pixels[35]  # row 35 is of PublicTest
    notes: list[str] = []
    spec = DataRecipe(without_duplicates_of=("PublicTest", "PrivateTest", "NoSuchSplit"))
    train, _ = rows_of(replace(few_faces, pixels=pixels), spec, notes.append)
    assert len(train) == 30
    assert not {3, 9} & set(train.rows.tolist())
    assert notes == ["2 of 32 training faces are also in PublicTest, and are left out."]


def test_a_missing_split_names_those_there_are_and_the_key(few_faces: FaceTable) -> None:
    plan = from_dict({"data": {"train": "test"}})
    with pytest.raises(DataError, match=r"no split 'test' .*has: Training \(32\).*--set data\.train=NAME"):
        with_splits_of(few_faces, plan)


def test_a_split_without_any_label_is_refused(few_faces: FaceTable) -> None:
    blank = replace(few_faces, labels=np.full(len(few_faces), UNLABELLED))
    with pytest.raises(DataError, match="no face of Training has a label"):
        rows_of(blank, DataRecipe(), pytest.fail)


def test_faces_that_are_not_square_are_refused(few_faces: FaceTable) -> None:
    with pytest.raises(DataError, match="48 x 40 pixels, and training needs them square"):
        rows_of(replace(few_faces, pixels=few_faces.pixels[:, :40].copy()), DataRecipe(), pytest.fail)


def test_a_process_gets_its_part_of_a_batch_and_two_faces_at_least() -> None:
    assert batch_of(128, 1000, 1) == 128
    assert batch_of(128, 1000, 4) == 32
    assert batch_of(128, 50, 1) == 50
    with pytest.raises(TrainError, match="3 faces in batches of 128 leave 1 a process"):
        batch_of(128, 3, 2)

"""Recipes: every value survives its TOML, and what cannot be meant is refused with the way out."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.emotions import FER2013
from mien.errors import RecipeError
from mien.runs import recipe
from mien.runs.recipe import Key, Recipe, from_dict, keys, load_recipe, parse_changes, recipe_names, to_toml
from mien.runs.recipe_sections import OptimizerRecipe, ScheduleRecipe

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def values_of(key: Key) -> st.SearchStrategy[Any]:
    """Every value that a key allows by itself."""
    least, most = key.limits
    if get_origin(key.kind) is Literal:
        return st.sampled_from(get_args(key.kind))
    if key.kind is bool:
        return st.booleans()
    if key.kind is int:
        return st.integers(int(least or 0), int(most or 0))
    if key.kind is float:
        return st.floats(least, most, allow_subnormal=False)
    if key.path == "data.binary":
        return st.sampled_from(["", "negative", *FER2013])
    if key.kind is str:
        return TEXT
    if key.name in ("without_duplicates_of", "teachers", "classes"):
        return st.lists(TEXT, max_size=3).map(tuple)
    if key.name == "scale":
        return st.tuples(
            st.floats(0.1, 10, allow_subnormal=False), st.floats(0.1, 10, allow_subnormal=False)
        ).map(lambda pair: tuple(sorted(pair)))
    assert key.name == "sizes", f"this test does not know how to make a {key.path}"
    starts = st.lists(st.integers(1, 500), unique=True, max_size=3).map(lambda more: [0, *sorted(more)])
    return starts.flatmap(
        lambda begin: st.tuples(*(st.tuples(st.just(start), st.integers(16, 1024)) for start in begin))
    )


def _raw(values: dict[str, Any]) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        (raw.setdefault(section, {}) if section else raw)[name] = value
    # What no two keys may say together.
    if raw["optimizer"]["clip_value"]:
        raw["optimizer"]["clip_norm"] = 0.0
    if raw["data"]["folds"] < 2:
        raw["data"]["folds"] = 0
    if raw["data"]["folds"]:
        raw["data"]["holdout"] = 0.0
    raw["data"]["fold"] = max(1, min(raw["data"]["fold"], raw["data"]["folds"]))
    if raw["distil"]["teachers"]:
        raw["distil"]["predictions"] = ""
    raw["loss"]["label_weight"] = max(raw["loss"]["label_weight"], 1e-3)
    return raw


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({key.path: values_of(key) for key in keys()}).map(_raw))
def test_every_recipe_survives_its_toml(raw: dict[str, Any]) -> None:
    recipe = from_dict(raw)
    again = from_dict(tomllib.loads(to_toml(recipe)))
    assert again == recipe
    assert again.to_dict() == recipe.to_dict()


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_is_named_as_its_file_and_says_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name.replace("/", "-")
    assert len(recipe.description) > 20


def test_a_recipe_is_found_by_path_and_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[schedule]\nepochs = 3\n")
    recipe = load_recipe(path)
    assert (recipe.name, recipe.schedule.epochs) == ("mine", 3)
    assert dataclasses.replace(recipe, name="unnamed", schedule=Recipe().schedule) == Recipe()


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("epochs=5", "schedule.epochs", 5),
        ("schedule.epochs=5", "schedule.epochs", 5),
        ("lr=1", "optimizer.lr", 1.0),
        ("optimizer.name=sgd", "optimizer.name", "sgd"),
        ("optimizer.name='sgd'", "optimizer.name", "sgd"),
        (" votes = false ", "data.votes", False),
        ("sizes=[[0, 64], [3, 96]]", "schedule.sizes", ((0, 64), (3, 96))),
        ("without_duplicates_of=['PublicTest']", "data.without_duplicates_of", ("PublicTest",)),
        ("init=runs/a=b", "network.init", "runs/a=b"),
        ("init=7", "network.init", "7"),
        ("name=2024", "name", "2024"),
        ("description=a b, c", "description", "a b, c"),
    ],
)
def test_a_change_is_applied_to_the_key_it_names(change: str, path: str, value: Any) -> None:
    recipe = load_recipe("report", parse_changes([change]))
    for name in path.split("."):
        recipe = recipe[name] if isinstance(recipe, dict) else getattr(recipe, name)
    assert recipe == value
    assert type(recipe) is type(value)


def test_later_changes_win() -> None:
    assert load_recipe("quick", parse_changes(["epochs=3", "schedule.epochs=4"])).schedule.epochs == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epohcs=5", "unknown recipe key 'epohcs'. Did you mean 'epochs'?"),
        ("optimizer.leaning_rate=1", "'optimizer.leaning_rate'. Did you mean 'optimizer.lr'?"),
        ("learning_rate=1", "unknown recipe key 'learning_rate'. Did you mean 'optimizer.lr'?"),
        ("batch=8", "unknown recipe key 'batch'. Did you mean 'loop.batch_size'?"),
        ("optimzer.lr=1", "unknown recipe key 'optimzer'. Did you mean 'optimizer'?"),
        ("zzz=1", "unknown recipe key 'zzz'. Known: name, description,"),
        ("lr", "not of the form section.key=value"),
        ("name.first=x", "'name' is a key, not a section"),
        ("lr=fast", "optimizer.lr must be a number, not 'fast'"),
        ("epochs=2.5", "schedule.epochs must be a whole number, not 2.5"),
        ("votes=1", "data.votes must be true or false, not 1"),
        ("epochs=true", "schedule.epochs must be a whole number, not True"),
        ("sizes=[[0]]", "schedule.sizes must be (a whole number, a whole number), not [0]"),
        ("select=f1", "loop.select must be one of 'accuracy', 'macro_f1', 'loss', not 'f1'"),
        ("lr=-1", "optimizer.lr must lie in 0 to 100, not -1"),
        ("lr=nan", "optimizer.lr must lie in 0 to 100, not nan"),
        ("scale=[1.2, 0.8]", "augment.scale must be smallest, largest; not [1.2, 0.8]"),
        ("sizes=[[1, 64]]", "schedule.sizes must start at epoch 0 and rise, not [[1, 64]]"),
        ("sizes=[[0, 8]]", "a side must lie in 16 to 1024, not [[0, 8]]"),
        ("clip_norm=1", "optimizer.clip_value and optimizer.clip_norm are both set"),
        ("label_weight=0", "nothing would be learned"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("report", parse_changes([change]))
    assert message in str(error.value)


def test_a_part_of_a_list_outside_its_limits_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"augment\.scale must lie in 0\.1 to 10, not 20"):
        from_dict({"augment": {"scale": [1, 20]}})


def test_a_recipe_cannot_be_changed_and_is_checked_where_it_is_made() -> None:
    recipe = Recipe(schedule=ScheduleRecipe(epochs=3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.schedule.epochs = 4  # type: ignore[misc]
    with pytest.raises(RecipeError, match="both set"):
        dataclasses.replace(recipe, optimizer=OptimizerRecipe(clip_value=1.0, clip_norm=1.0))
    with pytest.raises(ValueError, match="less than or equal to 100"):
        OptimizerRecipe(lr=101.0)


def test_changes_give_a_new_recipe() -> None:
    recipe = Recipe()
    changed = recipe.changed({"schedule.epochs": 3, "lr": 0.5, "name": "mine"})
    assert (changed.schedule.epochs, changed.optimizer.lr, changed.name) == (3, 0.5, "mine")
    assert recipe == Recipe()
    with pytest.raises(RecipeError, match="Did you mean 'epochs'"):
        recipe.changed({"epohcs": 3})


def test_a_resolved_recipe_without_the_newest_keys_still_loads() -> None:
    """A run of an earlier version is resumed and exported by a later one."""
    raw = Recipe().to_dict()
    del raw["distil"]["input"], raw["data"]["face_size"]
    assert from_dict(raw) == Recipe()


def test_a_section_that_is_no_table_is_refused() -> None:
    with pytest.raises(RecipeError, match="section 'augment' must be a table of keys, not 3"):
        from_dict({"augment": 3})


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", b"[a]\n[a]\n"])
def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"broken\.toml is not a recipe in TOML"):
        load_recipe(path)


def test_a_recipe_that_is_nowhere_names_those_that_ship() -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'b99'\. Shipped: .*quick, report"):
        load_recipe("b99")


def test_every_key_says_what_it_means_and_every_number_has_limits() -> None:
    for key in keys():
        assert key.meaning.endswith("."), key.path
        if key.kind in (int, float):
            assert None not in key.limits, key.path


def test_every_other_name_of_a_key_means_one_that_there_is() -> None:
    paths = {entry.path for entry in keys()}
    assert set(recipe._MEANT.values()) <= paths
    assert not set(recipe._MEANT) & {entry.name for entry in keys()}

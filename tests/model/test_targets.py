"""Target modules are known from the model's files alone."""

import pytest
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists

from loraflow.errors import UserError
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.model.targets import linear_modules, require_targets


def test_shapes_are_those_of_the_loaded_model(tiny_base: BaseModel) -> None:
    model = load_base(tiny_base)
    for name, shape in linear_modules(tiny_base.folder).items():
        assert model.get_submodule(name).weight.shape == shape


def test_embeddings_carry_no_adapter(tiny_base: BaseModel) -> None:
    assert not [name for name in linear_modules(tiny_base.folder) if "embed" in name]


@pytest.mark.parametrize(
    ("target_modules", "expected"),
    [(["q_proj"], 2), (["q_proj", "v_proj"], 4), (r".*\.0\.mlp\..*", 3), ("all-linear", 14)],
)
def test_names_patterns_and_all(
    target_modules: list[str] | str, expected: int, tiny_base: BaseModel
) -> None:
    found = require_targets(target_modules, linear_modules(tiny_base.folder))
    assert len(found) == expected


def test_a_partly_wrong_list_is_refused_with_what_exists(tiny_base: BaseModel) -> None:
    modules = linear_modules(tiny_base.folder)
    with pytest.raises(UserError, match=r"q_porj matches no module.*did you mean q_proj.*v_proj"):
        require_targets(["v_proj", "q_porj"], modules)


def test_a_single_name_is_a_pattern_as_in_peft(tiny_base: BaseModel) -> None:
    with pytest.raises(UserError, match=r"set adapter\.target_modules=\[q_proj\]"):
        require_targets("q_proj", linear_modules(tiny_base.folder))


@pytest.mark.parametrize("targets", [["q_proj"], ["layers.0.mlp.up_proj"], r".*\.1\..*_proj"])
def test_matches_are_those_of_peft(targets: list[str] | str, tiny_base: BaseModel) -> None:
    modules = linear_modules(tiny_base.folder)
    config = LoraConfig(target_modules=targets)
    in_peft = [name for name in modules if check_target_module_exists(config, name)]
    assert require_targets(targets, modules) == in_peft


def test_a_broken_pattern_is_refused(tiny_base: BaseModel) -> None:
    with pytest.raises(UserError, match="no regular expression"):
        require_targets("[", linear_modules(tiny_base.folder))

import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument, InvalidData
from evenbatch.study.spec import Specification


def build(input_shape, classes, normalize):
    raise AssertionError("not built while it is designed")


def test_the_default_study_is_the_paper_net_on_digits_in_six_seeds():
    from evenbatch.study.design import design

    spec = design().spec
    assert (spec.recipe, spec.data.name, spec.seeds, spec.epochs) == ("sigmoid", "digits", (0, 1, 2, 3, 4, 5), 60)
    assert [(arm.name, arm.normalize) for arm in spec.arms] == [("with", "batch"), ("without", "none")]


def test_a_specification_survives_its_file(plan_of):
    spec = plan_of(
        arms={"a": True, "b": eb.Arm(False, initial_scale=2.0, learning_rate=0.5)}, options={"units": 5}
    ).spec
    assert Specification.model_validate_json(spec.model_dump_json()) == spec


def test_the_difference_of_two_specifications_names_each_place(plan_of):
    here, asked = plan_of(epochs=2).spec, plan_of(epochs=3, learning_rate=0.5).spec
    assert here.differences(asked) == [
        "arms.with.learning_rate: 0.001 here, 0.5 asked for",
        "arms.without.learning_rate: 0.001 here, 0.5 asked for",
        "epochs: 2 here, 3 asked for",
    ]
    assert here.differences(plan_of(epochs=2).spec) == []


def test_a_function_of_the_users_is_named_with_a_digest_of_its_code(plan_of):
    name, digest = plan_of(build).spec.recipe.split("@")
    assert name.endswith("test_design.build")
    assert len(digest) == 12


def test_every_arm_is_compared_with_the_last_unless_told_otherwise(plan_of):
    arms = {"a": True, "b": True, "c": False}
    assert [(p.arm, p.baseline) for p in plan_of(arms=arms).spec.pairs] == [("a", "c"), ("b", "c")]
    assert [(p.arm, p.baseline) for p in plan_of(arms=arms, pairs=[("a", "b")]).spec.pairs] == [("a", "b")]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"seeds": 0}, "seeds must be at least 1, received 0"),
        ({"seeds": [1, 1]}, "seeds must be distinct"),
        ({"seeds": [-1]}, "seeds must be a number of seeds or distinct integers"),
        ({"seeds": 1.5}, "seeds must be a number of seeds"),
        ({"epochs": 0}, "epochs must be an integer of at least 1, received 0"),
        ({"epochs": True}, "epochs must be an integer"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive, finite number, received 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive, finite number"),
        ({"threads": 0}, "threads must be an integer of at least 1"),
        ({"arms": {}}, "arms must name at least one arm"),
        ({"arms": {"a/b": True}}, "the name of an arm must be 1 to 100 bytes of printable text without slashes"),
        ({"arms": {"a\x1b[31m": True}}, "printable text"),
        ({"arms": {"\U0001f600" * 30: True}}, "1 to 100 bytes"),
        ({"options": {"units": {1, 2}}}, "options must be values that JSON has"),
        ({"arms": {"..": True}}, "without a dot in front"),
        ({"arms": {"a": 3}}, "normalize must be True, False or a function"),
        ({"arms": {"a": eb.Arm(initial_scale=-1)}}, "initial_scale must be a positive"),
        ({"arms": {"a": True}, "pairs": [("a", "b")]}, "pairs must name two of the arms a, received 'b'"),
        ({"options": {"unit": 5}}, "did you mean 'units'"),
        ({"options": {"units": "many"}}, "units must be an integer of at least 1, received 'many'"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_written(plan_of, settings, sentence):
    with pytest.raises(InvalidArgument, match=sentence):
        plan_of(**settings)


def test_fewer_examples_than_a_batch_are_refused(plan_of):
    with pytest.raises(InvalidData, match="at most the number of training examples, received 200 for 72 of 'small'"):
        plan_of(batch_size=200)


def test_a_recipe_that_is_neither_name_nor_function_is_refused(plan_of):
    with pytest.raises(InvalidArgument, match="recipe must be a name or a function"):
        plan_of(3)

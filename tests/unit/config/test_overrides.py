import pytest

from observe_r1.config.overrides import merge, override_tree
from observe_r1.errors import ConfigError


def test_tables_are_merged_and_leaves_replaced():
    base = {"rl": {"group_size": 8, "sampling": {"temperature": 1.0, "top_p": 1.0}}}
    assert merge(base, {"rl": {"sampling": {"top_p": 0.9}}}) == {
        "rl": {"group_size": 8, "sampling": {"temperature": 1.0, "top_p": 0.9}}
    }


def test_another_type_drops_the_settings_of_the_old_one():
    base = {"loss": {"type": "clipped", "clip_low": 0.2}}
    assert merge(base, {"loss": {"type": "sequence_ratio"}}) == {"loss": {"type": "sequence_ratio"}}


def test_the_same_type_keeps_its_settings():
    base = {"loss": {"type": "clipped", "clip_low": 0.2}}
    merged = merge(base, {"loss": {"type": "clipped", "clip_high": 0.3}})
    assert merged == {"loss": {"type": "clipped", "clip_low": 0.2, "clip_high": 0.3}}


def test_lists_are_changed_by_place():
    assert merge([{"a": 1}, {"a": 2}], {"1": {"a": 3}}) == [{"a": 1}, {"a": 3}]
    with pytest.raises(ConfigError, match="there is no entry 2 in a list of 2"):
        merge([1, 2], {"2": 3})


def test_the_order_of_overrides_of_one_union_does_not_matter():
    tree = {"rl": {"loss": {"type": "sequence_ratio", "clip_low": 0.1}}}
    assert override_tree(["rl.loss.type=sequence_ratio", "rl.loss.clip_low=0.1"]) == tree
    assert override_tree(["rl.loss.clip_low=0.1", "rl.loss.type=sequence_ratio"]) == tree


def test_values_are_read_as_toml_else_as_text():
    tree = override_tree(
        ["rl.a=4", "rl.b=0.5", "rl.c=true", "rl.d=words", "rl.e=[1, 2]", "rl.f=none"]
    )
    assert tree == {"rl": {"a": 4, "b": 0.5, "c": True, "d": "words", "e": [1, 2], "f": None}}


def test_the_later_override_wins():
    assert override_tree(["rl.a=1", "rl.a=2"]) == {"rl": {"a": 2}}


@pytest.mark.parametrize("text", ["max_steps=4", ".max_steps=4", "rl.=4"])
def test_an_override_without_a_section_is_refused(text):
    with pytest.raises(ConfigError, match=r"names no section. Write section.key=value"):
        override_tree([text])


def test_an_override_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="has no '='"):
        override_tree(["rl.max_steps"])

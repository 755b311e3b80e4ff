import pytest

from observe_r1.data.puzzles import Variation, get_family, make_item
from observe_r1.errors import ConfigError


def test_a_level_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match="counting has levels 0 to 4; level 5 was asked for"):
        make_item(get_family("counting"), seed=0, index=0, level=5)


def test_the_id_names_family_level_seed_index_and_variation():
    varied = Variation(shortcut=True, context_sentences=4)
    item = make_item(get_family("maze"), seed=7, index=3, level=2, variation=varied)

    assert item.id == "maze-2-7-3-shortcut-context4"


def test_a_variation_leaves_the_construction_as_it_is():
    plain = make_item(get_family("maze"), seed=7, index=3, level=2)
    varied = make_item(get_family("maze"), 7, 3, 2, Variation(shortcut=True))

    assert varied.construction == plain.construction
    assert varied.question != plain.question

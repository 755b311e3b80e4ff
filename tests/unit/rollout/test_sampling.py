"""Tokens from logits, and the random numbers behind them."""

import pytest
import torch

from observe_r1.config.rollout import Sampling
from observe_r1.rollout.sampling import (
    draw,
    end_flags,
    keep_likely,
    own_seed,
    random_numbers,
    stable_seed,
)

PROBABILITIES = torch.tensor([[0.5, 0.25, 0.15, 0.1]])


def test_a_token_is_where_the_cumulative_distribution_passes_its_random_number() -> None:
    rows = PROBABILITIES.log().expand(5, -1)
    randoms = torch.tensor([0.0, 0.49, 0.51, 0.89, 0.9999999])
    assert draw(rows, randoms, Sampling()).tolist() == [0, 0, 1, 2, 3]


def test_tokens_of_probability_zero_are_never_drawn() -> None:
    row = torch.tensor([[0.0, 0.6, 0.0, 0.4, 0.0]]).log()
    for value in (0.0, 0.59999999, 0.6, 1 - 2**-24):
        assert draw(row, torch.tensor([value]), Sampling()).item() in (1, 3)


def test_greedy_takes_the_likeliest() -> None:
    assert draw(PROBABILITIES.log(), torch.tensor([0.99]), Sampling(temperature=0)).item() == 0


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 2}, [0, 1]),
        ({"top_p": 0.5}, [0]),
        ({"top_p": 0.6}, [0, 1]),
        ({"min_p": 0.3}, [0, 1, 2]),
        ({"top_k": 3, "min_p": 0.4}, [0, 1]),
        ({"top_p": 1e-9}, [0]),
    ],
)
def test_filters_keep_the_likely(settings, kept) -> None:
    found = keep_likely(PROBABILITIES.log(), Sampling(**settings))
    assert (~found.isneginf()).nonzero()[:, 1].tolist() == kept


def test_what_has_no_probability_is_not_drawn_where_sums_dip(monkeypatch) -> None:
    """As they may when a GPU adds up in parallel: the second token's place is found, and it is
    impossible."""
    logprobs = torch.tensor([[0.3, 0.0, 0.7]]).log()
    monkeypatch.setattr(torch, "searchsorted", lambda *_, **__: torch.tensor([[1]]))
    assert draw(logprobs, torch.tensor([0.3]), Sampling()).tolist() == [2]


def test_random_numbers_do_not_depend_on_the_rest_of_the_batch() -> None:
    settings = {"group_size": 3, "num_tokens": 5, "seed": 7, "step": 2}
    one = random_numbers(["a", "b"], **settings)
    other = random_numbers(["c", "b", "a"], **settings)
    assert torch.equal(one[0], other[2]) and torch.equal(one[1], other[1])
    assert not torch.equal(one[0], random_numbers(["a"], **settings | {"step": 3})[0])


def test_a_sample_drawn_twice_gets_different_numbers() -> None:
    twice = random_numbers(["a", "a"], group_size=2, num_tokens=4, seed=0, step=0)
    assert not torch.equal(twice[0], twice[1])


def test_a_name_in_the_shares_of_two_processes_is_drawn_with_two_dice() -> None:
    once, twice = ["a", "b", "c", "d"], ["a", "a", "b", "c"]
    assert {own_seed(7, once, rank) for rank in range(4)} == {7}
    assert own_seed(7, twice, 0) == 7
    assert len({own_seed(7, twice, rank) for rank in range(4)}) == 4
    shares = [twice[rank::2] for rank in range(2)]  # a, b and a, c
    first, second = (
        random_numbers(share, group_size=2, num_tokens=4, seed=own_seed(7, twice, rank), step=1)[0]
        for rank, share in enumerate(shares)
    )
    assert not torch.equal(first, second)


def test_seeds_are_the_same_everywhere() -> None:
    assert stable_seed(1, "a") == 6148644138517888281
    assert stable_seed(1, "a") != stable_seed("1a")


def test_end_flags_mark_end_tokens() -> None:
    assert end_flags(4, {1, 3}, torch.device("cpu")).tolist() == [False, True, False, True]

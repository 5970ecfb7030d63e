import torch

from harness.config import plugin_config


def test_each_place_has_its_own_vector():
    position = plugin_config("position", {"name": "learned", "length": 6}, "position").build(4, 2, 2)
    embeddings_BTC = torch.randn(2, 3, 4)
    positions_BT = torch.tensor([[0, 1, 2], [5, 0, 0]])
    found = position.embed(embeddings_BTC, positions_BT)
    for b in range(2):
        for t in range(3):
            assert torch.equal(found[b, t], embeddings_BTC[b, t] + position.table.weight[positions_BT[b, t]])


def test_the_first_place_may_have_a_later_row():
    config = plugin_config("position", {"name": "learned", "length": 6, "first": 2}, "position")
    position = config.build(4, 2, 2)
    found = position.embed(torch.zeros(1, 6, 4), torch.arange(6))
    assert torch.equal(found[0], position.table.weight[2:])
    assert config.parameters(4, 2) == position.table.weight.numel() == 8 * 4
    assert config.maximum_length() == 6


def test_its_length_is_the_longest_sequence():
    assert plugin_config("position", {"name": "learned", "length": 6}, "position").maximum_length() == 6

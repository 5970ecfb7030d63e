import torch

from harness.config import plugin_config


def test_it_takes_the_likeliest_token_of_each_row():
    sampler = plugin_config("sampler", "greedy", "sampler").build()
    assert sampler(torch.tensor([[0.0, 3.0, 1.0], [2.0, 2.0, -1.0]]), None).tolist() == [1, 0]

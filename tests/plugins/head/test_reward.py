import pytest
import torch

from harness.models.counting import account
from harness.models.roles import roles


def test_a_reward_is_one_number_for_each_hidden_state(transformer):
    head = transformer(head="reward").build(20).heads["reward"]
    hidden_BTC = torch.randn(2, 5, 32)
    assert head(hidden_BTC).shape == (2, 5)
    torch.testing.assert_close(head(hidden_BTC), torch.einsum("btc,c->bt", hidden_BTC, head.weight[0]))


@pytest.mark.parametrize("width", [64, 256])
def test_it_starts_at_a_size_of_its_own_whatever_the_bodys(transformer, width: int):
    torch.manual_seed(0)
    weights = torch.cat(
        [
            transformer(width=width, layers=1, head="reward", init_std=3.0).build(4).heads["reward"].weight
            for _ in range(20)
        ]
    )
    assert float(weights.detach().std()) == pytest.approx((width + 1) ** -0.5, rel=0.1)


def test_its_account_is_that_of_the_built_one(transformer):
    config = transformer(head="reward")
    model = config.build(20)
    assert config.heads() == frozenset(model.heads) == {"reward"}
    assert account(config, 20, 8).total == sum(parameter.numel() for parameter in model.parameters())
    assert account(config, 20, 8).parts[-1].flops == 2 * 32
    assert roles(model)["heads.reward.weight"] == "matrix"

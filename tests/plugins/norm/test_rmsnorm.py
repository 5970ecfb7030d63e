import torch

from harness.config import plugin_config


def test_it_is_the_equation():
    """Zhang, Sennrich 2019, equation 4."""
    torch.manual_seed(0)
    module = plugin_config("norm", {"name": "rmsnorm", "epsilon": 0.1}, "norm").build(8)
    with torch.no_grad():
        module.weight.normal_()
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(module(x), x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt() * module.weight)

"""Parameters and operations against counts by hand and published ones."""

import timm
import torch
from torch import nn

from lesionkit.learning import networks
from lesionkit.learning.cost import cost


def test_a_network_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 8 * 8, 7))
    found = cost(model, 8)
    assert found["parameters_m"] * 1e6 == 3 * 5 * 9 + 5 + 320 * 7 + 7
    assert found["macs_m"] * 1e6 == 8 * 8 * 5 * 27 + 320 * 7
    assert found["ms_image"] > 0 and found["device"] == "cpu" and found["threads"] == torch.get_num_threads()


def test_the_baseline_costs_what_its_docstring_says():
    model, _ = networks.build("baseline_cnn", 32)
    assert round(cost(model.eval(), 32)["parameters_m"], 2) == 0.66


def test_attention_counts_too():
    # a block: 4 d² + 2 · 4 d² a token, and 2 n² d for attention; n tokens = 2 × 2 patches and one for the class
    model = timm.models.VisionTransformer(32, 16, num_classes=7, embed_dim=24, depth=2, num_heads=3).eval()
    n, d = 5, 24
    by_hand = 4 * d * 3 * 16 * 16 + 2 * (n * 12 * d * d + 2 * n * n * d) + 7 * d
    assert cost(model, 32)["macs_m"] * 1e6 == by_hand


def test_the_published_count_of_mobilenet_v3():
    model = timm.create_model("mobilenetv3_large_100").eval()
    found = cost(model, 224)
    assert round(found["parameters_m"], 1) == 5.5  # Howard et al., Searching for MobileNetV3, 2019, table 3: 5.4 M,
    assert round(found["macs_m"], -1) == 220  # 219 M multiply-adds


def test_the_model_is_left_as_it_is():
    model, _ = networks.build("baseline_cnn", 32)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cost(model, 32)
    assert model.training and all(value.equal(before[name]) for name, value in model.state_dict().items())

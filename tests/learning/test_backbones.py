"""Every backbone builds, takes its weights from where it was told, and says so when it cannot."""

import http.server
import os
import subprocess
import sys
import threading

import pytest
import timm
import torch
from safetensors.torch import save_file

from lesionkit.learning import backbones, networks
from lesionkit.learning.backbones import BACKBONES
from lesionkit.learning.networks import WeightsError, build, parameter_groups

SMALL = "test_resnet"  # a tiny network that timm ships for tests


@pytest.mark.parametrize("name", [*BACKBONES, SMALL, "test_vit"])
def test_builds_at_a_small_size_with_seven_outputs(name):
    model, used = build(name, 64, "none", drop_rate=0.1, drop_path_rate=0.1)
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    assert used == "none"
    assert dict(model.named_modules())[backbones.backbone(name).cam] is not None


@pytest.mark.parametrize("name", ["mobilenetv3_large_100", "efficientnet_b3", "tf_efficientnet_lite0", SMALL])
def test_first_logits_are_small_so_that_training_starts_near_the_loss_of_chance(name):
    torch.manual_seed(0)
    model, _ = build(name, 64, "none")
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 3, 64, 64)), torch.arange(8) % 7)
    assert loss < 1.5 * torch.log(torch.tensor(7.0))


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "vit_base_patch16_224", SMALL])
def test_parameter_groups_hold_every_parameter_once_and_end_with_the_classifier(name):
    model, _ = build(name, 64, "none")
    groups = parameter_groups(model, pretrained=True)
    held = [id(p) for group in groups for p in group]
    assert len(groups) == 3 and len(held) == len(set(held)) == len(list(model.parameters()))
    assert {id(p) for p in groups[-1]} == {id(p) for p in model.get_classifier().parameters()}
    assert len(parameter_groups(model, pretrained=False)) == 1


def test_an_unknown_name_is_refused_with_names_that_exist():
    with pytest.raises(ValueError, match="no backbone 'resnet51'.*resnet50"):
        build("resnet51", 64)


@pytest.fixture()
def weights_folder(tmp_path):
    torch.manual_seed(1)
    state = timm.create_model(SMALL).state_dict()
    save_file(state, tmp_path / f"{SMALL}.mine.safetensors")
    return tmp_path, state


def test_weights_from_a_folder_are_loaded_but_for_the_classifier(weights_folder):
    folder, state = weights_folder
    model, used = build(SMALL, 64, str(folder))
    assert used == f"{SMALL}.mine.safetensors"
    body = {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}
    assert body and all(torch.equal(v, state[k]) for k, v in body.items())


def test_a_folder_without_the_weights_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=f"no {SMALL}.safetensors in .*weights=none"):
        build(SMALL, 64, str(tmp_path))


def test_auto_takes_the_first_that_can_be_had(weights_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "hub_reachable", lambda name: False)
    assert build(SMALL, 64, "auto", weights_dir=str(weights_folder[0]))[1] == f"{SMALL}.mine.safetensors"
    assert build(SMALL, 64, "auto")[1] == "none"


def test_imagenet_without_a_network_stops_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(networks, "hub_reachable", lambda name: False)
    with pytest.raises(WeightsError, match="cannot be downloaded: connect.*weights=DIR.*weights=none"):
        build("resnet50", 64, "imagenet")


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a model hub as a download needs: the repository's page and one file."""

    content = b""

    def do_HEAD(self):
        self.reply(b"")

    def do_GET(self):
        self.reply(self.content)

    def reply(self, body):
        page = self.path.rstrip("/").endswith("_in1k")
        there = page or self.path.endswith("model.safetensors")
        self.send_response(200 if there else 404)
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        if not there:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(0 if page or not there else len(self.content)))
        self.end_headers()
        if there and not page:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_imagenet_weights_come_from_the_hub(weights_folder, tmp_path):
    folder, state = weights_folder
    Hub.content = (folder / f"{SMALL}.mine.safetensors").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = ("from lesionkit.learning.networks import build; model, used = build('test_resnet', 64, 'imagenet'); "
            "print(used, float(model.state_dict()['conv1.0.weight'].sum() if 'conv1.0.weight' in model.state_dict() "
            "else next(iter(model.state_dict().values())).sum()))")  # fmt: skip
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "hub"),
                   "HF_HUB_DISABLE_XET": "1", "no_proxy": "127.0.0.1"}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    server.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    used, total = done.stdout.split()
    first = state["conv1.0.weight"] if "conv1.0.weight" in state else next(iter(state.values()))
    assert used == "imagenet" and float(total) == pytest.approx(float(first.sum()), rel=1e-5)

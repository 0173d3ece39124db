import pytest
import timm
import torch
from support.synthetic import ENTRY, SETTINGS
from torch import nn

from pipeline.config.settings import load_config
from planets.config import ConfigError
from planets.training.model import (
    build_model,
    create,
    head_keys,
    pretrained_statistics,
    require_trainable,
)
from planets.training.optim import make_optimizer

ARCHITECTURES = ["test_resnet", "resnet10t", "mobilenetv3_small_050", "test_convnext", "test_efficientnet"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_learns_and_the_head_has_a_logit_for_each_label(architecture: str) -> None:
    """The head is where the architecture keeps it; a head put on some other attribute never learns."""
    torch.manual_seed(0)
    network = build_model(ENTRY.model_copy(update={"architecture": architecture}), 17)
    before = {key: value.clone() for key, value in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    logits = network(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 17)
    logits.square().mean().backward()
    optimizer.step()
    assert head_keys(network)
    for key in head_keys(network):
        assert not torch.equal(before[key], network.get_parameter(key)), key
    assert all(value.requires_grad for value in network.parameters())
    moved = [key for key, value in network.named_parameters() if not torch.equal(before[key], value)]
    assert len(moved) > len(before) / 2


def test_transformers_are_told_the_size() -> None:
    network = create("test_vit", 17, image_size=64)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 17)


def test_drop_rates_reach_the_network() -> None:
    network = build_model(ENTRY, 17, drop_rate=0.4, drop_path=0.3)
    assert network.drop_rate == 0.4
    assert max(getattr(module, "drop_prob", 0) or 0 for module in network.modules()) == pytest.approx(0.3)


def test_stochastic_depth_where_there_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"vgg11 takes no drop_path_rate"):
        build_model(ENTRY.model_copy(update={"architecture": "vgg11"}), 17, drop_path=0.3)


MODELS = {
    entry.name: (config, entry) for config in map(load_config, ("full", "sample")) for entry in config.models
}
LARGE = [name for name in MODELS if name.startswith("dinov3_satellite")]


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LARGE])
def test_every_listed_model_has_a_head_that_learns(name: str) -> None:
    """Without its weights; `require_trainable` covers the size of the images that it is trained on."""
    config, entry = MODELS[name]
    settings = config.training_of(name)
    plain = entry.model_copy(update={"pretrained": False})
    network = build_model(plain, 17, 64, settings.drop_rate, settings.drop_path)
    optimizer = make_optimizer(network, settings)
    before = {key: network.get_parameter(key).clone() for key in head_keys(network)}
    logits = network(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 17)
    logits.square().mean().backward()
    optimizer.step()
    for key, value in before.items():
        assert not torch.equal(network.get_parameter(key), value), key


@pytest.mark.parametrize("name", LARGE)
def test_the_large_models_build_and_step_without_memory_for_them(name: str) -> None:
    config, entry = MODELS[name]
    settings = config.training_of(name)
    plain = entry.model_copy(update={"pretrained": False})
    with torch.device("meta"):
        network = build_model(plain, 17, settings.image_size, settings.drop_rate, settings.drop_path)
        optimizer = make_optimizer(network, settings)
        logits = network(torch.empty(2, 3, settings.image_size, settings.image_size))
        logits.square().mean().backward()
    assert logits.shape == (2, 17)
    assert sum(value.numel() for value in network.parameters()) > 300e6
    assert all(value.grad is not None for value in network.parameters())
    rates = {group["lr"] for group in optimizer.param_groups}
    is_probe = name.endswith("_probe")
    assert len(rates) == (1 if is_probe else 26)  # embeddings, 24 blocks, head
    assert max(rates) == settings.learning_rate
    assert (settings.freeze_epochs >= settings.epochs) is is_probe


def test_the_satellite_model_normalizes_as_it_was_pretrained() -> None:
    with torch.device("meta"):
        network = create(MODELS[LARGE[0]][1].architecture, 17, 256)
    assert pretrained_statistics(network) == ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143))


def test_the_license_of_the_weights_is_that_which_timm_names() -> None:
    for config, entry in MODELS.values():
        named = timm.get_pretrained_cfg(entry.architecture).license
        assert entry.license == (named if entry.pretrained else "none"), (config, entry.name)


def test_entries_fit_both_sizes_of_gpu() -> None:
    for memory in (16, 80):
        config = load_config("full", [("gpu_memory", str(memory))])
        sizes = {entry.name: config.training_of(entry.name).batch_size for entry in config.models}
        assert sizes["resnet50"] == {16: 96, 80: 384}[memory]


class TestNames:
    def test_unknown_architecture(self) -> None:
        with pytest.raises(ConfigError, match=r"no architecture 'resnet81'.*resnet18"):
            build_model(ENTRY.model_copy(update={"architecture": "resnet81"}), 17)

    def test_unknown_weights_of_a_known_one(self) -> None:
        with pytest.raises(ConfigError, match=r"no weights 'a9_in1k' of resnet18.*resnet18\.a1_in1k"):
            build_model(ENTRY.model_copy(update={"architecture": "resnet18.a9_in1k"}), 17)


class TestPretrained:
    def test_statistics_are_those_of_the_pretraining(self) -> None:
        mean, std = pretrained_statistics(create("resnet10t", 17))
        assert mean == (0.485, 0.456, 0.406)
        assert std == (0.229, 0.224, 0.225)


def test_networks_that_suit_their_settings_are_accepted() -> None:
    for profile in ("full", "sample"):
        config = load_config(profile, [])
        for entry in config.models:
            require_trainable(entry, config.training_of(entry.name), 17)


def test_a_network_that_the_meta_device_cannot_run_is_tried_on_the_cpu(monkeypatch) -> None:
    def build(*_arguments, **_rates) -> nn.Module:
        assert torch.get_default_device().type != "meta", "no data"
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(17))

    monkeypatch.setattr("planets.training.model.create", build)
    require_trainable(ENTRY, SETTINGS, 17)


MISFITS = {
    "a transformer of a fixed size, progressive": (
        ("vit_tiny_patch16_224", {"image_size": 64, "progressive": 0.5, "epochs": 4}),
        r"16_224 cannot train on images of 48 x 48 pixels .*image_size \(64\): set progressive to 0",
    ),
    "a transformer of a fixed size, cropped": (
        ("vit_tiny_patch16_224", {"image_size": 64, "crop": 0.25}),
        r"images of 48 x 48 pixels .*: set crop to 0",
    ),
    "patches that do not divide the side": (
        ("xcit_nano_12_p16_224", {"image_size": 100}),
        r"xcit_nano_12_p16_224 cannot train with image_size 100: `patch_size` should divide",
    ),
    "windows that do not divide the side": (
        ("coatnet_0_rw_224", {"image_size": 100}),
        r"images of 100 x 100 pixels .*; set another image_size, architecture or batch_size",
    ),
    "an image that vanishes": (("inception_v3", {"image_size": 32}), r"images of 32 x 32 pixels"),
    "no stochastic depth": (("vgg11", {"drop_path": 0.3}), r"vgg11 takes no drop_path_rate"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_settings_that_are_wrong_only_together_are_refused(case: str) -> None:
    (architecture, changes), message = MISFITS[case]
    entry = ENTRY.model_copy(update={"architecture": architecture})
    with pytest.raises(ConfigError, match=message):
        require_trainable(entry, SETTINGS.model_copy(update=changes), 17)

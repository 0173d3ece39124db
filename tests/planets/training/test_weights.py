import hashlib
import json
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from support.synthetic import ENTRY, SETTINGS, make_labels, make_parts, make_store
from torch import nn

from planets.config import ConfigError
from planets.config.training import ModelEntry
from planets.synthetic.labels import LABELS
from planets.training.model import build_model, create, head_keys, pretrained_statistics
from planets.training.trained_model import TrainedModel
from planets.training.trainer import fit
from planets.training.weights import WeightsError, sha256_of

SATELLITE = {"mean": [0.43, 0.411, 0.296], "std": [0.213, 0.156, 0.143]}
OF_TIMM = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OTHER = "0" * 64


@pytest.fixture
def trained() -> nn.Module:
    torch.manual_seed(5)
    return create("test_resnet", 1000)


@pytest.fixture
def file(tmp_path: Path, trained: nn.Module) -> Path:
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def entry(weights: Path | str, **fields: str) -> ModelEntry:
    return ModelEntry.model_validate(
        ENTRY.model_dump() | {"weights": str(weights), "pretrained": True} | fields
    )


def build(weights: Path | str, **fields: str) -> nn.Module:
    torch.manual_seed(6)
    return build_model(entry(weights, **fields), 17)


def check(network: nn.Module, trained: nn.Module) -> None:
    own, theirs, head = network.state_dict(), trained.state_dict(), head_keys(network)
    assert all(torch.equal(own[key], theirs[key]) for key in own if key not in head)
    assert all(own[key].shape[0] == 17 for key in head)


class TestSource:
    @pytest.mark.parametrize(
        ("weights", "kind"),
        [
            ("", "hub"),
            ("a1_in1k", "hub"),
            ("0123456789abcdef" * 2, "model"),
            ("/folder/a1_in1k", "path"),
            ("folder.d", "path"),
            ("./folder", "path"),
            ("https://example.com/model.safetensors", "address"),
            ("s3://bucket/model.pth", "address"),
        ],
    )
    def test_is_known_by_its_form(self, weights: str, kind: str) -> None:
        assert entry(weights, weights_sha256=OTHER).weights_kind == kind

    def test_is_none_from_scratch(self) -> None:
        assert ENTRY.weights_kind == "none"

    def test_a_tag_replaces_that_of_the_architecture(self) -> None:
        tagged = entry("fb_ssl_yfcc100m_ft_in1k", architecture="resnet18.a1_in1k")
        assert tagged.timm_name == "resnet18.fb_ssl_yfcc100m_ft_in1k"
        with pytest.raises(ConfigError, match=r"no weights 'a9' of resnet18"):
            build_model(entry("a9", architecture="resnet18"), 17)

    def test_an_address_needs_a_digest(self) -> None:
        with pytest.raises(ValidationError, match=r"https://x/y\.pth needs `weights_sha256`"):
            entry("https://x/y.pth")


class TestFile:
    def test_safetensors(self, file: Path, trained: nn.Module) -> None:
        check(build(file), trained)

    def test_torch(self, tmp_path: Path, trained: nn.Module) -> None:
        torch.save({"state_dict": trained.state_dict()}, tmp_path / "weights.pth")
        check(build(tmp_path / "weights.pth"), trained)

    def test_the_format_is_known_by_the_content(self, file: Path, trained: nn.Module) -> None:
        """Downloads are named for all of their address."""
        check(build(file.rename(file.with_name("1f.model.safetensors?download=true"))), trained)

    def test_a_head_of_the_same_size_is_taken_too(self, tmp_path: Path) -> None:
        torch.manual_seed(7)
        trained = create("test_resnet", 17)
        save_file(trained.state_dict(), tmp_path / "weights.safetensors")
        network = build(tmp_path / "weights.safetensors")
        assert all(
            torch.equal(value, trained.state_dict()[key]) for key, value in network.state_dict().items()
        )

    def test_without_a_head(self, tmp_path: Path, trained: nn.Module) -> None:
        body = {key: value for key, value in trained.state_dict().items() if key not in head_keys(trained)}
        save_file(body, tmp_path / "weights.safetensors")
        check(build(tmp_path / "weights.safetensors"), trained)

    def test_positions_of_another_image_size_are_resampled(self, tmp_path: Path) -> None:
        save_file(create("test_vit", 1000, image_size=160).state_dict(), tmp_path / "weights.safetensors")
        network = build_model(entry(tmp_path / "weights.safetensors", architecture="test_vit"), 17, 64)
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 17)

    def test_the_file_that_meta_publishes_is_converted(self, tmp_path: Path) -> None:
        """It names some tensors otherwise than timm, and holds some that only the pretraining needs."""
        dinov3 = "vit_small_patch16_dinov3"
        network = create(dinov3, 0)
        names = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
        state = dict(network.state_dict())
        for key in list(state):
            for ours, theirs in names.items():
                if ours in key:
                    state[key.replace(ours, theirs)] = state.pop(key)
        state |= {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}
        torch.save(state, tmp_path / "dinov3_vits16_pretrain.pth")
        built = build(tmp_path / "dinov3_vits16_pretrain.pth", architecture=dinov3).state_dict()
        assert all(torch.equal(built[key], value) for key, value in network.state_dict().items())

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"this machine \(.*\) has no file .*nowhere\.pth; copy it"):
            build(tmp_path / "nowhere.pth")

    @pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
    @pytest.mark.parametrize("data", [b"", b"abc", b"\x80\x02}q", b"<html>404</html>", b"12345678{"])
    def test_broken(self, tmp_path: Path, name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match="is no file of weights"):
            build(tmp_path / name)

    def test_code_in_a_file_is_not_run(self, tmp_path: Path) -> None:
        torch.save({"state_dict": Path("x")}, tmp_path / "weights.pth")
        with pytest.raises(WeightsError, match=r"is no file of weights.*weights_only"):
            build(tmp_path / "weights.pth")

    @pytest.mark.parametrize("architecture", ["test_efficientnet", "test_vit", "test_convnext"])
    def test_of_another_network(self, architecture: str, file: Path) -> None:
        with pytest.raises(WeightsError, match=f"is not of {architecture}: "):
            build(file, architecture=architecture)

    def test_one_tensor_short(self, tmp_path: Path, trained: nn.Module) -> None:
        state = trained.state_dict()
        state.pop(next(iter(state)))
        save_file(state, tmp_path / "weights.safetensors")
        with pytest.raises(WeightsError, match=r"1 of its .*missing.*conv1"):
            build(tmp_path / "weights.safetensors")


class TestFolder:
    def test_is_searched_for_the_name_of_the_architecture(self, file: Path, trained: nn.Module) -> None:
        file.rename(file.with_name("test_resnet.safetensors"))
        check(build(file.parent), trained)

    def test_without_it(self, file: Path) -> None:
        """A file of any other name may be of another architecture."""
        with pytest.raises(WeightsError, match=r"has none of test_resnet\.safetensors"):
            build(file.parent)

    @pytest.mark.parametrize("name", ["model.safetensors", "open_clip_model.safetensors"])
    def test_of_hugging_face(self, name: str, file: Path, trained: nn.Module) -> None:
        file.rename(file.with_name(name))
        describe(file.parent, {"architecture": "test_resnet", "pretrained_cfg": SATELLITE})
        network = build(file.parent)
        check(network, trained)
        assert pretrained_statistics(network) == (tuple(SATELLITE["mean"]), tuple(SATELLITE["std"]))


def describe(folder: Path, config: object) -> None:
    (folder / "config.json").write_text(json.dumps(config))


class TestNormalization:
    def test_is_that_of_the_architecture_where_none_is_stated(self, file: Path) -> None:
        assert pretrained_statistics(build(file)) == OF_TIMM
        describe(file.parent, {"architectures": ["ResNetForImageClassification"]})
        assert pretrained_statistics(build(file)) == OF_TIMM

    def test_reaches_the_trained_model_and_what_is_trained_from_it(self, file: Path, tmp_path: Path) -> None:
        describe(file.parent, {"architecture": "test_resnet", "pretrained_cfg": SATELLITE})
        labels = make_labels(40)
        made = fit(
            entry(file.parent),
            SETTINGS.model_copy(update={"epochs": 1}),
            make_store(labels),
            labels,
            LABELS,
            make_parts(40),
            tmp_path / "work",
        )
        (tmp_path / "ours").mkdir()
        made.save(tmp_path / "ours" / "model.safetensors")
        again = build(tmp_path / "ours" / "model.safetensors")
        for mean, std in ((made.mean, made.std), pretrained_statistics(again)):
            assert (mean, std) == (tuple(SATELLITE["mean"]), tuple(SATELLITE["std"]))
        assert TrainedModel.load(tmp_path / "ours" / "model.safetensors").mean == made.mean

    @pytest.mark.parametrize(
        "config", [[], {"mean": [0.5, 0.5]}, {"pretrained_cfg": {"std": [0, 1, 1]}}, {"mean": "x"}]
    )
    def test_an_invalid_one_is_refused(self, config: object, file: Path) -> None:
        describe(file.parent, config)
        with pytest.raises(WeightsError, match=r"config\.json does not describe weights"):
            build(file)

    def test_of_another_architecture_is_refused(self, file: Path) -> None:
        describe(file.parent, {"architecture": "resnet18"})
        with pytest.raises(WeightsError, match=r"config\.json is of resnet18; set `architecture` to it"):
            build(file)


class TestDigest:
    def test_the_right_one(self, file: Path, trained: nn.Module) -> None:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert sha256_of(file) == digest
        check(build(file, weights_sha256=digest), trained)

    def test_another_one_is_refused(self, file: Path) -> None:
        message = f"{file} has the SHA-256 {sha256_of(file)}, not {OTHER} as `weights_sha256` says"
        with pytest.raises(WeightsError) as caught:
            build(file, weights_sha256=OTHER)
        assert message in str(caught.value)


class TestHub:
    NAME = "resnet18.a1_in1k"

    @pytest.fixture(autouse=True)
    def cached(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The hub's cache on this machine, and no network."""
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        return tmp_path / f"models--timm--{self.NAME}"

    def test_no_network(self) -> None:
        with pytest.raises(WeightsError, match=r"model tiny.*Connect.*`weights:`.*`pretrained: false`"):
            build("", architecture=self.NAME)

    def test_digest(self, cached: Path) -> None:
        trained = create("resnet18", 1000)
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("1" * 40)
        file = cached / "snapshots" / ("1" * 40) / "model.safetensors"
        file.parent.mkdir(parents=True)
        save_file(trained.state_dict(), file)
        check(build("a1_in1k", architecture="resnet18", weights_sha256=sha256_of(file)), trained)
        with pytest.raises(WeightsError, match=rf"timm/{self.NAME}/model\.safetensors has the SHA-256"):
            build("", architecture=self.NAME, weights_sha256=OTHER)

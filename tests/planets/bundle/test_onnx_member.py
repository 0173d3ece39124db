import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.bundles import PARTS, PLAIN, SIZES, WHOLE, make, network
from support.synthetic import make_labels, make_pixels
from torch import nn

from planets.bundle import BundleError
from planets.bundle.bundle import Bundle
from planets.bundle.onnx_member import OnnxMember, open_session, session_scores
from planets.bundle.torch_member import TOLERANCE, ExportError, export_onnx
from planets.config.project import EvaluationSettings
from planets.evaluation.inference import predict_scores
from planets.evaluation.scores import TTA_VIEWS, dihedral_view
from planets.training.augment import turn
from planets.training.model import create, restore

MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)
SAMPLE = ("test_resnet", "test_efficientnet", "mobilenetv3_small_050")


@pytest.mark.parametrize("element", range(TTA_VIEWS))
def test_views_match_torch(element: int) -> None:
    chips = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    by_torch = turn(torch.from_numpy(chips), torch.full((3,), element)).numpy()
    np.testing.assert_array_equal(dihedral_view(chips, element), by_torch)


@pytest.mark.parametrize("settings", [PLAIN, WHOLE], ids=["plain", "tta and all"])
@pytest.mark.parametrize("sizes", [{"tiny": 32}, SIZES], ids=["single", "ensemble"])
def test_agrees_with_torch_on_every_test_chip(
    sizes: dict[str, int],
    settings: EvaluationSettings,
    files: list[tuple[str, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if len(sizes) > 1:
        monkeypatch.setattr(
            "planets.evaluation.evaluation.ensemble_weights", lambda targets, scores: (0.35, 0.65)
        )
    made, found, _ = make(files, sizes, settings)
    made.save(tmp_path)
    paths = [files[row][1] for row in np.flatnonzero(PARTS == "test")]
    probabilities, tags = Bundle.load(tmp_path, OnnxMember.load).predict(paths)
    assert np.ptp(found.test.scores) > 0.5
    assert np.abs(probabilities - found.test.scores).max() < TOLERANCE
    assert tags == Bundle.load(tmp_path).predict(paths)[1]


@pytest.mark.parametrize("architecture", SAMPLE)
def test_the_networks_of_the_sample_export_with_any_number_of_chips(architecture: str) -> None:
    fitted = network(0, 32, architecture)
    made = restore(architecture, 17, 32, fitted.weights)
    pixels = make_pixels(make_labels(9))
    session = open_session(export_onnx(made, MEAN, STD, pixels[:2]))
    for count in (1, 9):
        by_torch = predict_scores(made, pixels[:count], MEAN, STD, batch_size=4)
        by_onnx = session_scores(session, pixels[:count], tta=False, batch_size=4)
        assert by_onnx.dtype == np.float32
        assert np.abs(by_onnx - by_torch).max() < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["vit_small_plus_patch16_dinov3", "convnext_tiny", "convnext_small"])
def test_the_architectures_of_dinov3_export(architecture: str) -> None:
    export_onnx(create(architecture, 17, 64), MEAN, STD, make_pixels(make_labels(2), 64))


def test_a_graph_holds_no_trace_of_the_machine_that_exported_it() -> None:
    fitted = network(0, 32)
    made = restore("test_resnet", 17, 32, fitted.weights)
    graph = export_onnx(made, MEAN, STD, make_pixels(make_labels(4)))
    for trace in (b"stack_trace", b".py", str(Path(__file__).parents[3]).encode()):
        assert trace not in graph


def test_scores_do_not_depend_on_the_place_in_the_batches(bundle_folder: Path) -> None:
    member = Bundle.load(bundle_folder, OnnxMember.load).members[0]
    pixels = make_pixels(make_labels(40))
    order = np.random.default_rng(0).permutation(40)
    straight = member.scores(pixels, tta=True, batch_size=16)
    np.testing.assert_array_equal(member.scores(pixels[order], tta=True, batch_size=16), straight[order])


def test_no_chips(bundle_folder: Path) -> None:
    with pytest.raises(ValueError, match="no chips"):
        Bundle.load(bundle_folder, OnnxMember.load).members[0].scores(make_pixels(make_labels(0)), False, 4)


def test_a_bundle_of_its_networks_holds_the_same_files(bundle_folder: Path, tmp_path: Path) -> None:
    """So an ensemble is put together without torch."""
    Bundle.load(bundle_folder, OnnxMember.load).save(tmp_path / "copy")
    for file in filter(Path.is_file, bundle_folder.rglob("*")):
        assert (tmp_path / "copy" / file.relative_to(bundle_folder)).read_bytes() == file.read_bytes()


WITHOUT = """
import json, sys, pathlib
from planets.bundle.bundle import Bundle
from planets.bundle.onnx_member import OnnxMember
bundle = Bundle.load(pathlib.Path(sys.argv[1]), OnnxMember.load)
tags = bundle.predict([pathlib.Path(sys.argv[2])])[1]
heavy = ("torch", "timm", "lightning", "safetensors", "sklearn", "scipy", "matplotlib", "filelock")
print(json.dumps([tags, [name for name in heavy if name in sys.modules]]))
"""


def test_needs_no_torch(bundle_folder: Path, files: list[tuple[str, Path]]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT, bundle_folder, files[0][1]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [Bundle.load(bundle_folder).predict([files[0][1]])[1], []]
    assert done.stderr == ""


class _Stubborn(nn.Module):
    """Scores another way when it is exported."""

    def __init__(self, difference: float) -> None:
        super().__init__()
        self.difference = difference

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        sums = images.mean(dim=(1, 2, 3))[:, None].expand(-1, 17)
        return sums + self.difference if torch.compiler.is_exporting() else sums


class _Shapely(nn.Module):
    """Asks for a value that an export does not know."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) if images.sum() > 0 else images.amax(dim=(2, 3))


def test_a_difference_of_rounding_is_accepted() -> None:
    """Probabilities of a deep network differ by 1e-5, because each runtime adds in its own order."""
    export_onnx(_Stubborn(0.0001), MEAN, STD, make_pixels(make_labels(4)))


class TestRefuses:
    def test_a_graph_that_disagrees(self) -> None:
        with pytest.raises(ExportError, match=r"_Stubborn: probabilities by ONNX Runtime differ .* by \d"):
            export_onnx(_Stubborn(0.001), MEAN, STD, make_pixels(make_labels(4)))

    def test_a_network_that_cannot_be_exported(self) -> None:
        with pytest.raises(ExportError, match="_Shapely cannot be exported to ONNX"):
            export_onnx(_Shapely(), MEAN, STD, make_pixels(make_labels(4)))

    def test_a_graph_of_another_bundle(self, bundle_folder: Path, tmp_path: Path) -> None:
        Bundle.load(bundle_folder).save(tmp_path)
        (tmp_path / "members" / "tiny.onnx").write_bytes(b"other")
        with pytest.raises(BundleError, match=r"tiny\.onnx is not the file"):
            Bundle.load(tmp_path, OnnxMember.load)

    @pytest.mark.parametrize("graph", [b"", b"no graph at all"])
    def test_bytes_that_are_not_a_graph(self, graph: bytes) -> None:
        with pytest.raises(BundleError, match="cannot open the graph"):
            open_session(graph)

    def test_a_graph_with_other_outputs(self, bundle_folder: Path) -> None:
        info = Bundle.load(bundle_folder).members[0].info
        with pytest.raises(BundleError, match="returns 17 scores, not 16"):
            OnnxMember.load(bundle_folder, info, 16)

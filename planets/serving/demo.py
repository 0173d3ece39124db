"""A page to try the model in: drop pictures, read their tags. It needs gradio, and opens on loopback only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from planets.archive.layout import SUFFIXES
from planets.chips import ArchiveError
from planets.serving import PredictionError
from planets.serving.predictor import Prediction, Predictor

HEADERS = ("picture", "label", "probability", "threshold", "predicted")


def rows(predictions: Sequence[Prediction], thresholds: Sequence[float]) -> list[list[Any]]:
    """Return a row of `HEADERS` for each picture and label, the most probable labels first.

    The thresholds are those of the bundle, in the order of its labels.
    """
    table = []
    for name, tags, probabilities in predictions:
        limits = dict(zip(probabilities, thresholds, strict=True))
        for label, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
            predicted = "yes" if label in tags else ""
            table.append([Path(name).name, label, f"{probability:.3f}", f"{limits[label]:.3f}", predicted])
    return table


def serve(folder: Path, port: int | None, announce: Callable[[str], object]) -> None:
    """Serve the page of a bundle until Ctrl-C.

    Args:
        folder: the bundle's folder.
        port: of the page; None for the first free one from 7860.
        announce: gets the address of the page when it is open.

    Raises:
        BundleError: the bundle is missing, incomplete or damaged.
        PredictionError: the port is taken.
    """
    predictor = Predictor(folder)
    with tempfile.TemporaryDirectory(prefix="planets-demo-") as uploads:
        # gradio reads both when it is imported.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": uploads}
        page = _page(predictor)
        try:
            _, address, _ = page.launch(
                server_name="127.0.0.1",
                server_port=port,
                share=False,
                ssr_mode=False,
                run_history=False,
                footer_links=[],
                max_file_size="20mb",
                prevent_thread_lock=True,
                quiet=True,
            )
        except OSError as error:
            taken = f"port {port} is taken" if port else "the ports from 7860 are taken"
            raise PredictionError(f"{taken}; name another one with --port") from error
        announce(address)
        page.block_thread()


def _page(predictor: Predictor) -> Any:
    import gradio

    info = predictor.bundle.info

    def predict(files: list[str] | None) -> tuple[list[tuple[str, str]], list[list[Any]]]:
        try:
            predictions = predictor.predict(files or [])
        except ArchiveError as error:
            raise gradio.Error(str(error)) from error
        captions = [(each.name, ", ".join(each.tags) or "no tag") for each in predictions]
        return captions, rows(predictions, info.decision.thresholds)

    with gradio.Blocks(title=f"planets: {info.name}", analytics_enabled=False) as page:
        scores = f"test F2 {info.scores['test_f2']:.4f}"
        gradio.Markdown(f"# {info.name}\n\nTags {info.label_set.card.subject}; {scores}.")
        files = gradio.File(label="JPEG files", file_count="multiple", file_types=list(SUFFIXES))
        gallery = gradio.Gallery(label="Tags", columns=4, height="max-content", object_fit="contain")
        table = gradio.Dataframe(label="Labels", headers=list(HEADERS), interactive=False)
        files.change(predict, files, [gallery, table], api_name="predict")
    return page

"""Chips per second of a training on a GPU, against the same network on one synthetic batch that lies there.

    python benchmarks/accelerator.py [--size 224] [--batch 256] [--architectures resnet18 convnext_tiny]

Interleaved, medians; bf16 where the GPU has it. What is left of the ratio is the share of the time that is
spent on data. `--device cpu` runs the same code without a GPU.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.config.settings import load_config
from planets.chips.store import ChipStore
from planets.config.training import ModelEntry
from planets.synthetic.labels import LABELS
from planets.training.datamodule import ChipsDataModule
from planets.training.model import build_model

CHIPS, ROUNDS = 4096, 7
MEAN, STD = (0.3, 0.35, 0.4), (0.1, 0.15, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--architectures", nargs="+", default=["resnet18", "resnet50", "convnext_tiny"])
    asked = parser.parse_args()
    device = torch.device(asked.device, 0) if asked.device == "cuda" else torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {asked.size} px, batches of {asked.batch}")
    with tempfile.TemporaryDirectory() as folder:
        for architecture in asked.architectures:
            for resident in (True, False) if device.type == "cuda" else (False,):
                data = data_of(Path(folder), asked.size, asked.batch, device, resident)
                measure(architecture, data, device, asked.batches)


def data_of(folder: Path, size: int, batch: int, device: torch.device, resident: bool) -> ChipsDataModule:
    """Chips of noise: pixels cost the same whatever they show."""
    file = folder / f"{size}.npy"
    if not file.exists():
        noise = np.random.default_rng(0).integers(0, 256, (CHIPS, size, size, 3), dtype=np.uint8)
        np.save(file, noise)
    store = ChipStore(tuple(map(str, range(CHIPS))), np.load(file, mmap_mode="r"))
    labels = np.random.default_rng(0).integers(0, 2, (CHIPS, len(LABELS)), dtype=np.uint8)
    parts = np.array(["train"] * (CHIPS - 1) + ["valid"])
    changes = {"image_size": size, "batch_size": batch}
    settings = load_config("sample", []).training.model_copy(update=changes)
    data = ChipsDataModule(store, labels, parts, settings, MEAN, STD, device)
    if not resident:
        data.resident = None
    return data


def measure(architecture: str, data: ChipsDataModule, device: torch.device, batches: int) -> None:
    size, batch = data.settings.image_size, data.settings.batch_size
    entry = ModelEntry(name="x", architecture=architecture, pretrained=False, license="none")
    network = build_model(entry, len(LABELS), size).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    half = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    one = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)

    def step(images: Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(images)
        loss = binary_cross_entropy_with_logits(logits.float(), torch.zeros_like(logits, dtype=torch.float32))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def real(epoch: int) -> None:
        for drawn in islice(data.train_batches(epoch), batches):
            moved = data.transfer_batch_to_device(drawn, device, 0)
            step(data.on_after_batch_transfer(moved)[0])

    def repeated(_: int) -> None:
        for _ in range(batches):
            step(one)

    times: dict[str, list[float]] = {"real": [], "synthetic": []}
    for epoch in range(ROUNDS + 1):
        for name, work in (("real", real), ("synthetic", repeated)):
            spent = seconds(work, epoch, device)
            if epoch:
                times[name].append(spent)
    medians = {name: statistics.median(each) for name, each in times.items()}
    rates = {name: batches * batch / each for name, each in medians.items()}
    waiting = max(0.0, 1 - medians["synthetic"] / medians["real"])
    where = "chips on the GPU" if data.resident is not None else "chips on the host"
    print(
        f"{architecture:16} {where:18} {rates['real']:8.0f} chips/s, synthetic {rates['synthetic']:8.0f}, "
        f"waiting for data {waiting:.1%}",
        flush=True,
    )


def seconds(work: Callable[[int], None], epoch: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work(epoch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

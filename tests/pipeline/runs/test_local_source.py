"""A folder of the user's own: in the real layout with all its faults, or with labels of its own."""

import csv
import hashlib
import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image
from support.archives import draw_shapes

from planets.synthetic.labels import LABELS

pytestmark = pytest.mark.slow

SETS = [
    "clear primary",
    "partly_cloudy primary water",
    "cloudy",
    "haze primary agriculture road",
    "clear primary agriculture cultivation habitation road",
    "clear agriculture agriculture primary",  # a tag is repeated
]
MODES = ["CMYK", "CMYK", "RGB", "L"]


def picture(path, number, size=256):
    """A JPEG of a color that depends on the number, in one of the forms that occur."""
    random = np.random.default_rng(number)
    pixels = random.integers(0, 40, (size, size, 3)) + random.integers(20, 180, 3)
    image = Image.fromarray(pixels.astype(np.uint8))
    mode = MODES[number % len(MODES)]
    if mode == "CMYK":
        inverted = 255 - np.asarray(image)
        black = np.zeros((size, size, 1), np.uint8)
        image = Image.fromarray(np.concatenate([inverted, black], axis=2), mode="CMYK")
    image.convert(mode).save(path, quality=80)


@pytest.fixture(scope="module")
def checkout(trained):
    return trained


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """120 chips as Kaggle's archive unpacks, a few of them faulty."""
    root = tmp_path_factory.mktemp("user") / "kaggle"
    base = root / "planet" / "planet"
    chips = base / "train-jpg"
    chips.mkdir(parents=True)
    lines = ["image_name,tags"]
    for number in range(120):
        name = f"train_{number}"
        picture(chips / f"{name}.jpg", number, size=128 if number == 5 else 256)
        lines.append(f"{name},{'water' if number == 7 else SETS[number % len(SETS)]}")
    (base / "train_classes.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    whole = (chips / "train_11.jpg").read_bytes()
    (chips / "train_11.jpg").write_bytes(whole[: len(whole) // 2])
    (chips / "train_12.jpg").unlink()
    (chips / "Thumbs.db").write_bytes(b"stray")
    (root / "test-jpg-additional").mkdir()
    return root


def snapshot(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
        )
        for file in files
    }


def run(checkout, archive, *words, code=0):
    local = {"DATASET_SOURCE": "local", "DATASET_PATH": str(archive)}
    return checkout("run", "--models", "0", *words, environment=local, code=code)


def test_a_real_folder_with_its_faults_is_accepted_reported_and_left_alone(checkout, archive):
    before = snapshot(archive)
    run(checkout, archive, "--set", "dataset.max_bad_fraction=0.05")
    assert checkout.report()["status"] == "completed"
    audit = audited(checkout)
    assert audit["chips"] == 118
    assert "train_12" in json.dumps(audit["missing"])
    assert "train_11" in json.dumps(audit["unreadable"])
    assert "Thumbs.db" in json.dumps(audit["stray"])
    assert set(audit["modes"]) == {"CMYK", "RGB", "L"}
    assert audit["sizes"] == {"256x256": 117, "128x128": 1}
    assert "train_7" in json.dumps(audit["without_weather"])
    assert snapshot(archive) == before


AUDIT = """
import json, pathlib, sys
from clearml import Task
file = Task.get_task(task_id=sys.argv[1]).artifacts["audit"].get_local_copy()
print(json.dumps(json.loads(pathlib.Path(file).read_text())))
"""


def audited(checkout):
    """The audit that the ingest of the last run uploaded, read as any ClearML program would."""
    ingest = next(step for step in checkout.report()["steps"] if step["name"] == "ingest")
    return checkout.python(AUDIT, ingest["task_id"])


def test_more_bad_chips_than_allowed_stop_the_run(checkout, archive):
    printed = run(checkout, archive, code=1)
    assert checkout.states()["ingest"] == "failed"
    assert "train_12" in printed
    assert "max_bad_fraction" in printed


def test_a_folder_that_is_not_there_stops_at_once(checkout, tmp_path):
    printed = run(checkout, tmp_path / "none", code=1)
    assert printed.startswith("error: dataset.path: no folder")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image_name,tags\ntrain_0,clear primary\ntrain_1,clear forrest\n", ["line 3", "forrest"]),
        ("image_name,labels\ntrain_0,clear\n", ["tags", "labels"]),
        ("", ["train_classes.csv"]),
    ],
    ids=["unknown tag", "missing column", "empty"],
)
def test_a_faulty_table_stops_at_once_with_file_line_and_value(checkout, tmp_path, text, said):
    (tmp_path / "train-jpg").mkdir()
    (tmp_path / "train_classes.csv").write_text(text)
    printed = run(checkout, tmp_path, code=1)
    assert printed.startswith("error:")
    for words in [str(tmp_path / "train_classes.csv"), *said]:
        assert words in printed


SHAPES = {
    "labels": ["circle", "square", "red", "blue", "blank"],
    "titles": {"blank": "nothing at all"},
    "groups": [
        {"name": "shape", "labels": ["circle", "square", "blank"], "alone": ["blank"]},
    ],
    "card": {"subject": "drawings of shapes", "metres_per_pixel": 0.5},
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """300 drawings with five labels, and the file of their label set beside them."""
    root = draw_shapes(tmp_path_factory.mktemp("user") / "shapes", 300)
    (root / "shapes.yaml").write_text(yaml.safe_dump(SHAPES))
    return root


SHOWN = """
import json, sys
from clearml import Task
tasks = [Task.get_task(task_id=task_id) for task_id in sys.argv[1:]]
print(json.dumps([
    [task.name, task.get_parameters(), task.get_last_scalar_metrics(), task.get_reported_plots(),
     task.get_reported_single_values(), task.get_reported_console_output(1000),
     {name: artifact.get() for name, artifact in task.artifacts.items() if name in ("audit", "per_label")}]
    for task in tasks
], default=str))
"""


def test_labels_of_the_users_own_are_trained_and_shown_by_settings_alone(checkout, shapes, tmp_path):
    sets = [f"dataset.labels={shapes / 'shapes.yaml'}", "clearml.dataset=shapes", "training.epochs=2"]
    printed = run(checkout, shapes, *(word for pair in sets for word in ("--set", pair)))
    best = checkout.output / "best"
    info = json.loads((best / "bundle.json").read_text())
    assert info["label_set"]["labels"] == SHAPES["labels"]
    metrics = json.loads((best / "metrics.json").read_text())
    assert [*metrics["test"]["per_label"]] == SHAPES["labels"]
    card = (best / "README.md").read_text()
    for text in (
        "that tags drawings of shapes with 5 labels",
        "at 0.5 m a pixel",
        "| nothing at all (`blank`) |",
        "- shape rule (exactly one of circle, square, nothing at all; nothing at all alone): ",
    ):
        assert text in card

    table = tmp_path / "predictions.csv"
    printed += checkout("predict", str(shapes / "train-jpg"), "--out", str(table))
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["image_name", "tags", *SHAPES["labels"]]
    assert len(rows) == 300
    assert {tag for row in rows for tag in row["tags"].split()} <= {*SHAPES["labels"]}

    ids = [step["task_id"] for step in checkout.report()["steps"]]
    shown = json.dumps(checkout.python(SHOWN, *ids))
    assert "blank" in shown
    # The first table tells what changed since the run before, which had other labels.
    printed = re.sub("┏.*?┘", "", printed, count=1, flags=re.DOTALL)
    texts = {"card": card, "bundle": json.dumps(info), "metrics": json.dumps(metrics), "terminal": printed}
    for place, text in {**texts, "tasks": shown}.items():
        for label in (*LABELS, "Amazon"):
            assert not re.search(rf"\b{label}\b", text, re.IGNORECASE), f"{label} in {place}"

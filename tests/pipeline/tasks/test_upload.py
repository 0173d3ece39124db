"""The dataset goes into ClearML without a pipeline, once per content; a pipeline then finds it there."""

import os
import re
import signal

import pytest
from support.kaggle_standin import HOSTS, KEY, USER, kaggle_on_loopback, zipped

from planets.synthetic.sample import make_sample

pytestmark = pytest.mark.slow

CHIPS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of the user's own."""
    return make_sample(tmp_path_factory.mktemp("user") / "planet", CHIPS, seed=1, size=32, workers=1)


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory, checkout):
    """The stand-in with other chips, and the keys to it in `.env.local`."""
    home = tmp_path_factory.mktemp("kaggle")
    chips = make_sample(home / "chips", CHIPS, seed=2, size=32, workers=1)
    with kaggle_on_loopback(home) as (kaggle, environment):
        files = {
            str(file.relative_to(chips)): file.read_bytes() for file in chips.rglob("*") if file.is_file()
        }
        kaggle.content = zipped({f"planet/planet/{name}": data for name, data in files.items()})
        kaggle.datasets = ("nikitarom/planets-dataset",)
        (checkout.folder / ".env.local").write_text(f"KAGGLE_USERNAME={USER}\nKAGGLE_KEY={KEY}\n")
        yield kaggle, environment | {"DATASET_SOURCE": "kaggle"}


def local(folder):
    return {"DATASET_SOURCE": "local", "DATASET_PATH": str(folder)}


def upload(checkout, environment, *words, code=0):
    return checkout("upload", *words, environment=environment, code=code)


def dataset_of(printed):
    """The id in the link that an upload prints."""
    return re.search(r"^dataset http://\S+/datasets/simple/\w+/experiments/(\w+)$", printed, re.MULTILINE)[1]


TASKS = """
import json
from clearml import Task
fields = ["status", "type"]
tasks = Task.query_tasks(project_name="planets", task_name="^upload$", additional_return_fields=fields)
print(json.dumps([[str(each["type"]), str(each["status"])] for each in tasks]))
"""

VERSIONS = """
import json
from clearml import Dataset
found = Dataset.list_datasets(dataset_project="planets", only_completed=False)
kinds = lambda each: sorted(tag.partition(":")[0] for tag in each["tags"])
print(json.dumps({each["id"]: [str(each["status"]), each["version"], kinds(each)] for each in found}))
"""


@pytest.fixture(scope="module")
def first(checkout, folder):
    """The dataset that the first upload of the folder registers."""
    printed = upload(checkout, local(folder))
    assert f"{CHIPS} of {CHIPS} chips are good" in printed
    assert f"registered ({CHIPS} chips)" in printed
    assert [process.split()[0] for process in checkout("status", code=0).splitlines()][:1] == ["server"]
    return dataset_of(printed)


def test_an_upload_is_a_task_that_makes_a_version_of_the_dataset(checkout, first):
    assert checkout.python(TASKS) == [["data_processing", "completed"]]
    kinds = ["audited", "content", "origin", "source"]
    assert checkout.python(VERSIONS) == {first: ["completed", "1.0.0", kinds]}


def test_the_same_folder_again_is_known_and_no_picture_is_opened(checkout, folder, first):
    picture = folder / "train-jpg" / "train_0.jpg"
    before, content = picture.stat(), picture.read_bytes()
    picture.write_bytes(bytes(before.st_size))
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    printed = upload(checkout, local(folder))
    assert f"registered before from this source ({CHIPS} chips)" in printed
    assert dataset_of(printed) == first
    assert len(checkout.python(TASKS)) == 1
    printed = upload(checkout, local(folder), "--refresh", code=1)
    assert "1 unreadable: train_0" in printed
    assert sorted(status for _, status in checkout.python(TASKS)) == ["completed", "failed"]
    picture.write_bytes(content)


def test_the_same_content_elsewhere_is_no_second_version(checkout, folder, first):
    printed = upload(checkout, local(folder))  # the picture that was restored has another date
    assert f"its content was there already ({CHIPS} chips)" in printed
    assert dataset_of(printed) == first
    assert list(checkout.python(VERSIONS)) == [first]


@pytest.fixture(scope="module")
def downloaded(checkout, kaggle, first):
    _, environment = kaggle
    printed = upload(checkout, environment)
    assert "size, md5, crc32c verified" in printed
    assert f"registered ({CHIPS} chips)" in printed
    assert KEY not in printed
    return dataset_of(printed)


def test_kaggle_is_downloaded_once_and_then_only_asked_for_its_version(checkout, kaggle, first, downloaded):
    stand_in, environment = kaggle
    assert downloaded != first
    before = stand_in.downloads()
    printed = upload(checkout, environment)
    assert f"registered before from this source ({CHIPS} chips)" in printed
    assert dataset_of(printed) == downloaded
    assert stand_in.downloads() == before
    assert "GetDataset" in stand_in.asked[-1][1]


def test_a_pipeline_finds_the_uploaded_dataset_and_downloads_nothing(checkout, kaggle, downloaded):
    stand_in, environment = kaggle
    before = len(stand_in.asked)
    run = checkout.start("run", environment=environment)
    next(line for line in run.stdout if line.startswith("ingest ") and " completed " in line)
    run.send_signal(signal.SIGINT)  # what comes after does not matter here
    run.communicate(timeout=900)
    assert checkout.states()["ingest"] == "completed"
    ingest = next(step for step in checkout.report()["steps"] if step["name"] == "ingest")
    log, dataset_id = checkout.python(LOG, ingest["task_id"])
    assert f"dataset {downloaded} came from the same source" in log
    assert dataset_id == downloaded
    assert {host for host, _, _ in stand_in.asked[before:]} == {HOSTS[0]}


LOG = """
import json, sys
from clearml import Task
task = Task.get_task(task_id=sys.argv[1])
print(json.dumps(["".join(task.get_reported_console_output(100)), task.get_parameter("return/dataset_id")]))
"""


def test_wrong_keys_are_reported_and_leave_no_task(checkout, kaggle, downloaded):
    _, environment = kaggle
    before = checkout.python(TASKS)
    printed = upload(checkout, environment | {"KAGGLE_KEY": "wrong"}, code=1)
    assert "error: Kaggle answers 401 for 'nikitarom/planets-dataset'" in printed
    assert checkout.python(TASKS) == before


def test_a_missing_folder_is_reported(checkout, tmp_path):
    printed = upload(checkout, local(tmp_path / "none"), code=1)
    assert "error: dataset.path: no folder" in printed

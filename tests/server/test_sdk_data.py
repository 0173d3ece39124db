"""The SDK's datasets and its model registry, as its documentation describes them."""

import pytest
from support.embedded import Embedded, Sdk

pytestmark = pytest.mark.filterwarnings("default")

VERSIONS = """
import os, pathlib
from clearml import Dataset, Task

def write(folder, **files):
    pathlib.Path(folder).mkdir(exist_ok=True)
    for name, text in files.items():
        pathlib.Path(folder, name).write_text(text)

def done(dataset):
    dataset.upload(show_progress=False); dataset.finalize()
    return dataset

def content(dataset):
    folder = pathlib.Path(dataset.get_local_copy())
    return {p.name: p.read_text() for p in sorted(folder.glob("[!.]*")) if p.is_file()}

project = dict(dataset_project="Data/chips")
write("a", one="1", two="2", three="3")
first = Dataset.create(dataset_name="chips", dataset_version="1.0.0", dataset_tags=["first"], **project)
first.add_files("a"); first.set_metadata({"seed": 3}, "facts"); first.set_description("of the Amazon")
done(first)
write("a", two="changed", four="4"); os.unlink("a/three")
second = Dataset.create(dataset_name="chips", dataset_version="1.1.0", parent_datasets=[first.id], **project)
removed, added, changed = second.sync_folder("a")
done(second)
third = Dataset.create(dataset_name="chips", dataset_version="2.0.0", parent_datasets=[second.id], **project)
third.remove_files("one"); third.add_tags(["third"]); done(third)
write("b", extra="5")
other = Dataset.create(dataset_name="other", **project); other.add_files("b"); done(other)
merged = Dataset.create(dataset_name="merged", parent_datasets=[third.id, other.id], **project); done(merged)
squashed = Dataset.squash(dataset_name="squashed", dataset_ids=[first.id, other.id])
open_one = Dataset.create(dataset_name="unfinished", **project); open_one.add_files("b")
open_one.upload(show_progress=False)

def got(**query):
    return Dataset.get(**{**project, **query}).id

user = Task.init(
    project_name="Data", task_name="user", auto_connect_frameworks=False, auto_resource_monitoring=False
)
aliased = Dataset.get(dataset_name="chips", dataset_version="1.1.0", alias="train", **project)
user.flush(wait_for_uploads=True)
mutable = pathlib.Path(Dataset.get(dataset_id=first.id).get_mutable_local_copy("mine"))
ids = dict(zip((d.id for d in (first, second, third, other, merged, squashed, open_one)), "123omsu"))
unfinished = dict(dataset_project="Data/chips", only_completed=False)
listed = Dataset.list_datasets(dataset_project="Data/chips", only_completed=True)
result = dict(
    sync=[removed, added, changed], contents=[content(d) for d in (first, second, third, merged, squashed)],
    listed=sorted(ids.get(d["id"], "?") for d in listed),
    versions={ids[d["id"]]: d["version"] for d in listed if d["name"] == "chips"},
    every=sorted(ids.get(d["id"], "?") for d in Dataset.list_datasets(**unfinished)),
    tagged=[ids[d["id"]] for d in Dataset.list_datasets(dataset_project="Data/chips", tags=["third"])],
    found=dict(
        latest=ids[got(dataset_name="chips")],
        by_version=ids[got(dataset_name="chips", dataset_version="1.0.0")],
        by_tag=ids[got(dataset_name="chips", dataset_tags=["first"])],
        by_id=ids[Dataset.get(dataset_id=second.id).id],
        alias=ids[aliased.id],
    ),
    aliases=user.get_parameters_as_dict().get("Datasets"), second=second.id,
    graph={ids[k]: [ids[p] for p in v] for k, v in third.get_dependency_graph().items()},
    files=third.list_files(), removed=third.list_removed_files(),
    added_files=second.list_added_files(first.id), modified=second.list_modified_files(first.id),
    metadata=Dataset.get(dataset_id=first.id).get_metadata("facts"),
    mutable=sorted(p.name for p in mutable.iterdir() if not p.name.startswith(".")),
    verified=first.verify_dataset_hash(str(mutable)), final=[d.is_final() for d in (third, open_one)],
)
third.publish()
result["published"] = Task.get_task(task_id=third.id).get_status()
Dataset.rename(new_dataset_name="renamed", dataset_name="other", **project)
result["renamed"] = Dataset.get(dataset_name="renamed", **project).id == other.id
Dataset.move_to_project(new_dataset_project="Data/moved", dataset_name="renamed", **project)
result["moved"] = Dataset.get(dataset_name="renamed", dataset_project="Data/moved").id == other.id
Dataset.delete(dataset_name="unfinished", **project)
result["deleted"] = sorted({d["name"] for d in Dataset.list_datasets(**unfinished)})
user.close()
"""


def test_versions_of_a_dataset(sdk: Sdk) -> None:
    result = sdk(VERSIONS)
    assert result["sync"] == [1, 1, 1]
    assert result["contents"] == [
        {"one": "1", "three": "3", "two": "2"},
        {"four": "4", "one": "1", "two": "changed"},
        {"four": "4", "two": "changed"},
        {"extra": "5", "four": "4", "two": "changed"},
        {"extra": "5", "one": "1", "three": "3", "two": "2"},
    ]
    assert result["listed"] == ["1", "2", "3", "m", "o", "s"]
    assert result["versions"] == {"1": "1.0.0", "2": "1.1.0", "3": "2.0.0"}
    assert result["every"] == ["1", "2", "3", "m", "o", "s", "u"]
    assert result["tagged"] == ["3"]
    assert result["found"] == {"latest": "3", "by_version": "1", "by_tag": "1", "by_id": "2", "alias": "2"}
    assert result["aliases"] == {"train": result["second"]}
    assert result["graph"] == {"2": [], "3": ["2"]}, "of the first version nothing is left"
    assert sorted(result["files"]) == ["four", "two"]
    assert result["removed"] == ["one"]
    assert result["added_files"] == ["four"]
    assert result["modified"] == ["two"]
    assert result["metadata"] == {"seed": 3}
    assert result["mutable"] == ["one", "three", "two"]
    assert result["verified"] == []
    assert result["final"] == [True, False]
    assert (result["published"], result["renamed"], result["moved"]) == ("published", True, True)
    assert result["deleted"] == ["chips", "merged", "squashed"]


WRITERS = """
import pathlib, subprocess, sys
pathlib.Path("writer.py").write_text('''
import pathlib, sys
from clearml import Dataset
number = sys.argv[1]
folder = pathlib.Path("w" + number); folder.mkdir(); (folder / ("f" + number)).write_text(number)
dataset = Dataset.create(dataset_name="many", dataset_project="Data/writers")
dataset.add_files(str(folder)); dataset.upload(show_progress=False); dataset.finalize()
''')
command = [sys.executable, "writer.py"]
writers = [subprocess.Popen([*command, str(n)], stdout=subprocess.DEVNULL) for n in range(3)]
codes = [writer.wait() for writer in writers]
from clearml import Dataset
listed = Dataset.list_datasets(dataset_project="Data/writers", only_completed=True)
files = sorted(name for d in listed for name in Dataset.get(dataset_id=d["id"]).list_files())
result = dict(codes=codes, files=files, projects=len({d["project"] for d in listed}))
"""


def test_writers_at_the_same_time_do_not_disturb_each_other(sdk: Sdk) -> None:
    assert sdk(WRITERS) == {"codes": [0, 0, 0], "files": ["f0", "f1", "f2"], "projects": 1}


MODELS = """
import pathlib
from clearml import InputModel, Model, OutputModel, Task
task = Task.init(project_name="Registry", task_name="trainer", output_uri=True, auto_connect_frameworks=False,
                 auto_resource_monitoring=False)
pathlib.Path("w.bin").write_bytes(b"weights")
made = {}
for name, f2 in (("small", "0.8"), ("large", "0.9"), ("broken", "0.1")):
    model = OutputModel(
        task=task, name=name, framework="PyTorch", tags=["planets", name], comment="of " + name,
        config_dict={"depth": 3}, label_enumeration={"clear": 0, "haze": 1},
    )
    model.update_weights("w.bin", auto_delete_file=False, async_enable=False)
    model.set_metadata("f2", f2, "float"); model.set_metadata("seed", "1", "int")
    made[name] = model
made["large"].publish(); made["broken"].archive()
made["small"].report_scalar("f2", "valid", 0.8, 1); made["small"].report_single_value("params", 12)
made["small"].report_table("t", "s", 0, table_plot=[["a"], [1]])
task.flush(wait_for_uploads=True)

def names(**query):
    return sorted(m.name for m in Model.query_models(project_name="Registry", **query))

small = Model(made["small"].id)
small.tags = ["planets", "edited"]
small.set_metadata("note", "kept")
again = InputModel(model_id=small.id)
again.name = "tiny"; again.comment = "renamed"
user = InputModel(model_id=made["large"].id)
user.connect(task, name="start")
registered = InputModel.import_model(
    weights_url="https://example.com/w.onnx", name="foreign", framework="ONNX", project="Registry"
)
task.close()
fresh = Model(made["small"].id)
result = dict(
    alive=names(), every=names(include_archived=True), published=names(only_published=True),
    tagged=names(tags=["edited"]), by_name=names(model_name="large"),
    by_metadata=names(metadata={"f2": "0.9"}),
    limited=len(names(max_results=1)), name=fresh.name, comment=fresh.comment, tags=sorted(fresh.tags),
    metadata=fresh.get_all_metadata(), casted=fresh.get_all_metadata_casted()["f2"], labels=fresh.labels,
    config=fresh.config_dict, framework=str(fresh.framework), project=fresh.project,
    weights=pathlib.Path(fresh.get_local_copy()).read_bytes().decode(),
    inputs=[m.name for m in Task.get_task(task_id=task.id).models["input"]],
    outputs=sorted(m.name for m in Task.get_task(task_id=task.id).models["output"]),
    removed=Model.remove(made["broken"].id, delete_weights_file=True, force=True),
    foreign=registered.url, small=fresh.id,
)
result["after"] = names(include_archived=True)
"""


def test_the_model_registry(sdk: Sdk, shared: Embedded) -> None:
    result = sdk(MODELS)
    assert result["alive"] == ["foreign", "large", "tiny"]
    assert result["every"] == ["broken", "foreign", "large", "tiny"]
    assert "large" in result["published"]
    assert "broken" not in result["published"]
    assert (result["tagged"], result["by_name"], result["by_metadata"]) == (["tiny"], ["large"], ["large"])
    assert result["limited"] == 1
    assert (result["name"], result["comment"]) == ("tiny", "renamed")
    assert result["tags"] == ["edited", "planets"]
    assert result["metadata"]["note"]["value"] == "kept"
    assert result["casted"] == 0.8
    assert (result["labels"], result["config"]) == ({"clear": 0, "haze": 1}, {"depth": 3})
    assert (result["framework"], result["weights"]) == ("PyTorch", "weights")
    events = shared.call("events.get_task_events", task=result["small"], model_events=True).data["events"]
    assert {(event["type"], event["metric"], event.get("value")) for event in events} == {
        ("training_stats_scalar", "f2", 0.8),
        ("training_stats_scalar", "Summary", 12),
        ("plot", "t", None),
    }
    assert "large" in result["inputs"][0] or result["inputs"] == ["start"]
    assert len(result["outputs"]) == 3
    assert result["removed"] is True
    assert result["foreign"] == "https://example.com/w.onnx"
    assert result["after"] == ["foreign", "large", "tiny"]

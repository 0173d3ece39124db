"""The SDK's everyday calls on tasks and their reports, as its documentation describes them."""

from typing import Any

import pytest
from support.embedded import Embedded, Sdk, fetch

pytestmark = pytest.mark.filterwarnings("default")

QUIET = "auto_connect_frameworks=False, auto_resource_monitoring=False"

FILTERS = """
from clearml import Task
tasks = {}
for name, kind, tags, comment in (
    ("ant", "training", ["a"], "small"), ("bee", "testing", ["a", "b"], "Small and Yellow"),
    ("cat (x)", "training", ["b", "c"], ""),
):
    task = Task.create(project_name="Filters/deep", task_name=name, task_type=kind, script="snippet.py",
                       add_task_init_call=False, packages=["clearml"])
    task.add_tags(tags); task.set_comment(comment)
    tasks[name] = task
Task.create(project_name="Filters/other", task_name="dog", script="snippet.py", add_task_init_call=False,
            packages=["clearml"])
tasks["bee"].mark_started(force=True); tasks["bee"].mark_stopped(force=True)
tasks["cat (x)"].set_parent(tasks["ant"].id)
tasks["ant"].set_archived(True)
def names(**query):
    return [t.name for t in Task.get_tasks(**{"project_name": "Filters/deep", **query})]
result = dict(
    by_project=names(task_filter={"order_by": ["name"]}),
    projects=names(project_name=["Filters/deep", "Filters/other"], task_filter={"order_by": ["name"]}),
    parent_project=names(project_name="Filters", task_filter={"order_by": ["name"]}),
    by_name=names(task_name="^ant$"), part=names(task_name="e"), escaped=names(task_name=r"cat \\(x\\)"),
    ids=names(task_ids=[tasks["bee"].id]),
    either=names(tags=["a", "c"], task_filter={"order_by": ["name"]}), both=names(tags=["__$all", "a", "b"]),
    exclude=names(tags=["a", "-b"]), but_not=names(tags=["__$all", "b", "__$not", "a"]),
    alive=names(allow_archived=False, task_filter={"order_by": ["name"]}),
    parent=names(task_filter={"parent": tasks["ant"].id}),
    status=names(task_filter={"status": ["stopped"]}), kind=names(task_filter={"type": ["testing"]}),
    user=names(task_filter={"user": [tasks["ant"].data.user], "order_by": ["name"]}),
    nobody=names(task_filter={"user": ["nobody"]}),
    backwards=names(task_filter={"order_by": ["-name"]}),
    text=names(task_filter={"search_text": "yellow SMALL"}),
    text_id=names(task_filter={"search_text": tasks["bee"].id}),
    all_fields=names(task_filter={"_all_": {"fields": ["name", "comment"], "pattern": "a"}}),
    any_field=names(
        task_filter={"_any_": {"fields": ["name", "comment"], "pattern": "Yellow|cat"}, "order_by": ["name"]}
    ),
    page=names(task_filter={"page": 1, "page_size": 2, "order_by": ["name"]}),
    queried=len(Task.query_tasks(project_name="Filters/deep")),
    fields=Task.query_tasks(
        project_name="Filters/deep", task_name="bee", additional_return_fields=["comment"]
    ),
    one=Task.get_task(project_name="Filters/deep", task_name="bee").name,
    projects_listed=sorted(p.name for p in Task.get_projects() if p.name.startswith("Filters")),
    project_id=bool(Task.get_project_id("Filters/deep")), bee=tasks["bee"].id,
)
"""

FOUND: dict[str, Any] = {
    "by_project": ["ant", "bee", "cat (x)"],
    "projects": ["ant", "bee", "cat (x)", "dog"],
    "parent_project": [],
    "by_name": ["ant"],
    "part": ["bee"],
    "escaped": ["cat (x)"],
    "ids": ["bee"],
    "either": ["ant", "bee", "cat (x)"],
    "both": ["bee"],
    "exclude": ["ant"],
    "but_not": ["cat (x)"],
    "alive": ["bee", "cat (x)"],
    "parent": ["cat (x)"],
    "status": ["bee"],
    "kind": ["bee"],
    "user": ["ant", "bee", "cat (x)"],
    "nobody": [],
    "backwards": ["cat (x)", "bee", "ant"],
    "text": ["bee"],
    "text_id": ["bee"],
    "all_fields": ["ant"],
    "any_field": ["bee", "cat (x)"],
    "page": ["cat (x)"],
    "queried": 3,
    "one": "bee",
    "projects_listed": ["Filters", "Filters/deep", "Filters/other"],
    "project_id": True,
}


def test_every_documented_filter_of_get_tasks(sdk: Sdk) -> None:
    result = sdk(FILTERS)
    assert result.pop("fields") == [{"id": result.pop("bee"), "comment": "Small and Yellow"}]
    assert result == FOUND


REPORTS = f"""
from clearml import Task
import io, pathlib, numpy
import matplotlib; matplotlib.use("Agg")
from matplotlib import pyplot
import plotly.graph_objects
task = Task.init(project_name="Reports", task_name="all", output_uri=True, {QUIET})
log = task.get_logger()
log.report_text("a line", print_console=False)
log.report_text("a warning", level=30, print_console=False)
for step in range(3):
    log.report_scalar("scalar", "s", step * 0.5, step)
log.report_single_value("single", 7)
log.report_vector("vector", "v", [1, 2, 3], 0)
log.report_histogram("histogram", "h", [1, 2, 3], 0)
log.report_table("table", "t", 0, table_plot=[["a", "b"], [1, 2]])
log.report_scatter2d("scatter2d", "s", [(0, 1), (1, 2)], 0)
log.report_scatter3d("scatter3d", "s", [(0, 1, 2), (1, 2, 3)], 0)
log.report_confusion_matrix("confusion", "c", numpy.eye(3), 0)
log.report_matrix("matrix", "m", numpy.eye(2), 0)
log.report_surface("surface", "s", numpy.eye(3), 0)
log.report_plotly("plotly", "p", plotly.graph_objects.Figure(plotly.graph_objects.Bar(y=[1, 2])), 0)
figure = pyplot.figure(); pyplot.plot([1, 2]); log.report_matplotlib_figure("pyplot", "p", figure, 0)
line = log.SeriesInfo(name="l", data=numpy.array([[0, 1], [1, 2]]))
log.report_line_plot("lines", [line], "x", "y", iteration=0)
for step in range(3):
    log.report_image("image", "i", step, image=numpy.full((4, 4, 3), step, dtype="uint8"))
pathlib.Path("sound.wav").write_bytes(b"RIFF")
log.report_media("media", "sound", 0, local_path="sound.wav")
log.report_media("media", "page", 0, stream=io.StringIO("<b>hi</b>"), file_extension="html")
log.report_media("media", "elsewhere", 0, url="https://example.com/movie.mp4")
task.flush(wait_for_uploads=True); task.close()
seen = Task.get_task(task_id=task.id)
result = dict(
    id=task.id, single=seen.get_reported_single_value("single"), scalars=seen.get_reported_scalars(),
    plots=sorted({{p["metric"] for p in seen.get_reported_plots()}}),
    images=[seen.get_debug_samples("image", "i", n_last_iterations=n) for n in (1, 2, 10)],
    media={{v: seen.get_debug_samples("media", v)[0]["url"] for v in ("sound", "page", "elsewhere")}},
    console="".join(seen.get_reported_console_output(100)), metrics=seen.get_last_scalar_metrics(),
    all_scalars=seen.get_all_reported_scalars(),
)
"""

PLOTS = "confusion histogram lines matrix plotly scatter2d scatter3d surface table vector"


def test_every_report_of_the_logger(sdk: Sdk, shared: Embedded) -> None:
    result = sdk(REPORTS)
    assert set(PLOTS.split()) <= set(result["plots"])
    assert result["single"] == 7
    assert result["scalars"]["scalar"]["s"] == {"name": "s", "x": [0, 1, 2], "y": [0.0, 0.5, 1.0]}
    assert result["all_scalars"]["scalar"]["s"]["y"] == [0.0, 0.5, 1.0]
    assert result["metrics"]["scalar"]["s"] == {"last": 1.0, "min": 0.0, "max": 1.0}
    assert [len(urls) for urls in result["images"]] == [1, 2, 3]
    assert "a line" in result["console"]
    assert "a warning" in result["console"]
    assert result["media"]["elsewhere"] == "https://example.com/movie.mp4"
    page = fetch(result["media"]["page"], headers=shared.bearer)
    assert (page.status, page.body) == (200, b"<b>hi</b>")
    assert fetch(result["media"]["sound"], headers=shared.bearer).body == b"RIFF"


LIVES = f"""
import pathlib, subprocess, sys, textwrap
from clearml import Task

def script(code):
    pathlib.Path("part.py").write_text(textwrap.dedent(code))
    done = subprocess.run([sys.executable, "part.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.partition("says=")[2].split()[0]

first = script('''
    from clearml import Task
    task = Task.init(project_name="Lives", task_name="continued", {QUIET})
    for step in range(3):
        task.get_logger().report_scalar("loss", "l", step, step)
    print("says=" + task.id)
''')
second = script(f'''
    from clearml import Task
    task = Task.init(project_name="Lives", task_name="continued", continue_last_task="{{first}}", {QUIET})
    for step in range(2):
        task.get_logger().report_scalar("loss", "l", 10 + step, step)
    print("says=" + task.id)
''')
offline = script('''
    from clearml import Task
    Task.set_offline(True)
    task = Task.init(project_name="Lives", task_name="offline", {QUIET})
    task.connect({{"lr": 0.5}})
    task.get_logger().report_scalar("loss", "l", 0.25, 3)
    task.get_logger().report_text("said offline")
    task.upload_artifact("a", {{"x": 1}})
    task.close()
    print("says=" + task.get_offline_mode_folder().as_posix())
''')
imported = Task.get_task(task_id=Task.import_offline_session(offline))
continued = Task.get_task(task_id=first)
source = Task.create(project_name="Lives", task_name="source", script="snippet.py", add_task_init_call=False,
                     packages=["clearml"])
source.set_parameters({{"Args/lr": 0.1}}); source.add_tags(["t"])
source.set_configuration_object("c", "text")
data = source.export_task()
copy = Task.import_task(data)
data["name"] = "renamed"
updated = Task.import_task(data, target_task=copy.id, update=True)
deleted = bool(source.delete(raise_on_error=True))
result = dict(
    same=first == second, curve=continued.get_reported_scalars()["loss"]["l"], status=continued.get_status(),
    offline=dict(
        status=imported.get_status(), parameters=imported.get_parameters(),
        artifact=imported.artifacts["a"].get(),
        scalars=imported.get_reported_scalars(), console="".join(imported.get_reported_console_output(50)),
    ),
    copy=[copy.id != source.id, copy.get_parameters(), copy.get_tags(), copy.get_configuration_object("c")],
    updated=[updated.id == copy.id, Task.get_task(task_id=copy.id).name], deleted=deleted,
    gone=[t.name for t in Task.get_tasks(project_name="Lives", task_name="source")],
)
"""


def test_tasks_are_continued_imported_and_brought_home(sdk: Sdk) -> None:
    result = sdk(LIVES)
    assert result["same"] is True
    assert result["curve"]["x"] == [0, 1, 2, 3, 4]
    assert result["curve"]["y"] == [0, 1, 2, 10, 11]
    assert result["status"] == "completed"
    offline = result["offline"]
    assert offline["status"] == "completed"
    assert offline["parameters"] == {"General/lr": "0.5"}
    assert offline["artifact"] == {"x": 1}
    assert offline["scalars"]["loss"]["l"] == {"name": "l", "x": [3], "y": [0.25]}
    assert "said offline" in offline["console"]
    assert result["copy"] == [True, {"Args/lr": "0.1"}, ["t"], "text"]
    assert result["updated"] == [True, "renamed"]
    assert (result["deleted"], result["gone"]) == (True, [])

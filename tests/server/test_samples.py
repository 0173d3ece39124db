"""Debug images, plots and raw points, leafed through with the SDK's ``APIClient``."""

from typing import Any

import pytest
from clearml.backend_api.session.client import APIClient, APIError
from support.embedded import Embedded
from support.seed import scalar


def data(answer: Any) -> Any:
    """The answer as it was sent: the SDK's classes of these calls have no fields."""
    return answer._result.response_data


def image(task: str, metric: str, variant: str, iteration: int) -> dict[str, Any]:
    url = f"http://f/{metric}{variant}{iteration}.png"
    kind = "training_debug_image"
    return {"type": kind, "task": task, "metric": metric, "variant": variant, "iter": iteration, "url": url}


def plot(task: str, metric: str, variant: str, iteration: int) -> dict[str, Any]:
    return image(task, metric, variant, iteration) | {"type": "plot", "plot_str": "{}"}


@pytest.fixture(scope="module")
def task(shared: Embedded) -> str:
    """A task with images and plots: metric a of variants x and y at iterations 0 to 2, b of x at 1 and 2."""
    task = shared.new_task()
    series = [("a", "x", n) for n in range(3)] + [("a", "y", n) for n in range(3)]
    series += [("b", "x", n) for n in (1, 2)]
    events = [kind(task, *place) for kind in (image, plot) for place in series]
    assert shared.events(*events).data["errors"] == 0
    return task


def place(event: dict[str, Any] | None) -> str | None:
    return event and f"{event['metric']}{event['variant']}{event['iter']}"


class Images:
    """Leafs through the images of a task."""

    def __init__(self, client: APIClient, task: str, **first: Any) -> None:
        self._events, self._task = client.events, task
        self.answer = data(client.events.get_debug_image_sample(task=task, **first))

    @property
    def place(self) -> str | None:
        return place(self.answer["event"])

    def step(self, **options: Any) -> str | None:
        scroll = self.answer["scroll_id"]
        self.answer = data(self._events.next_debug_image_sample(task=self._task, scroll_id=scroll, **options))
        return self.place


def test_images_one_by_one(client: APIClient, task: str) -> None:
    images = Images(client, task, metric="a", variant="x")
    assert (images.place, images.answer["min_iteration"], images.answer["max_iteration"]) == ("ax2", 0, 2)
    assert images.step() == "ay2"
    assert images.step() is None
    assert images.step(navigate_earlier=True) == "ax2", "the end keeps its place"
    assert images.step(navigate_earlier=True) == "ay1", "of the same metric"
    assert images.step(navigate_earlier=True, next_iteration=True) == "ay0"
    assert images.step(navigate_earlier=True, next_iteration=True) is None
    assert images.step(next_iteration=True) == "ax1"


def test_images_of_all_metrics(client: APIClient, task: str) -> None:
    images = Images(client, task, metric="a", variant="y", iteration=1, navigate_current_metric=False)
    assert (images.place, images.answer["max_iteration"]) == ("ay1", 2)
    assert images.step() == "bx1"
    assert (images.answer["min_iteration"], images.answer["max_iteration"]) == (1, 2)
    assert images.step() == "ax2"
    assert images.step(navigate_earlier=True, next_iteration=True) == "bx1"
    assert images.step(next_iteration=True) == "ax2"


def test_images_that_are_reported_meanwhile_are_seen(client: APIClient, shared: Embedded) -> None:
    task = shared.new_task()
    shared.events(image(task, "a", "x", 1))
    images = Images(client, task, metric="a", variant="x")
    assert images.step() is None
    shared.events(image(task, "a", "x", 2))
    assert images.step() == "ax2"
    again = {"scroll_id": images.answer["scroll_id"], "refresh": True}
    assert Images(client, task, metric="a", variant="x", **again).place == "ax2"


def test_there_is_no_such_image(client: APIClient, task: str) -> None:
    for wanted in ({"metric": "a", "variant": "x", "iteration": 7}, {"metric": "c", "variant": "x"}):
        images = Images(client, task, **wanted)
        assert (images.place, images.answer["min_iteration"]) == (None, None)
        assert images.step() is None


def test_plots_metric_by_metric(client: APIClient, task: str) -> None:
    first = data(client.events.get_plot_sample(task=task, metric="a", navigate_current_metric=False))
    assert [place(event) for event in first["events"]] == ["ax2", "ay2"]
    assert (first["min_iteration"], first["max_iteration"]) == (0, 2)
    scroll = first["scroll_id"]
    seen = []
    for options in ({}, {}, {"navigate_earlier": True}, {"navigate_earlier": True, "next_iteration": True}):
        answer = data(client.events.next_plot_sample(task=task, scroll_id=scroll, **options))
        scroll = answer["scroll_id"]
        seen.append([place(event) for event in answer["events"]])
    assert seen == [["bx2"], [], ["ax2", "ay2"], ["bx1"]]
    only = data(client.events.get_plot_sample(task=task, metric="a", iteration=1))
    assert [place(event) for event in only["events"]] == ["ax1", "ay1"]
    after = data(client.events.next_plot_sample(task=task, scroll_id=only["scroll_id"]))
    assert [place(event) for event in after["events"]] == ["ax2", "ay2"], "of the same metric"


SAMPLES = ("get_debug_image_sample", "next_debug_image_sample", "get_plot_sample", "next_plot_sample")


@pytest.mark.parametrize("call", SAMPLES)
def test_samples_of_nothing(shared: Embedded, task: str, call: str) -> None:
    series = {"metric": "a"} if "plot" in call else {"metric": "a", "variant": "x"}
    first = series if call.startswith("get") else {"scroll_id": "1:1"}
    assert shared.call(f"events.{call}", task="unknown", **first).error == (400, 101)
    assert shared.call(f"events.{call}", task="unknown", model_events=True, **first).error == (400, 201)
    assert shared.call(f"events.{call}", task=task).error == (400, 11)
    assert shared.call(f"events.{call}", task=task, **first | {"scroll_id": "x"}).error == (400, 12)


def test_samples_of_a_model(shared: Embedded) -> None:
    model = shared.call("models.create", name="model", uri="http://f/m").data["id"]
    shared.events(image(model, "a", "x", 3) | {"model_event": True})
    asked = {"task": model, "metric": "a", "variant": "x", "model_events": True}
    assert shared.call("events.get_debug_image_sample", **asked).data["event"]["iter"] == 3
    assert shared.call("events.delete_for_model", model=model).data == {"deleted": True}
    assert shared.call("events.get_debug_image_sample", **asked).data["event"] is None
    assert shared.call("events.delete_for_model", model=model).data == {"deleted": False}
    assert shared.call("events.delete_for_model", model="unknown").error == (400, 201)


@pytest.mark.parametrize("call", ["debug_images", "plots"])
def test_pages_of_iterations(client: APIClient, shared: Embedded, task: str, call: str) -> None:
    read = getattr(client.events, call)

    def page(*metrics: str, **options: Any) -> tuple[list[list[int]], str]:
        answer = data(read(metrics=[{"task": task, "metric": metric} for metric in metrics], **options))
        pages = [[item["iter"] for item in metric["iterations"]] for metric in answer["metrics"]]
        return pages, answer["scroll_id"]

    first, scroll = page("a", "b", iters=2)
    assert first == [[2, 1], [2, 1]]
    rest, end = page("a", "b", iters=2, scroll_id=scroll)
    assert rest == [[0], []]
    assert page("a", "b", iters=2, scroll_id=end)[0] == [[], []]
    assert page("a", "b", iters=2, scroll_id=end, refresh=True)[0] == first
    assert page("a", iters=2, navigate_earlier=False)[0] == [[0, 1]]
    assert shared.call(f"events.{call}", metrics=[{"task": task}], scroll_id=scroll).error == (400, 12)
    assert shared.call(f"events.{call}", metrics=[{"task": task}], scroll_id="x").error == (400, 12)
    only = {"metrics": [{"task": task, "metric": "a", "variants": ["y"]}]}
    (found,) = shared.call(f"events.{call}", **only).data["metrics"]
    assert [place(event) for event in found["iterations"][0]["events"]] == ["ay2"]


def test_a_page_does_not_repeat_what_was_shown(shared: Embedded) -> None:
    """Iterations reported between two pages belong to neither."""
    task = shared.new_task()
    shared.events(*(image(task, "a", "x", n) for n in range(3)))
    asked = {"metrics": [{"task": task, "metric": "a"}], "iters": 1}
    first = shared.call("events.debug_images", **asked).data
    shared.events(image(task, "a", "x", 3))
    second = shared.call("events.debug_images", **asked, scroll_id=first["scroll_id"]).data
    assert [page["metrics"][0]["iterations"][0]["iter"] for page in (first, second)] == [2, 1]


@pytest.fixture(scope="module")
def curves(shared: Embedded) -> str:
    task = shared.new_task()
    events = [*scalar(task, "loss", "a", *range(5)), *scalar(task, "loss", "b", 7, 8)]
    assert shared.events(*events, *scalar(task, "other", "a", 1)).data["errors"] == 0
    return task


def test_raw_points_page_by_page(client: APIClient, curves: str) -> None:
    asked = {"task": curves, "metric": {"metric": "loss"}, "batch_size": 4}
    points: dict[str, list[tuple[int, float]]] = {}
    scroll, sizes = None, []
    while not sizes or sizes[-1]:
        answer = data(client.events.scalar_metrics_iter_raw(**asked, scroll_id=scroll, count_total=True))
        assert answer["total"] == 7
        for variant, values in answer["variants"].items():
            points.setdefault(variant, []).extend(zip(values["x"], values["y"], strict=True))
        sizes.append(answer["returned"])
        scroll = answer["scroll_id"]
    assert sizes == [4, 3, 0]
    assert points == {"a": [(n, n) for n in range(5)], "b": [(0, 7), (1, 8)]}


def test_raw_points_of_a_variant(client: APIClient, shared: Embedded, curves: str) -> None:
    asked = {"task": curves, "metric": {"metric": "loss", "variants": ["b"]}, "key": "timestamp"}
    answer = data(client.events.scalar_metrics_iter_raw(**asked))
    assert (list(answer["variants"]), answer.get("total")) == (["b"], None)
    assert answer["variants"]["b"]["x"] == sorted(answer["variants"]["b"]["x"])
    assert shared.call("events.scalar_metrics_iter_raw", task=curves, metric={}).error == (400, 11)
    assert shared.call("events.scalar_metrics_iter_raw", task="x", metric={"metric": "a"}).error == (400, 101)
    wrong = {"metric": {"metric": "loss"}, "scroll_id": "x"}
    assert shared.call("events.scalar_metrics_iter_raw", task=curves, **wrong).error == (400, 12)


def test_vectors(client: APIClient, shared: Embedded) -> None:
    task = shared.new_task()
    vector = {"type": "training_stats_vector", "task": task, "metric": "m", "variant": "v"}
    shared.events(*({**vector, "iter": n, "values": [n, 2]} for n in (1, 0)))
    images = data(client.events.vector_metrics_iter_histogram(task=task, metric="m", variant="v"))["images"]
    assert [(image["iter"], image["values"]) for image in images] == [(0, [0, 2]), (1, [1, 2])]


def test_old_lines_of_a_log_are_cleared(client: APIClient, shared: Embedded) -> None:
    task = shared.new_task()
    shared.events({"type": "log", "task": task, "msg": "old", "timestamp": 1000})
    shared.events({"type": "log", "task": task, "msg": "new"}, *scalar(task, "loss", "a", 1))
    assert data(client.events.clear_task_log(task=task, threshold_sec=3600)) == {"deleted": 1}
    assert shared.call("events.download_task_log", task=task).data["lines"] == ["new"]
    assert data(client.events.clear_task_log(task=task)) == {"deleted": 1}
    assert shared.call("events.get_task_log", task=task).data["total"] == 0
    assert shared.call("events.get_task_events", task=task).data["total"] == 1, "the curve stays"
    with pytest.raises(APIError) as error:
        client.events.clear_task_log(task="unknown")
    assert error.value.codes == (400, 101)


READS = (
    "events.download_task_log", "events.get_scalar_metric_data", "events.get_scalar_metrics_and_variants",
    "events.get_task_events", "events.get_task_log", "events.get_task_plots",
    "events.get_vector_metrics_and_variants", "events.scalar_metrics_iter_histogram",
)  # fmt: skip


@pytest.mark.parametrize("call", READS)
def test_events_of_nothing(shared: Embedded, call: str) -> None:
    assert shared.call(call, task="unknown").error == (400, 101)
    assert shared.call(call, task="unknown", model_events=True).error == (400, 201)
    model = shared.call("models.create", name="model", uri="http://f/m").data["id"]
    assert shared.call(call, task=model, model_events=True).status == 200

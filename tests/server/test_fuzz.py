"""Hostile input: a clear refusal or a note in the page, never a 5xx and never a traceback in the log."""

import io
import json
import random
import socket
import zipfile
from urllib.parse import quote, urlsplit

import pytest
from support import fuzzing, seed
from support.embedded import Answer, Embedded, wait_for
from support.fuzzing import NASTY, Fuzzer, pages_of, send, world

from server.services import discover

ENDPOINTS = {
    name: sorted(item.arguments) for service in discover() for name, item in service.endpoints.items()
}
DRAWS = 10
PAGES = 3
HUGE = "9" * 5000
SURROGATE = json.dumps({"a": "\ud800"})
DEEP = "[" * 900 + "]" * 900


def post(server: Embedded, call: str, body: bytes, kind: str = "application/json") -> Answer:
    return send(server.api, "POST", f"/{call}", body, {**server.bearer, "Content-Type": kind})


def show(server: Embedded, path: str) -> Answer:
    return send(server.api, "GET", path, b"", server.session)


def check_log(server: Embedded) -> None:
    log = server.log.read_text()
    assert "Traceback" not in log, log[-3000:]


def test_no_spoiled_request_breaks_the_server_or_a_page(shared: Embedded) -> None:
    """Every call, with the arguments of the SDK's request class spoiled; what was accepted is then shown."""
    schemas = fuzzing.schemas()
    for number, (call, names) in enumerate(sorted(ENDPOINTS.items())):
        ids = world(shared, number)
        fuzzer = Fuzzer(number, ids)
        for _ in range(DRAWS):
            body = fuzzer.spoiled(schemas.get(call, {}), names)
            answer = post(shared, call, body)
            assert answer.status < 500, (call, body[:500], answer.body[:300])
        for path in random.Random(number).sample(pages_of(ids), PAGES):
            assert show(shared, path).status < 500, (call, path, shared.log.read_text()[-3000:])
    check_log(shared)


def event_lines(task: str) -> list[bytes]:
    """Events of each type with each field spoiled by each value."""
    known = {
        "log": {"msg": "abc", "level": "info"},
        "training_stats_scalar": {"metric": "abc", "variant": "abc", "iter": 1, "value": 1.0},
        "training_stats_vector": {"metric": "abc", "variant": "abc", "iter": 1, "values": [1.0]},
        "plot": {"metric": "abc", "variant": "abc", "iter": 1, "plot_str": "{}"},
        "training_debug_image": {"metric": "abc", "variant": "abc", "iter": 1, "url": "http://f/a.png"},
    }
    lines = []
    for kind, fields in known.items():
        event = {"type": kind, "task": task, "timestamp": 1, **fields}
        for field in event:
            spoiled = json.dumps(event | {field: "spoiled"}).encode()
            lines += [spoiled.replace(fuzzing.SPOILED, value) for value in NASTY]
    return lines


def test_one_bad_event_loses_only_itself(shared: Embedded) -> None:
    """Every line is stored or counted as an error, and a page shows whatever was stored."""
    ids = world(shared, 1000)
    task = ids["task"]
    good = json.dumps(seed.log(task, "a good line")[0]).encode()
    lines = [line for bad in event_lines(task) for line in (bad, good)]
    answer = post(shared, "events.add_batch", b"\n".join(lines), "application/json-lines").data
    assert answer["added"] + answer["errors"] == len(lines)
    assert answer["errors"] == sum(answer["errors_info"].values())
    assert answer["added"] > len(lines) // 2
    stored = shared.call("events.download_task_log", task=task).data["lines"]
    assert stored.count("a good line") == len(lines) // 2
    for path in pages_of(ids):
        assert show(shared, path).status < 500, (path, shared.log.read_text()[-3000:])
    check_log(shared)


def test_huge_values_have_a_mean(shared: Embedded) -> None:
    """Their sum overflows, their mean does not: 0.5, and 1 once a report is replaced."""
    task = shared.new_task()
    values = (1.7e308, -1.7e308, 1.7e308, -1.7e308)
    assert shared.events(*seed.scalar(task, "m", "v", *values)).data["errors"] == 0
    assert shared.events(*seed.scalar(task, "m", "v", -1.7e308)).data["errors"] == 0
    (variants,) = shared.task(task)["last_metrics"].values()
    (entry,) = variants.values()
    assert entry["mean_value"] == pytest.approx(-0.85e308)
    assert (entry["count"], entry["min_value"], entry["max_value"]) == (4, -1.7e308, 1.7e308)


def test_surrogates_are_refused_in_any_encoding(shared: Embedded) -> None:
    """As an escape, as bytes, in UTF-16, at any depth, in a name of a field, and in the address."""
    escaped = rb'{"name": "abc", "type": "training", "comment": "\ud800"}'
    bodies = [
        escaped,
        escaped.replace(rb"\ud800", b"\xed\xa0\x80"),
        escaped.decode().encode("utf-16"),
        escaped.decode().encode("utf-32"),
        rb'{"name": "abc", "type": "training", "hyperparams": {"a": {"\udfff": {"value": "1"}}}}',
    ]
    for body in bodies:
        assert post(shared, "tasks.create", body).status == 400, body
    query = "/tasks.get_by_id?task=%ED%A0%80"
    assert send(shared.api, "GET", query, b"", shared.bearer).status == 400
    whole = rb'{"name": "abc", "type": "training", "comment": "\ud83d\ude00"}'
    assert post(shared, "tasks.create", whole.decode().encode("utf-16")).status == 200


@pytest.mark.parametrize("number", [2**63, 10**20, 10**400])
def test_a_huge_scroll_id_is_refused(shared: Embedded, number: int) -> None:
    task = shared.new_task()
    for sign in ("", "-"):
        scroll = f"{sign}{number}:{number}"
        for call in ("events.get_task_events", "events.get_scalar_metric_data"):
            assert shared.call(call, task=task, scroll_id=scroll).error == (400, 12)
    assert shared.call("tasks.get_all", size=1, scroll_id=str(number)).error == (400, 12)


def test_a_name_with_nul_is_refused(shared: Embedded) -> None:
    """SQL's text functions end at it, so two such names could be one."""
    for call, arguments in {
        "projects.create": {}, "queues.create": {}, "tasks.create": {"type": "training"},
        "models.create": {"uri": "http://f/m"},
    }.items():  # fmt: skip
        assert shared.call(call, name="abc\0d", **arguments).status == 400, call


def worst(server: Embedded) -> dict[str, str]:
    """Store the worst values that are accepted; returns the ids."""
    ids = world(server, 2000)
    task = ids["task"]
    figure = {"type": "table", "header": {"values": ["\ud800"]}, "cells": {"values": [["\udfff", 10**400]]}}
    texts = [SURROGATE, f'{{"a": {DEEP}}}', f'{{"a": {HUGE}}}', '{"a": NaN, "b": 1e999}', "{" * 1500]
    parameters = {
        f"{section} {number}": {"name": {"value": text}}
        for section in ("Args", "return")
        for number, text in enumerate(texts)
    }
    chain = {f"n{n}": {"parents": [f"n{n + 1}"], "executed": task if n == 0 else None} for n in range(1500)}
    addresses = (
        "http://[::1/x.zip", "http://f/%00.zip", f"http://f/{'x' * 300}.zip", "http://f/%ED%A0%80.zip",
        f"http://f/{'x/' * 3000}x.zip",
    )  # fmt: skip
    artifacts = [
        {"key": uri, "type": "\0", "uri": uri, "content_size": 10**400, "type_data": {"preview": SURROGATE}}
        for uri in addresses
    ]
    fields = {
        "hyperparams": parameters | {"Args": {"a": {"value": DEEP}}},
        "configuration": {
            "Pipeline": {"value": json.dumps(chain)}, "why": {"value": SURROGATE},
            "Dataset Content": {"value": f"x\na, {HUGE}, b\n\0, , "}, "Dataset Struct": {"value": DEEP},
        },
        "execution": {"artifacts": artifacts},
        "runtime": {"version": 10**400, "size": 1e308},
        "comment": f"Auto-generated at {HUGE} by \0",
    }  # fmt: skip
    assert server.call("tasks.edit", task=task, force=True, **fields).status == 200
    extreme = {"iter": 2**63 - 1, "timestamp": -(2**63) + 1024}
    deep = f'{{"type": "table", "header": {{"values": {DEEP}}}}}'
    plots = [
        seed.plot(task, "surrogates", "v", data=[figure], layout={}),
        {**seed.plot(task, "nan", "v"), "plot_str": '{"data": [{"y": [NaN, 1e999, -Infinity, 1]}]}'},
        {**seed.plot(task, "deep", "v"), "plot_str": f'{{"data": [{deep}]}}'},
        {**seed.plot(task, "levels", "v"), "plot_str": "[" * 1500 + "]" * 1500},
    ]  # fmt: skip
    scalars = seed.scalar(task, "abc", "v", 1.7e308, -1.7e308, 0.0)
    ends = [{**scalars[0], "iter": iteration} for iteration in (2**63 - 1025, -(2**63) + 1024)]
    image = {"type": "training_debug_image", "task": task, "metric": "\0", "variant": "\0", **extreme}
    urls = [uri.replace(".zip", ".png") for uri in addresses]
    images = [{**image, "iter": n, "url": url} for n, url in enumerate([*urls, 7, {"a": 1}])]
    logs = [
        {**line, "timestamp": extreme["timestamp"]}
        for line in seed.log(task, "\0\x1b[999999999m", "a" * 10**4)
    ]
    answer = server.events(*plots, *scalars, *ends, *images, *logs, {**logs[0], "msg": {"a": [1]}}).data
    assert answer["errors"] == 0, answer
    server.call("tasks.started", task=task, force=True)
    server.call("tasks.failed", task=task, force=True, status_reason=f"exit code {HUGE}", status_message="\0")
    return ids


def test_the_worst_accepted_values_break_no_page(shared: Embedded) -> None:
    ids = worst(shared)
    for path in pages_of(ids):
        answer = show(shared, path)
        assert answer.status < 500, (path, shared.log.read_text()[-3000:])
        assert "/pictures/" in path or answer.status == 200, path
    plots = shared.call("events.get_task_plots", task=ids["task"]).data["plots"]
    assert len(plots) == 4
    for number in range(1, 20):
        answer = show(shared, f"/figures/plot/{ids['task']}/{number}")
        assert answer.status in (200, 404)
        assert b"NaN" not in answer.body  # which a browser cannot parse
        assert b"Infinity" not in answer.body
    check_log(shared)


ADDRESSES = (
    "/figures/plot/{task}/" + HUGE, "/figures/plot/{task}/" + "9" * 19, "/figures/plot/{task}/-1",
    "/datasets/pictures/{task}/" + HUGE, "/datasets/pictures/{task}/x", "/tasks?from=" + HUGE,
    "/projects/{project}/experiments/{task}/output/log?before=" + HUGE, "/?q=%ED%A0%80%00",
    "/" + "x" * 20_000, "/projects/" + "x/" * 5000, "/%00", "/%ED%A0%80", "/compare?ids=%00",
    "/static/%00", "/static/" + "x" * 5000, "/static/" + "x/" * 3000, "//", "/figures/scalar?ids=%00",
    "/login?token=%ED%A0%80", "/actions/%00",
)  # fmt: skip


def test_no_address_breaks_the_server(shared: Embedded) -> None:
    ids = world(shared, 5000)
    for path in ADDRESSES:
        for method in ("GET", "HEAD", "POST"):
            for address, keys in ((shared.api, shared.session), (shared.files, shared.bearer)):
                answer = send(address, method, path.format(**ids), b"", keys)
                assert answer.status < 500, (method, address, path[:100])
    check_log(shared)


def archives() -> dict[str, bytes]:
    """Archives of pictures, each damaged in its own way."""
    made: dict[str, bytes] = {}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("a.png", seed.PIXEL * 50)
        whole = buffer.getvalue()
        for at in (0, 4, 8, 14, 26, 28, 35, 40, 45, 60, len(whole) - 40, len(whole) - 6):
            damaged = bytearray(whole)
            damaged[at : at + 3] = b"\xff\xfe\xff"
            made[f"{method}-{at}.zip"] = bytes(damaged)
        made[f"{method}-cut.zip"] = whole[: len(whole) // 2]
    return made


def test_a_damaged_archive_shows_no_pictures(shared: Embedded) -> None:
    for number, (name, content) in enumerate(archives().items()):
        ids = world(shared, 3000 + number)
        uri = seed.upload(shared, f"archives/{name}", content)
        artifacts = [{"key": "data", "type": "custom", "uri": uri}]
        shared.call("tasks.edit", task=ids["task"], force=True, execution={"artifacts": artifacts})
        page = show(shared, f"/datasets/simple/{ids['project']}/experiments/{ids['task']}")
        assert page.status == 200, (name, shared.log.read_text()[-2000:])
        assert show(shared, f"/datasets/pictures/{ids['task']}/0").status in (200, 404), name
    check_log(shared)


def hang_up(address: str, request: bytes, read: int = 0) -> None:
    """Send the request, read so many bytes of the response, and reset the connection."""
    host = urlsplit(address)
    with socket.create_connection((host.hostname, host.port), timeout=60) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.sendall(request)
        if read:
            connection.recv(read)


def test_a_client_that_hangs_up_is_no_error(server: Embedded) -> None:
    """In the middle of a request's head or body, or of the response: for calls, forms, pages and files."""
    task = server.new_task()
    server.events(*seed.log(task, *["x" * 10_000] * 400))
    uri = seed.upload(server, "large.bin", b"x" * 5_000_000)
    keys = f"Host: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n"
    large = json.dumps({"task": task, "batch_size": 10_000}).encode()
    page = "".join(f"{name}: {value}\r\n" for name, value in server.session.items())
    body = f"{keys}Content-Length: 5000\r\n\r\nx"
    for address, request, read in [
        (server.api, f"POST /tasks.create HTTP/1.1\r\n{keys}", 0),
        (server.api, f"POST /tasks.create HTTP/1.1\r\n{body}", 0),
        (server.api, f"POST /events.add_batch HTTP/1.1\r\n{body}", 0),
        (server.api, f"POST /actions/abort HTTP/1.1\r\n{page}Content-Length: 5000\r\n\r\nx", 0),
        (server.api, f"POST /events.get_task_log HTTP/1.1\r\n{keys}Content-Length: {len(large)}\r\n\r\n"
         + large.decode(), 100),
        (server.api, f"GET /projects/*/experiments/{task}/output/log HTTP/1.1\r\n{page}\r\n", 100),
        (server.api, f"GET /plotly.js HTTP/1.1\r\n{page}\r\n", 100),
        (server.files, f"GET {quote(urlsplit(uri).path)} HTTP/1.1\r\n{keys}\r\n", 100),
        (server.files, f"POST / HTTP/1.1\r\n{keys}Content-Type: multipart/form-data; boundary=b\r\n"
         "Content-Length: 5000\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx", 0),
    ]:  # fmt: skip
        hang_up(address, request.encode(), read)
        assert server.task(task)["id"] == task
    wait_for(lambda: not any((server.data / "uploads").iterdir()), "the draft of the upload to be removed")
    log = server.log.read_text()
    assert "Traceback" not in log, log
    assert "ERROR" not in log
    assert "failed" not in log, log

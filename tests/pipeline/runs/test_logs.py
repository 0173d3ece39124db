"""Each line of a console is read once, in pages, in whatever order the lines reach the server."""

from pipeline.runs.logs import own_lines

AGENT = ["task 1a pulled from 2b by worker host:cpu-0\n", "agent.worker_id = host:cpu-0\nsdk.log = 1\n"]
SDK = "2026-11-27 02:24:53,647 - clearml.storage - WARNING - Legacy cache size\nClearML Monitor: no GPU\n"


def test_the_lines_of_the_step_itself():
    started = [*AGENT, "Environment setup completed successfully\n\nStarting Task Execution:\n\n\n"]
    texts = [*started, SDK, "10 %\r20 %\nepoch 1\n", "\n", "epoch 2\n"]
    assert list(own_lines(texts)) == ["20 %", "epoch 1", "", "epoch 2"]
    assert list(own_lines(["in this process\n", SDK])) == ["in this process"]


def test_a_step_that_never_started_shows_the_lines_of_its_agent():
    failed = [*AGENT, "ERROR: no Python\n"]
    shown = ["task 1a pulled from 2b by worker host:cpu-0", "agent.worker_id = host:cpu-0", "sdk.log = 1"]
    assert list(own_lines([*failed, *AGENT, "Starting Task Execution:\n", "done\n"])) == [
        *shown,
        "ERROR: no Python",
        "done",
    ]
    assert list(own_lines(failed)) == [*shown, "ERROR: no Python"]


CONSOLE = """
import json
from pipeline.connection import Api
from pipeline.runs import logs
api = Api()
task = api.call("tasks.create", name="lines", type="training")["id"]

def send(lines):
    events = ({"type": "log", "task": task, "timestamp": 10**12 + at, "msg": msg} for at, msg in lines)
    text = chr(10).join(map(json.dumps, events))
    headers = {"Content-Type": "application/json-lines"}
    assert api._session.send_request("events", "add_batch", data=text, headers=headers).ok

"""

IN_PAGES = (
    CONSOLE
    + """
console = logs.Console(api)
several_a_moment = [(number // 7, f"line {number}") for number in range(1200)]
one_moment = [(9000, f"at once {number}") for number in range(1100)] + [(9000, "twice")] * 2
batches = several_a_moment[:700], several_a_moment[700:], one_moment, [(8000, "late")], [(9001, "last")]
found = []
for lines in batches:
    send(lines)
    found.append(sorted(console.new(task)) == sorted(msg for _, msg in lines))
result = [found, list(console.rest(task)), len(list(logs.Console(api).new(task)))]
"""
)


def test_a_console_is_read_in_pages_each_line_once(sdk):
    assert sdk(IN_PAGES) == [[True] * 5, [], 1200 + 1102 + 2]


OUT_OF_ORDER = (
    CONSOLE
    + """
console = logs.Console(api)
minute = 60_000
send([(number, f"early {number}") for number in range(10)] + [(10 * minute, "newest")])
first = len(list(console.new(task)))
delayed = [(minute + number, f"delayed {number}") for number in range(700)]
send(delayed)
soon, rest = list(console.new(task)), list(console.rest(task))
result = [first, soon + rest == [msg for _, msg in delayed], list(console.rest(task))]
"""
)


def test_lines_that_arrive_long_after_later_ones_are_not_lost(sdk):
    assert sdk(OUT_OF_ORDER) == [11, True, []]

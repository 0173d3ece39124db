"""Past one machine: what a run of many chips, models and workers takes, from measured rates.

The stages of the DAG as tasks on queues: a worker takes the task that has waited longest; the first task on a
host fetches the data set and decodes it, the others of that host wait for it. Rates come from `RATES` (see
docs/scale.md for where each was measured); those of GPUs and storage are estimates and are arguments.

    python benchmarks/scale_model.py --chips 10000000 --models 50 --workers 100
"""

import argparse
import heapq
from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True)
class Line:
    """Something that grows with the chips: a part that is always there, and one for each chip."""

    fixed: float
    each: float

    def at(self, chips: float) -> float:
        return self.fixed + self.each * chips


def through(small: float, large: float) -> Line:
    """The line through a value of the benchmark at full size: at 4,000 chips and at all 40,479."""
    each = (large - small) / (40_479 - 4_000)
    return Line(small - 4_000 * each, each)


INGEST = through(9.3, 59.9)
REGISTER = through(2.6, 5.6)
SPLIT = through(7.2, 15.7)
SELECT = through(2.1, 2.6)
INGEST_MEMORY = through(0.09, 0.32)
SPLIT_MEMORY = through(0.16, 0.23)


@dataclass(frozen=True)
class Rates:
    """What this project measured, on two cores; `benchmarks/README.md` holds the figures."""

    ingest: Line = INGEST
    register: Line = REGISTER
    split: Line = SPLIT
    select: Line = SELECT
    ingest_memory: Line = INGEST_MEMORY
    split_memory: Line = SPLIT_MEMORY
    transition: float = 2.6  # s from the end of a step to the beginning of its child
    start: float = 8.0  # s of imports and settings before a training or an evaluation begins to work
    feed: float = 6_000  # chips/s per core, decoded store to batches at 224 px
    decode: float = 1_900  # chips/s per core, JPEG of 256 px to pixels
    unpack: float = 2_700  # chips/s of a host that copies a data set of one chunk
    jpeg: float = 15_700  # bytes of a chip
    entry: float = 300  # bytes of a file in the state of a ClearML Dataset
    encode: float = 7e-6  # s to write and read one entry of that state as JSON
    chunk: float = 1024 * 2**20  # bytes of a chunk of the data set
    poll: float = 4.0  # calls/s of an idle worker: it asks twice a second, and asks for the queues each time
    status: float = 1 / 30  # calls/s of any worker, about itself
    report: float = 1.0  # calls/s of a training while it runs
    controller: float = 10.0  # calls/s of a run's controller and of the command that shows the run
    call: float = 0.0017  # s of the embedded server's one core that a call takes
    serve: float = 3.1  # s of the same for 1 GB that a worker fetches


RATES = Rates()


@dataclass(frozen=True)
class Plan:
    """What is asked for, and the machines it is asked of; the last four are estimates or assumptions."""

    chips: int = 10_000_000
    models: int = 50
    workers: int = 100
    epochs: int = 20
    image_size: int = 224
    workers_per_host: int = 8
    cores: int = 64
    memory: float = 256.0  # GB of a host
    disk: float = 3_840.0  # GB of a host
    storage: float = 1_250.0  # MB/s that the storage gives to all hosts together
    stream: float = 100.0  # MB/s of one upload
    gpu: float = 2_000.0  # chips/s that one GPU trains
    forward: float = 3.0  # how much faster it scores than it trains

    @property
    def hosts(self) -> int:
        return -(-self.workers // self.workers_per_host)

    @property
    def store(self) -> float:
        """GB of the decoded store."""
        return self.chips * 3 * self.image_size**2 / 1e9

    @property
    def data(self) -> float:
        """GB of the data set."""
        return self.chips * RATES.jpeg / 1e9

    @property
    def streams(self) -> bool:
        """Whether the store does not fit beside the data set's copy, and chips are decoded at each use."""
        return self.store + 2 * self.data > self.disk


@dataclass
class Stage:
    """What the tasks of one stage took together."""

    name: str
    began: float
    ended: float = 0.0
    hours: float = 0.0
    tasks: int = 0

    def add(self, began: float, ended: float) -> None:
        self.began = min(self.began, began) if self.tasks else began
        self.ended = max(self.ended, ended)
        self.hours += (ended - began) / 3600
        self.tasks += 1


@dataclass
class Result:
    """A simulated run; times in seconds since its start."""

    plan: Plan
    stages: dict[str, Stage] = field(default_factory=dict)

    def add(self, name: str, began: float, seconds: float) -> float:
        """Note a task, and return when its children may begin."""
        self.stages.setdefault(name, Stage(name, began)).add(began, began + seconds)
        return began + seconds + RATES.transition

    @property
    def seconds(self) -> float:
        return self.stages["select"].ended

    @property
    def gpu_hours(self) -> float:
        return self.stages["train"].hours + self.stages["evaluate"].hours

    @property
    def slowest(self) -> Stage:
        """The stage that the run spends most of its time in."""
        return max(self.stages.values(), key=lambda stage: stage.ended - stage.began)


def state_seconds(plan: Plan) -> float:
    """What the state of the Dataset takes: every chunk writes it anew, with all files added."""
    chunks = -(-plan.chips * RATES.jpeg // RATES.chunk)
    return chunks * plan.chips * (RATES.encode + RATES.entry / (plan.stream * 1e6))


def prepare_seconds(plan: Plan) -> float:
    """What the first task on each host waits for: its copy of the data set, and the decoded store."""
    together = plan.data * 1e3 * min(plan.hosts, plan.models) / plan.storage
    store = 0.0 if plan.streams else plan.chips / (RATES.decode * plan.cores)
    return together + plan.chips / RATES.unpack + store


def train_seconds(plan: Plan) -> float:
    """One training, which the GPU, the loop that makes batches, or decoding (without a store) limits."""
    share = plan.cores / plan.workers_per_host
    feed = share * (RATES.decode if plan.streams else RATES.feed)
    return RATES.start + plan.epochs * 0.7 * plan.chips / min(plan.gpu, feed)


def evaluate_seconds(plan: Plan) -> float:
    """One evaluation: valid and test, each in 8 turns."""
    return RATES.start + 0.3 * 8 * plan.chips / (plan.forward * plan.gpu)


def simulate(plan: Plan) -> Result:
    """Run the DAG: three stages on one worker each, then the fan-out on the GPU workers, then select."""
    result = Result(plan)
    ready = result.add("ingest", 0.0, RATES.ingest.at(plan.chips) + state_seconds(plan))
    ready = result.add("register", ready, RATES.register.at(plan.chips))
    ready = result.add("split", ready, RATES.split.at(plan.chips))
    free = [(0.0, number) for number in range(plan.workers)]
    waiting = [(ready, number, "train") for number in range(plan.models)]
    prepared: dict[int, float] = {}
    last = ready
    while waiting:
        came, model, kind = heapq.heappop(waiting)
        left, worker = heapq.heappop(free)
        began = max(came, left)
        # Consecutive workers are on different hosts: a fan-out spreads.
        there = prepared.setdefault(worker % plan.hosts, began + prepare_seconds(plan))
        work = train_seconds(plan) if kind == "train" else evaluate_seconds(plan)
        after = result.add(kind, began, max(0.0, there - began) + work)
        heapq.heappush(free, (after - RATES.transition, worker))
        if kind == "train":
            heapq.heappush(waiting, (after, model, "evaluate"))
        last = max(last, after)
    result.add("select", last, RATES.select.at(plan.chips))
    return result


@dataclass(frozen=True)
class Limit:
    """Something that there is only so much of."""

    name: str
    needed: float
    there: float
    unit: str

    @property
    def load(self) -> float:
        return self.needed / self.there


def server_calls(plan: Plan) -> float:
    """Calls a second at the busiest: all workers poll, or trainings report on some of them."""
    busy = min(plan.models, plan.workers)
    most = max(plan.workers * RATES.poll, (plan.workers - busy) * RATES.poll + busy * RATES.report)
    return most + plan.workers * RATES.status + RATES.controller


def files_seconds(plan: Plan) -> float:
    """What the embedded file server works to hand the data set to every host, with one core."""
    return plan.data * min(plan.hosts, plan.models) * RATES.serve


def limits(plan: Plan) -> list[Limit]:
    """What the run needs against what there is, the most loaded first."""
    at = plan.chips
    found = [
        Limit("memory of ingest", RATES.ingest_memory.at(at), plan.memory, "GB"),
        Limit("memory of split", RATES.split_memory.at(at), plan.memory, "GB"),
        Limit("disk of a host: data set, its chunks, store", plan.store + 2 * plan.data, plan.disk, "GB"),
        Limit("state of the Dataset", at * RATES.entry / 1e9, plan.memory / 10, "GB"),
        Limit("embedded server, calls", server_calls(plan), 0.5 / RATES.call, "/s"),
        Limit("GPU workers with a training", plan.models, plan.workers, ""),
    ]
    return sorted(found, key=lambda limit: -limit.load)


def show(plan: Plan) -> None:
    result = simulate(plan)
    print(f"{plan.chips:,} chips, {plan.models} models, {plan.workers} GPU workers on {plan.hosts} hosts")
    print(f"\n{'stage':10} {'tasks':>5} {'begins':>9} {'lasts':>9} {'worker hours':>13}")
    for stage in result.stages.values():
        lasts = (stage.ended - stage.began) / 3600
        print(
            f"{stage.name:10} {stage.tasks:5} {stage.began / 3600:7.2f} h {lasts:7.2f} h {stage.hours:13.1f}"
        )
    held = plan.workers * result.seconds / 3600
    print(f"\n{result.seconds / 3600:.1f} h in all, most of it in {result.slowest.name}")
    print(f"{result.gpu_hours:,.0f} GPU hours at work; {held:,.0f} if all are held from start to end")
    print(f"{state_seconds(plan) / 3600:.1f} h of ingest write the Dataset's state")
    print(
        f"{prepare_seconds(plan) / 3600:.2f} h a host fetches, unpacks and decodes before its first training"
    )
    print(f"{files_seconds(plan) / 3600:.1f} h the embedded file server would work to hand out the chips")
    print(
        f"{plan.data:,.0f} GB of chips, {plan.store:,.0f} GB decoded at {plan.image_size} px a host", end=""
    )
    print(", which does not fit: chips are decoded at each use" if plan.streams else "")
    print(f"\n{'':46} {'needed':>10} {'there':>10}  load")
    for limit in limits(plan):
        print(f"{limit.name:46} {limit.needed:10,.1f} {limit.there:10,.1f}  {limit.load:.2f} {limit.unit}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for each in fields(Plan):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    show(replace(Plan(), **vars(parser.parse_args())))


if __name__ == "__main__":
    main()

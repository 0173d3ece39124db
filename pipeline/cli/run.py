"""`run`, `resume`, `fetch`, `status`, `logs`: a pipeline run from its start to the console of a step."""

import os
import sys
from typing import Annotated

import typer

from pipeline.cli.options import (
    OUTPUT,
    DataPath,
    Profile,
    Set,
    Source,
    connect,
    connect_server,
    console,
    settings,
)
from pipeline.connection import named_server
from pipeline.errors import PipelineError
from pipeline.stack.stack import Stack, folder
from planets.commands import command
from planets.system import short_id

FAST = ("dataset.sample.chips=120", "training.max_batches=1")
"""Settings of a run that only shows that the pipeline works."""


def run(
    profile: Profile = "sample",
    set_: Set = None,
    models: Annotated[str, typer.Option(help="names or positions of the entries to train")] = "",
    epochs: Annotated[str, typer.Option(help="for every model; 4,8 trains both, as do other lists")] = "",
    image_size: Annotated[str, typer.Option(help="pixels a side, for every model")] = "",
    batch_size: Annotated[str, typer.Option(help="for every model")] = "",
    learning_rate: Annotated[str, typer.Option(help="for every model")] = "",
    seed: Annotated[str, typer.Option(help="of every training")] = "",
    dataset_source: Source = "",
    dataset_path: DataPath = "",
    refresh: Annotated[
        str, typer.Option(help="steps to run even if cached, such as split,train_resnet10t")
    ] = "",
    from_: Annotated[
        str, typer.Option("--from", help="rerun this step and all after it, such as split")
    ] = "",
    dataset_id: Annotated[
        str, typer.Option(help="train on this registered dataset version instead of the source")
    ] = "",
    fast: Annotated[
        bool, typer.Option("--fast", help="two models, one batch each: does a changed pipeline still work?")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="only print what would run, what is cached, and why")
    ] = False,
) -> None:
    """Run the whole pipeline and put the best model into output/best."""
    if fast:
        set_, models, epochs = [*(set_ or []), *FAST], models or "0,1", epochs or "1"
    config = settings(profile, set_, dataset_source, dataset_path)
    from pipeline.config.parameters import Run, run_arguments, with_digests
    from pipeline.controller import steps_of, steps_to_refresh

    numbers = {"epochs": epochs, "image_size": image_size, "batch_size": batch_size, "seed": seed}
    training = {**numbers, "learning_rate": learning_rate}
    to_refresh = ",".join(filter(None, (refresh, from_ and f"{from_.removesuffix('+')}+")))
    arguments = run_arguments(config, models=models, refresh=to_refresh, dataset_id=dataset_id, **training)
    config = with_digests(config, arguments["models"])
    planned = Run.parse(config, arguments)
    planned.check_source(workers_here=named_server(os.environ) is None)
    steps_to_refresh(planned.refresh, steps_of(planned))
    if plan:
        from pipeline.dag.plan import plan_of, plan_table

        console.print(plan_table(plan_of(connect_server(config), planned)))
        return
    api = connect(config, start=True)
    from pipeline.dag.launch import require_dataset, require_trainable, submit
    from pipeline.runs.follow import follow
    from pipeline.stack.queues import require_workers

    require_dataset(api, dataset_id)
    require_trainable(api, planned)
    require_workers(api, config)
    raise typer.Exit(follow(api, submit(config, arguments), console, OUTPUT, config.stack.worker_timeout))


def resume(
    run: Annotated[str, typer.Argument(help="id of the run; the last one by default")] = "",
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Continue a run that failed, was stopped or lost its worker: steps that did not complete run again."""
    config = settings(profile, set_)
    api = connect(config, start=True)
    from pipeline.dag.launch import enqueue_again
    from pipeline.runs.follow import follow, show
    from pipeline.runs.state import chosen_run, read_run
    from pipeline.stack.queues import require_workers
    from pipeline.workers import UNFINISHED, abandoned

    run_id = chosen_run(api, config.clearml.project, config.clearml.pipeline, run)
    state = read_run(api, run_id)
    if state.good:
        show(api, run_id, console)
        console.print("this run completed: there is nothing to resume")
        return
    lost = abandoned(api, [state.task])
    if lost:
        console.print(f"this run is {state.status}, but no live worker executes it: resuming it")
    if state.status in UNFINISHED and not lost:
        console.print(f"this run is {state.status} already; following it")
    else:
        require_workers(api, config)
        enqueue_again(api, state.task, config.queues.controller)
    raise typer.Exit(follow(api, run_id, console, OUTPUT, config.stack.worker_timeout))


def fetch(
    run: Annotated[str, typer.Argument(help="id of the run; the last one by default")] = "",
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Put the results of a run that is over into output/, such as one that was started from the page."""
    config = settings(profile, set_)
    api = connect_server(config)
    from pipeline.runs.follow import conclude
    from pipeline.runs.state import chosen_run, read_run

    state = read_run(api, chosen_run(api, config.clearml.project, config.clearml.pipeline, run))
    if not state.over:
        follow_it = command("resume", short_id(state.id))
        raise PipelineError(f"this run is {state.status}: `{follow_it}` follows it")
    raise typer.Exit(conclude(api, state, console, OUTPUT))


def status(profile: Profile = "sample", set_: Set = None) -> None:
    """Show what runs on this machine, and the last run: each step, its state, and why it ran."""
    config = settings(profile, set_)
    for process in Stack(folder()).running():
        console.print(f"{process.name:12} pid {process.pid:<8} {process.log}")
    api = connect(config, start=False)
    from pipeline.runs.follow import show
    from pipeline.runs.state import last_run

    run_id = last_run(api, config.clearml.project, config.clearml.pipeline)
    if run_id is None:
        console.print(f"no run yet: {command('run')}")
        return
    show(api, run_id, console)


def logs(
    step: Annotated[str, typer.Argument(help="such as train_resnet10t, or controller")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until the step has ended")] = False,
    run: Annotated[str, typer.Option(help="id of the run; the last one by default")] = "",
    all_: Annotated[bool, typer.Option("--all", help="the lines of the agent and of ClearML, too")] = False,
    profile: Profile = "sample",
    set_: Set = None,
) -> None:
    """Print the console of a step, or of the controller; the exit code is 1 if it failed or was stopped."""
    config = settings(profile, set_)
    api = connect(config, start=False, quiet=True)
    from pipeline.runs.failure import failure_of
    from pipeline.runs.logs import lines, own_lines, require_step
    from pipeline.runs.state import chosen_run

    run_id = chosen_run(api, config.clearml.project, config.clearml.pipeline, run)
    its_step = require_step(api, run_id, step)
    if its_step.cached:
        typer.echo(f"{step} is cached: this is the console of task {its_step.task_id}", err=True)
    texts = lines(api, run_id, step, follow)
    try:
        for text in texts if all_ else own_lines(texts):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # the reader, such as head, has closed the pipe; Python would complain on exit
        return
    ended = require_step(api, run_id, step)
    if not ended.task_id:
        typer.echo(f"{step} has printed nothing: it is {ended.status}", err=True)
    if ended.status in ("failed", "aborted"):
        typer.echo(str(failure_of(api, ended)), err=True)
        raise typer.Exit(1)

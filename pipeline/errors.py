"""What can go wrong in starting, watching and judging a run."""


class PipelineError(Exception):
    """Base of all errors that this package raises on purpose; the message says what to do."""


class NoServer(PipelineError):
    """No ClearML server answers where the settings say there is one, or it refuses the keys."""


class NoWorker(PipelineError):
    """A queue that the run needs has no live worker, so the run would wait for ever."""


class StackError(PipelineError):
    """The local stack (embedded server and agents) could not be started or stopped."""


class WorkerError(PipelineError):
    """This machine could not be made a worker, or stopped being one."""


class Unfinished(PipelineError):
    """A task or a run that was asked for does not exist or has not got that far."""

"""What can go wrong in a step, apart from what the domain library raises."""


class StepError(Exception):
    """Base of all errors that a step raises on purpose."""


class OtherCode(StepError):
    """The worker's code or libraries are not those that the run was started with."""


class ParentFailed(StepError):
    """A step that this one builds on did not complete."""


class NothingToSelect(StepError):
    """No evaluation completed, so there is no best model."""

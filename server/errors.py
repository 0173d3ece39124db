"""Errors of the API, each with the HTTP status and the subcode that clients read."""


class ServerError(Exception):
    """Base of all errors that this package raises on purpose."""


class StartError(ServerError):
    """The server cannot start; the message is the one line shown to the user."""


class BackupError(ServerError):
    """A backup cannot be written or restored; the message is the one line shown to the user."""


class ApiError(ServerError):
    """A response other than 200: ``code`` is the HTTP status, ``subcode`` the reason for clients."""

    code = 500
    subcode = 100

    def __init__(self, message: str) -> None:
        """``message`` is sent to the client as ``result_msg``, so it holds no internals."""
        super().__init__(message)
        self.message = message


class BadRequest(ApiError):
    """The request is malformed."""

    code = 400
    subcode = 0


class InvalidId(BadRequest):
    """``tasks.started`` of a task that does not exist."""

    subcode = 10


class MissingArgument(BadRequest):
    """A required argument is missing."""

    subcode = 11


class InvalidArgument(BadRequest):
    """An argument has the wrong type or an impossible value."""

    subcode = 12


class InvalidRegex(BadRequest):
    """A pattern is not a regular expression, or takes too long to match."""

    subcode = 21


class InvalidTask(BadRequest):
    """No task has this id."""

    subcode = 101


class InvalidTaskStatus(BadRequest):
    """The task's status does not allow the change without ``force``."""

    subcode = 110


class EventsNotAdded(BadRequest):
    """None of the request's events could be stored."""

    subcode = 131


class InvalidModel(BadRequest):
    """No model has this id."""

    subcode = 201


class ModelIsReady(BadRequest):
    """A published model is deleted only with ``force``."""

    subcode = 203


class InvalidProject(BadRequest):
    """No project has this id."""

    subcode = 401


class ProjectNotEmpty(BadRequest):
    """A project with tasks is deleted only with ``force``."""

    subcode = 402


class InvalidQueue(BadRequest):
    """No queue has this id."""

    subcode = 701


class QueueNotEmpty(BadRequest):
    """A queue with tasks is deleted only with ``force``."""

    subcode = 702


class TaskNotQueued(BadRequest):
    """The task is not in the queue."""

    subcode = 703


class TaskAlreadyQueued(BadRequest):
    """The task is in a queue already."""

    subcode = 706


class NoDefaultQueue(BadRequest):
    """The call names no queue, and there is no default queue."""

    subcode = 707


class InvalidWorker(BadRequest):
    """No worker of this name is registered."""

    subcode = 1001


class NotUnique(BadRequest):
    """Another document has the same value in a unique field."""

    subcode = 801

    def __init__(self, field: str, value: str) -> None:
        """Name the ``field`` and its ``value``."""
        super().__init__(
            f"Value combination already exists (unique field already contains this value): {field}={value}"
        )


class Unauthorized(ApiError):
    """The request carries no credentials."""

    code = 401
    subcode = 20


class InvalidCredentials(Unauthorized):
    """The key pair is wrong."""

    subcode = 22


class InvalidToken(Unauthorized):
    """The token has a wrong signature or purpose, or has expired."""

    subcode = 30


class Forbidden(ApiError):
    """The caller is known but lacks permission."""

    code = 403
    subcode = 0


class UnknownEndpoint(ApiError):
    """No service has this call."""

    code = 404
    subcode = 0


class BodyTooLarge(ApiError):
    """The body exceeds the server's limit."""

    code = 413
    subcode = 0


class Unavailable(ApiError):
    """The disk is full or the database locked; on 503, SDK and agents wait and retry."""

    code = 503
    subcode = 0

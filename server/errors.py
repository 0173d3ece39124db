"""The errors of the API, each with the HTTP status and the subcode that clients read."""


class ServerError(Exception):
    """Base of everything this package raises on purpose."""


class StartError(ServerError):
    """The server cannot start; the message is the one line that the user sees."""


class BackupError(ServerError):
    """A backup cannot be made or restored; the message is the one line that the user sees."""


class ApiError(ServerError):
    """An answer that is not 200; ``code`` is the HTTP status, ``subcode`` tells clients the reason."""

    code = 500
    subcode = 100

    def __init__(self, message: str) -> None:
        """``message`` is what the client reads in ``result_msg``: never anything internal."""
        super().__init__(message)
        self.message = message


class BadRequest(ApiError):
    """The request cannot be answered as it is."""

    code = 400
    subcode = 0


class InvalidId(BadRequest):
    """``tasks.started`` of a task that does not exist."""

    subcode = 10


class MissingArgument(BadRequest):
    """A required argument is not given."""

    subcode = 11


class InvalidArgument(BadRequest):
    """An argument has the wrong type or a value that makes no sense."""

    subcode = 12


class InvalidRegex(BadRequest):
    """A pattern is no regular expression, or one that takes too long."""

    subcode = 21


class InvalidTask(BadRequest):
    """No task has this id."""

    subcode = 101


class InvalidTaskStatus(BadRequest):
    """The task's status does not allow this, at least not without ``force``."""

    subcode = 110


class EventsNotAdded(BadRequest):
    """Not one event of the request could be stored."""

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
    """The task does not wait in a queue."""

    subcode = 703


class TaskAlreadyQueued(BadRequest):
    """A task waits in one queue, once."""

    subcode = 706


class NoDefaultQueue(BadRequest):
    """No queue was named and none is the default."""

    subcode = 707


class InvalidWorker(BadRequest):
    """No worker of this name is registered."""

    subcode = 1001


class NotUnique(BadRequest):
    """The name is taken."""

    subcode = 801


class Unauthorized(ApiError):
    """Nothing says who is calling."""

    code = 401
    subcode = 20


class InvalidCredentials(Unauthorized):
    """The key pair is not ours."""

    subcode = 22


class InvalidToken(Unauthorized):
    """The token was not signed here, is not for this, or has expired."""

    subcode = 30


class Forbidden(ApiError):
    """Known, but not allowed."""

    code = 403
    subcode = 0


class UnknownEndpoint(ApiError):
    """No service has this call."""

    code = 404
    subcode = 0


class BodyTooLarge(ApiError):
    """The body is larger than the server takes."""

    code = 413
    subcode = 0


class Unavailable(ApiError):
    """The disk is full or the database locked: 503 is what makes SDK and agents wait and ask again."""

    code = 503
    subcode = 0

"""The errors of the API, each with the HTTP status and the subcode that clients read."""


class ServerError(Exception):
    """Base of everything this package raises on purpose."""


class StartError(ServerError):
    """The server cannot start; the message is the one line that the user sees."""


class ApiError(ServerError):
    """An answer that is not 200; ``code`` is the HTTP status, ``subcode`` tells clients the reason."""

    code = 500
    subcode = 100

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(ApiError):
    code = 400
    subcode = 0


class InvalidId(BadRequest):
    subcode = 10


class MissingArgument(BadRequest):
    subcode = 11


class InvalidArgument(BadRequest):
    subcode = 12


class InvalidRegex(BadRequest):
    subcode = 21


class InvalidTask(BadRequest):
    subcode = 101


class InvalidTaskStatus(BadRequest):
    subcode = 110


class EventsNotAdded(BadRequest):
    subcode = 131


class InvalidModel(BadRequest):
    subcode = 201


class ModelIsReady(BadRequest):
    subcode = 203


class InvalidProject(BadRequest):
    subcode = 401


class ProjectNotEmpty(BadRequest):
    subcode = 402


class InvalidQueue(BadRequest):
    subcode = 701


class QueueNotEmpty(BadRequest):
    subcode = 702


class TaskNotQueued(BadRequest):
    subcode = 703


class TaskAlreadyQueued(BadRequest):
    subcode = 706


class NoDefaultQueue(BadRequest):
    subcode = 707


class InvalidWorker(BadRequest):
    subcode = 1001


class NotUnique(BadRequest):
    subcode = 801


class Unauthorized(ApiError):
    code = 401
    subcode = 20


class InvalidCredentials(Unauthorized):
    subcode = 22


class InvalidToken(Unauthorized):
    subcode = 30


class Forbidden(ApiError):
    code = 403
    subcode = 0


class UnknownEndpoint(ApiError):
    code = 404
    subcode = 0


class BodyTooLarge(ApiError):
    code = 413
    subcode = 0

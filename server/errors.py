"""Errors of the API, each with the HTTP status and the subcode that clients read."""


class ServerError(Exception):
    """Base of all errors that this package raises on purpose."""


class StartError(ServerError):
    """The server cannot start; the message is the one line shown to the user."""


class ApiError(ServerError):
    """A response other than 200: ``code`` is the HTTP status, ``subcode`` the reason for clients."""

    code = 500
    subcode = 100

    def __init_subclass__(cls, code: int | None = None, subcode: int = 0) -> None:
        """Set the class's ``code``, by default its base's, and its ``subcode``."""
        super().__init_subclass__()
        cls.code, cls.subcode = code or cls.code, subcode

    def __init__(self, message: str) -> None:
        """``message`` is sent to the client as ``result_msg``, so it holds no internals."""
        super().__init__(message)
        self.message = message


class BadRequest(ApiError, code=400):
    """The request is malformed."""


class InvalidArgument(BadRequest, subcode=12):
    """An argument has the wrong type or an impossible value."""


class NotUnique(BadRequest, subcode=801):
    """Another document has the same value in a unique field."""

    def __init__(self, field: str, value: str) -> None:
        """Name the ``field`` and its ``value``."""
        super().__init__(
            f"Value combination already exists (unique field already contains this value): {field}={value}"
        )

"""The auth service: a token for the credentials."""

from server.credentials import TOKEN_LIFE
from server.dispatch import Call, Service
from server.documents import Document

service = Service("auth")


@service.reads("login")
def login(call: Call) -> Document:
    """Whoever gets here has shown a key pair or a token that still holds."""
    return {"token": call.credentials.token(call.arguments.integer("expiration_sec", TOKEN_LIFE))}


@service.reads("link")
def link(call: Call) -> Document:
    """A one-time token that opens the page: no call of ClearML's, made for the launcher."""
    return {"token": call.credentials.link()}

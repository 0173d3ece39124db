"""The auth service, which issues tokens, the users service for the one user, and the debug service."""

import json

from server import documents
from server.credentials import TOKEN_LIFE
from server.dispatch import ANYTHING, Call, Service
from server.documents import Document, dump

auth = Service("auth")
debug = Service("debug")
service = Service("users")


@auth.reads("login", "expiration_sec")
def login(call: Call) -> Document:
    """Issue a session token; the caller has passed authentication."""
    return {"token": call.credentials.token(call.arguments.integer("expiration_sec", TOKEN_LIFE))}


@debug.reads("ping")
def ping(call: Call) -> Document:
    """Answer anybody: health checks and clients that look for a server have no token."""
    return {}


@auth.reads("link")
def link(call: Call) -> Document:
    """Issue a one-time token that opens the page; an addition to ClearML's API for the launcher."""
    return {"token": call.credentials.link()}


PROFILE: Document = {
    "id": documents.USER,
    "name": documents.USER_NAME,
    "given_name": documents.USER_NAME,
    "family_name": "",
    "role": documents.ROLE,
    "avatar": None,
    "company": documents.COMPANY_REFERENCE,
}


@service.reads("get_current_user", ANYTHING)
def get_current_user(call: Call) -> Document:
    """Return the calling user: always the one user."""
    return {"user": PROFILE, "getting_started": None, "settings": {}}


@service.reads("get_by_id", "user")
def get_by_id(call: Call) -> Document:
    """Return the one user, whatever the id."""
    return {"user": PROFILE}


@service.reads("get_all", ANYTHING)
def get_all(call: Call) -> Document:
    """Return the one user."""
    return {"users": [{**PROFILE, "company": documents.COMPANY}]}


@service.reads("get_all_ex", ANYTHING)
def get_all_ex(call: Call) -> Document:
    """Return the one user, with id and name of the company."""
    return {"users": [PROFILE]}


@service.reads("get_preferences")
def get_preferences(call: Call) -> Document:
    """Return the preferences that the web page stored."""
    row = call.db.execute("SELECT doc FROM preferences WHERE user = ?", (documents.USER,)).fetchone()
    return {"preferences": json.loads(row["doc"]) if row else {}}


@service.writes("set_preferences", "preferences")
def set_preferences(call: Call) -> Document:
    """Replace the web page's preferences."""
    call.arguments.require("preferences")
    call.db.execute(
        "INSERT INTO preferences (user, doc) VALUES (?, ?)"
        " ON CONFLICT (user) DO UPDATE SET doc = excluded.doc",
        (documents.USER, dump(call.arguments.mapping("preferences"))),
    )
    return {"updated": 1, "fields": {}}

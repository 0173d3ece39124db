"""The users and auth services."""

import json

from server import identity
from server.credentials import TOKEN_LIFE
from server.dispatch import Call, Service
from server.documents import Document, dump

auth = Service("auth")
service = Service("users")


@auth.reads("login")
def login(call: Call) -> Document:
    """Whoever gets here has shown a key pair or a token that still holds."""
    return {"token": call.credentials.token(call.arguments.integer("expiration_sec", TOKEN_LIFE))}


@auth.reads("link")
def link(call: Call) -> Document:
    """A one-time token that opens the page: no call of ClearML's, made for the launcher."""
    return {"token": call.credentials.link()}


PROFILE: Document = {
    "id": identity.USER,
    "name": identity.USER_NAME,
    "given_name": identity.USER_NAME,
    "family_name": "",
    "role": identity.ROLE,
    "avatar": None,
    "company": {"id": identity.COMPANY, "name": identity.COMPANY_NAME},
}


@service.reads("get_current_user")
def get_current_user(call: Call) -> Document:
    """Who is calling: always the one user."""
    return {"user": PROFILE, "getting_started": None, "settings": {}}


@service.reads("get_by_id")
def get_by_id(call: Call) -> Document:
    """The one user, whatever the id."""
    return {"user": PROFILE}


@service.reads("get_all")
def get_all(call: Call) -> Document:
    """The one user."""
    return {"users": [{**PROFILE, "company": identity.COMPANY}]}


@service.reads("get_all_ex")
def get_all_ex(call: Call) -> Document:
    """The one user, with the company by id and name."""
    return {"users": [PROFILE]}


@service.reads("get_preferences")
def get_preferences(call: Call) -> Document:
    """What the web page stored for the user."""
    row = call.db.execute("SELECT doc FROM preferences WHERE user = ?", (identity.USER,)).fetchone()
    return {"preferences": json.loads(row["doc"]) if row else {}}


@service.writes("set_preferences")
def set_preferences(call: Call) -> Document:
    """Store what the web page wants to remember; replaces it whole."""
    call.arguments.require("preferences")
    call.db.execute(
        "INSERT INTO preferences (user, doc) VALUES (?, ?)"
        " ON CONFLICT (user) DO UPDATE SET doc = excluded.doc",
        (identity.USER, dump(call.arguments.mapping("preferences"))),
    )
    return {"updated": 1, "fields": {}}

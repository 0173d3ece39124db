"""The auth service, which issues tokens, the users service for the one user, and the debug service."""

import json

from server import documents
from server.credentials import TOKEN_LIFE, Unauthorized
from server.database import compiled
from server.dispatch import Call, Service
from server.documents import Document, dump, project_fields
from server.errors import InvalidArgument
from server.stores.projects import tree

auth = Service("auth")
debug = Service("debug")
service = Service("users")


@auth.reads("login", "expiration_sec")
def login(call: Call) -> Document:
    """Issue a session token; the caller has passed authentication."""
    return {"token": call.credentials.token(call.arguments.integer("expiration_sec", TOKEN_LIFE))}


@auth.reads("get_credentials")
def get_credentials(call: Call) -> Document:
    """Return the access key of the one pair; its secret is in the data folder only."""
    return {"credentials": [{"access_key": call.credentials.access_key, "label": "credentials.json"}]}


@auth.reads("validate_token", "token")
def validate_token(call: Call) -> Document:
    """Return whether the text is a valid session token, and of whom."""
    try:
        call.credentials.authenticate(f"Bearer {call.arguments.text('token')}")
    except Unauthorized:
        return {"valid": False}
    return {"valid": True, "user": documents.USER, "company": documents.COMPANY}


@debug.reads("ping")
def ping(call: Call) -> Document:
    """Answer anybody: health checks and clients that look for a server have no token."""
    return {}


@auth.reads("link")
def link(call: Call) -> Document:
    """Issue a one-time token that opens the page; an addition to ClearML's API for the launcher."""
    return {"token": call.credentials.link()}


FOUND = ("id", "name", "order_by", "page", "page_size", "only_fields")
PROFILE: Document = {
    "id": documents.USER,
    "name": documents.USER_NAME,
    "given_name": documents.USER_NAME,
    "family_name": "",
    "role": documents.ROLE,
    "avatar": None,
    "company": documents.COMPANY_REFERENCE,
}


class InvalidUser(InvalidArgument, subcode=12):
    """No user has this id."""


@service.reads("get_current_user")
def get_current_user(call: Call) -> Document:
    """Return the calling user: always the one user."""
    return {"user": PROFILE, "getting_started": None, "settings": {}}


@service.reads("get_by_id", "user")
def get_by_id(call: Call) -> Document:
    """Return the one user; raises InvalidUser for another id."""
    user = call.arguments.text("user")
    if user != documents.USER:
        raise InvalidUser(f"Invalid user id: id={user}, company={documents.COMPANY}")
    return {"user": PROFILE}


@service.reads("get_all", *FOUND)
def get_all(call: Call) -> Document:
    """Return the one user, if the filters match."""
    return _found(call, {**PROFILE, "company": documents.COMPANY})


@service.reads("get_all_ex", "active_in_projects", *FOUND)
def get_all_ex(call: Call) -> Document:
    """Return the one user, with id and name of the company.

    With ``active_in_projects``, only if one of them, or one below, has a task; an empty list is all projects.
    """
    if "active_in_projects" not in call.arguments:
        return _found(call, PROFILE)
    named = call.arguments.texts("active_in_projects")
    projects = dump([project for root in named for project in tree(call.db, root)])
    active = call.db.execute(
        "SELECT 1 FROM tasks WHERE ? OR project IN (SELECT value FROM json_each(?))", (not named, projects)
    ).fetchone()
    return _found(call, PROFILE) if active else {"users": []}


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


def _found(call: Call, user: Document) -> Document:
    """Return the user in a list, reduced to ``only_fields``; an empty one if a filter leaves the user out."""
    arguments = call.arguments
    named = compiled(arguments.maybe_text("name") or "").search(user["name"])
    if not named or ("id" in arguments and user["id"] not in arguments.texts("id")):
        return {"users": []}
    if arguments.integer("page", 0):
        return {"users": []}
    fields = [name for name in arguments.texts("only_fields") if name != "*"]
    return {"users": [project_fields(user, ["id", *fields]) if fields else user]}

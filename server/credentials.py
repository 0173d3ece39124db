"""Keys, tokens and one-time links of the data folder."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from typing import Any

import jwt

from server import API_VERSION, SERVER_VERSION, documents
from server.data_folder import write_private
from server.errors import ApiError, StartError

DAY = 24 * 3600
TOKEN_LIFE = 30 * DAY
LONGEST_TOKEN_LIFE = 365 * DAY
LINK_LIFE = 10 * 60
SESSION_LIFE = 8 * 3600

ALGORITHM = "HS256"
MASK = b"********"


class Unauthorized(ApiError, code=401, subcode=20):
    """The request carries no credentials."""


class InvalidCredentials(Unauthorized, subcode=22):
    """The key pair is wrong."""


class InvalidToken(Unauthorized, subcode=30):
    """The token has a wrong signature or purpose, or has expired."""


class Credentials:
    """The key pair that SDK and agents log in with, and the key that signs tokens."""

    def __init__(self, access_key: str, secret_key: str, signing_key: bytes) -> None:
        """Keep the keys; anyone who has ``signing_key`` can issue tokens and links."""
        self.access_key = access_key
        self._secret_key = secret_key
        self._signing_key = signing_key
        self._links: dict[str, float] = {}

    @classmethod
    def of(cls, folder: Path) -> "Credentials":
        """Read the keys from ``folder``; the first start generates them, readable by their owner only.

        Raises:
            StartError: A key file is damaged.
        """
        path = folder / "credentials.json"
        if not path.exists():
            pair = {"access_key": secrets.token_hex(10).upper(), "secret_key": secrets.token_urlsafe(32)}
            write_private(path, json.dumps(pair, indent=2))
        signing = folder / "signing.key"
        if not signing.exists():
            write_private(signing, secrets.token_hex(32))
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(stored["access_key"], stored["secret_key"], bytes.fromhex(signing.read_text().strip()))
        except (ValueError, KeyError, TypeError) as error:
            raise StartError(f"{path} or {signing.name} is damaged; remove both for new keys") from error

    def authenticate(self, authorization: str | None, *, pair: bool = False) -> None:
        """Check the Authorization header: a Bearer token or, if ``pair``, the keys themselves (Basic).

        No cookie proves anything here: browsers send cookies also when a page of another program asks.

        Raises:
            Unauthorized: The header does not prove who is calling.
        """
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() == "basic" and pair:
            self._check_pair(value.strip())
        elif scheme.lower() == "bearer":
            self._check_token(value.strip())
        else:
            raise Unauthorized("Unauthorized (missing credentials)")

    def masked(self, text: bytes) -> bytes:
        """Replace the keys by stars: an agent prints its settings into the log of every task."""
        for key in (self.access_key.encode(), self._secret_key.encode()):
            text = text.replace(key, MASK)
        return text

    def token(self, life: int = TOKEN_LIFE) -> str:
        """Issue a session token, valid for ``life`` seconds, with the fields that the SDK reads."""
        now = int(time.time())
        return self._sign(
            {
                "iat": now,
                "exp": now + min(max(life, 1), LONGEST_TOKEN_LIFE),
                "auth_type": "Bearer",
                "identity": {
                    "user": documents.USER,
                    "user_name": documents.USER_NAME,
                    "company": documents.COMPANY,
                    "company_name": documents.COMPANY_NAME,
                    "role": documents.ROLE,
                },
                "api_version": API_VERSION,
                "server_version": SERVER_VERSION,
                "feature_set": "basic",
            }
        )

    def link(self) -> str:
        """Issue a token that opens the page once, within LINK_LIFE seconds, until the server ends.

        It is short, so that the link fits a line of a terminal: 72 random bits that only memory holds.
        """
        now = time.monotonic()
        self._links = {token: expires for token, expires in self._links.items() if expires > now}
        token = secrets.token_urlsafe(9)
        self._links[token] = now + LINK_LIFE
        return token

    def session(self) -> str:
        """Issue the cookie of one browser: it opens the page for SESSION_LIFE seconds, and nothing else."""
        now = int(time.time())
        return self._sign({"session": secrets.token_hex(16), "iat": now, "exp": now + SESSION_LIFE})

    def is_session(self, cookie: str | None) -> bool:
        """Check that ``cookie`` is one that ``session`` issued and has not expired."""
        try:
            return isinstance(self._verified(cookie or "").get("session"), str)
        except InvalidToken:
            return False

    @property
    def private_host(self) -> str:
        """Host name of the page that nobody can guess; browsers resolve it to their own machine."""
        digest = hmac.digest(self._signing_key, b"host name of the page", hashlib.sha256)
        return f"clearml-{digest[:6].hex()}.localhost"

    def form_token(self, session: str) -> str:
        """Return the token of one session's forms, which no other site knows and no other session can use."""
        digest = hmac.digest(self._signing_key, f"form.{session}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

    def is_form_token(self, token: str, session: str) -> bool:
        """Check that ``token`` belongs to the forms of this session."""
        return hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def redeem(self, link: str, *, keep: bool = False) -> bool:
        """Use up ``link`` unless it is to ``keep``; False if it is invalid, expired or used already."""
        expires = self._links.get(link, 0.0)
        if not keep:
            self._links.pop(link, None)
        return expires > time.monotonic()

    def _check_pair(self, encoded: str) -> None:
        try:
            pair = base64.b64decode(encoded, validate=True)
        except ValueError:
            pair = b""
        expected = f"{self.access_key}:{self._secret_key}".encode()
        if not hmac.compare_digest(pair, expected):
            raise InvalidCredentials(
                "Unauthorized (invalid credentials) (failed to locate provided credentials)"
            )

    def _check_token(self, token: str) -> None:
        if self._verified(token).get("auth_type") != "Bearer":
            raise InvalidToken("Unauthorized (invalid token) (not a session token)")

    def _sign(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self._signing_key, algorithm=ALGORITHM)

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token, self._signing_key, algorithms=[ALGORITHM], options={"require": ["exp", "iat"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("Unauthorized (invalid token) (token has expired)") from error
        except jwt.InvalidTokenError as error:
            raise InvalidToken("Unauthorized (invalid token) (signature verification failed)") from error

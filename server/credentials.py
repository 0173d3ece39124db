"""Keys, tokens and one-time links of the data folder."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from pathlib import Path
from typing import Any

from server import identity
from server.data_folder import write_private
from server.errors import InvalidCredentials, InvalidToken, StartError, Unauthorized

DAY = 24 * 3600
TOKEN_LIFE = 30 * DAY
LONGEST_TOKEN_LIFE = 365 * DAY
LINK_LIFE = 10 * 60

COOKIE = "clearml_token_basic"
MASK = b"********"


class Credentials:
    """The key pair that the SDK and the agents log in with, and what tokens are signed with."""

    def __init__(self, access_key: str, secret_key: str, signing_key: bytes) -> None:
        """``signing_key`` signs tokens and links; who has it can make any."""
        self.access_key = access_key
        self._secret_key = secret_key
        self._signing_key = signing_key
        self._used_links: dict[str, int] = {}
        self._since = time.time()

    @classmethod
    def of(cls, folder: Path) -> "Credentials":
        """Read them from ``folder``; at the first start generate them there, readable by the owner only."""
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

    def authenticate(self, authorization: str | None, cookie: str | None) -> None:
        """Raises Unauthorized unless the header (Basic or Bearer) or the cookie proves who is calling."""
        scheme, _, value = (authorization or "").partition(" ")
        if scheme.lower() == "basic":
            self._check_pair(value.strip())
        elif scheme.lower() == "bearer":
            self._check_token(value.strip())
        elif cookie:
            self._check_token(cookie)
        else:
            raise Unauthorized("Unauthorized (missing credentials)")

    def masked(self, text: bytes) -> bytes:
        """The text with stars for the keys: an agent prints its settings into the log of every task."""
        for key in (self.access_key.encode(), self._secret_key.encode()):
            text = text.replace(key, MASK)
        return text

    def token(self, life: int = TOKEN_LIFE) -> str:
        """A signed token with the fields that the SDK reads from it; ``life`` in seconds."""
        now = int(time.time())
        return self._sign(
            {
                "iat": now,
                "exp": now + min(max(life, 1), LONGEST_TOKEN_LIFE),
                "auth_type": "Bearer",
                "identity": {
                    "user": identity.USER,
                    "user_name": identity.USER_NAME,
                    "company": identity.COMPANY,
                    "company_name": identity.COMPANY_NAME,
                    "role": identity.ROLE,
                },
                "api_version": identity.API_VERSION,
                "server_version": identity.SERVER_VERSION,
                "feature_set": "basic",
            }
        )

    def link(self) -> str:
        """A token that opens the page once, within LINK_LIFE seconds, on the server that runs now."""
        now = time.time()
        return self._sign({"link": secrets.token_hex(16), "iat": now, "exp": int(now) + LINK_LIFE})

    def form_token(self, session: str) -> str:
        """What a form of the page carries: another site cannot know it, another session cannot use it."""
        return self._signature("form", session)

    def is_form_token(self, token: str, session: str) -> bool:
        """Whether ``token`` is the one of this session's forms."""
        return hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def redeem(self, link: str) -> bool:
        """Whether ``link`` is good; it is not a second time."""
        try:
            payload = self._verified(link)
        except InvalidToken:
            return False
        now = int(time.time())
        self._used_links = {used: expires for used, expires in self._used_links.items() if expires > now}
        nonce = payload.get("link")
        # Which links were used is forgotten at the end, so a server honours none from before its start.
        if not isinstance(nonce, str) or nonce in self._used_links or payload["iat"] < self._since:
            return False
        self._used_links[nonce] = payload["exp"]
        return True

    def _check_pair(self, encoded: str) -> None:
        try:
            given = base64.b64decode(encoded, validate=True)
        except ValueError:
            given = b""
        expected = f"{self.access_key}:{self._secret_key}".encode()
        if not hmac.compare_digest(given, expected):
            raise InvalidCredentials(
                "Unauthorized (invalid credentials) (failed to locate provided credentials)"
            )

    def _check_token(self, token: str) -> None:
        if self._verified(token).get("auth_type") != "Bearer":
            raise InvalidToken("Unauthorized (invalid token) (not a session token)")

    def _sign(self, payload: dict[str, Any]) -> str:
        head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _encode(json.dumps(payload).encode())
        return f"{head}.{body}.{self._signature(head, body)}"

    def _verified(self, token: str) -> dict[str, Any]:
        head, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(head, body).encode()):
            raise InvalidToken("Unauthorized (invalid token) (signature verification failed)")
        payload: dict[str, Any] = json.loads(_decode(body))
        if payload["exp"] <= time.time():
            raise InvalidToken("Unauthorized (invalid token) (token has expired)")
        return payload

    def _signature(self, head: str, body: str) -> str:
        return _encode(hmac.digest(self._signing_key, f"{head}.{body}".encode(), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

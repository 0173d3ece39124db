"""Addresses of the server: where clients and browsers find it, and the host names that it answers to."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from server.errors import StartError

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Addresses:
    """Public addresses of API, page and file server, without a trailing slash.

    ``hosts`` are the accepted host names besides localhost and plain IP addresses. ``proxied`` is true behind
    a TLS proxy, where browsers reach the server under no other name.
    """

    api: str
    page: str
    files: str
    hosts: frozenset[str]
    proxied: bool = False

    @property
    def cookie(self) -> str:
        """Name of the session cookie, one per address: browsers send cookies to all ports of a host."""
        parts = urlsplit(self.page)
        # The prefix makes browsers refuse the cookie without TLS and from other names of the domain.
        return "__Host-clearml" if parts.scheme == "https" else f"clearml_{parts.port}"

    def accepts_host(self, name: str) -> bool:
        """Return True if ``name`` is one of the server's. DNS rebinding needs a name: any IP address is."""
        if name.lower() in self.hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def accepts_origin(self, origin: str, host: str) -> bool:
        """Return True if a page of ``origin`` may call the server as ``host``."""
        own = {self.page} if self.proxied else {self.page, f"http://{host}"}
        return origin.lower() in {address.lower() for address in own}


def addresses(
    host: str, ports: tuple[int, int], names: tuple[str, ...], page_host: str, private_host: str
) -> Addresses:
    """Return the addresses of a server that clients reach directly.

    Args:
        host: The public name or address; the one that the server listens on if it has no other.
        ports: Those of API and page, and of the files.
        names: Further host names that clients use.
        page_host: Host name of the page; empty for ``private_host`` on this machine, else ``host``.
        private_host: A name that only the owner of the data folder knows.
    """
    public = ANY.get(host, host)
    # Other programs of this machine listen on 127.0.0.1, too, and browsers would send them the cookie.
    page = page_host or (private_host if public in LOOPBACK else public)
    accepted = frozenset(name.lower() for name in (host, public, page, "localhost", *names))
    api, files = ports
    return Addresses(_url(public, api), _url(page, api), _url(public, files), accepted)


def proxied_addresses(url: str, files_url: str, names: tuple[str, ...]) -> Addresses:
    """Return the addresses of a server behind a proxy: ``url`` for API and page, ``files_url`` for the files.

    Raises:
        StartError: One of them is missing, or holds more than scheme, host and port.
    """
    web, files = (_origin(url, "--public-url"), _origin(files_url, "--public-files-url"))
    if web == files:
        raise StartError(f"--public-files-url must differ from --public-url {web}: another name or port")
    accepted = {urlsplit(address).hostname or "" for address in (web, files)}
    accepted |= {name.lower() for name in ("localhost", *names)}
    return Addresses(web, web, files, frozenset(accepted), proxied=True)


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _origin(url: str, option: str) -> str:
    try:
        parts = urlsplit(url)
        bare = url.rstrip("/").lower() == f"{parts.scheme}://{parts.netloc}".lower()
        usable = bare and parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        port = parts.port
    except ValueError:
        usable, port = None, None
    if not usable:
        raise StartError(f"{option} must be https://name or https://name:port, not {url!r}")
    # Browsers leave the scheme's own port out of the Origin header.
    name = url.rstrip("/").lower()
    return name.removesuffix(f":{port}") if port == {"http": 80, "https": 443}[parts.scheme] else name

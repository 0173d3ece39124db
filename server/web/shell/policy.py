"""The content security policy of the page: our own script and style, our file server's pictures."""

from urllib.parse import urlsplit

from server.guard import host_name

# plotly.js makes an empty <style> and fills it rule by rule: this is the hash of the empty text.
EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def policy(files_origin: str, host: str) -> str:
    """``host`` is the request's, which the guard has checked: the file server may be known by it, too."""
    name = host_name(host)
    known = f"[{name}]" if ":" in name else name
    as_called = f"http://{known}:{urlsplit(files_origin).port}"
    files = " ".join(dict.fromkeys((files_origin, as_called)))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' {EMPTY_STYLE};"
        f" img-src 'self' data: blob: {files}; media-src {files};"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )

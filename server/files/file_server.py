"""File server: artifacts, models, datasets and images by path."""

import errno
import logging
import mimetypes
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response

from server import API_VERSION
from server.credentials import Credentials
from server.dispatch import envelope
from server.errors import ApiError, BadRequest
from server.files.tree import Tree
from server.files.upload import Upload

log = logging.getLogger("server")

# An uploaded page runs no scripts and has no origin, so it cannot call the server as the user.
SANDBOX = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; font-src data:"


class PathTaken(ApiError, code=409):
    """A folder is in the place of a file, or a file in the place of a folder."""


class DiskFull(ApiError, code=507):
    """The file system is full; on a 503 the client would retry its upload for ever without a word."""


class Files:
    """HTTP endpoint over a tree of files."""

    def __init__(self, tree: Tree, drafts: Path, credentials: Credentials) -> None:
        """Serve ``tree``; uploads are written to ``drafts``, on the same file system, and then moved."""
        self._tree = tree
        self._drafts = drafts
        self._credentials = credentials

    async def handle(self, request: Request) -> Response:
        """Handle a request; errors are answered in the API's envelope."""
        try:
            self._credentials.authenticate(request.headers.get("authorization"))
            return await self._answer(request)
        except ClientDisconnect:
            raise
        except ApiError as error:
            failure = error
        except OSError as error:
            failure = _explained(error)
        except Exception:
            log.exception("%s %.200r failed", request.method, request.scope["path"])
            failure = ApiError("General error (see the server's log)")
        return envelope("files", API_VERSION, None, error=failure)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if request.method in ("GET", "HEAD"):
            return download(self._tree, path)
        if request.method == "DELETE":
            return self._delete(path)
        if request.method in ("POST", "PUT"):
            return await self._upload(request)
        return Response(status_code=405, headers={"allow": "GET, HEAD, POST, PUT, DELETE"})

    def _delete(self, path: str) -> Response:
        self._tree.remove(path)
        return JSONResponse([path.lstrip("/")])

    async def _upload(self, request: Request) -> Response:
        upload = Upload(request.headers.get("content-type", ""), self._drafts)
        try:
            await upload.receive(request.stream())
            targets = [(self._tree.target(name), draft) for name, draft in upload.parts]
            for target, draft in targets:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                draft.replace(target)
        finally:
            upload.discard()
        return JSONResponse([name.lstrip("/") for name, _ in upload.parts])


def download(tree: Tree, path: str) -> Response:
    """Return the file at ``path``: for browsers an inert document. Raises NotFound if it is not there."""
    file = tree.existing(path)
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = {"content-security-policy": SANDBOX, "cache-control": "private, no-cache"}
    return FileResponse(
        file, media_type=kind, headers=headers, filename=file.name, content_disposition_type="inline"
    )


def _explained(error: OSError) -> ApiError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull("No space is left on the server for the file")
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY):
        return PathTaken("The path is taken: a file is where a folder should be, or the other way round")
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
        return BadRequest("Invalid path")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO):
        log.error("the file server cannot use its folder: %s", error)
        return ApiError(f"The server cannot use its folder of files: {error.strerror}")
    log.exception("the file server failed")
    return ApiError("General error (see the server's log)")

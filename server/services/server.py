"""The server service: version and calls of this server."""

from server import API_VERSION, SERVER_VERSION, documents
from server.dispatch import Call, Service
from server.documents import Document

service = Service("server")


@service.reads("info")
def info(call: Call) -> Document:
    """Return the versions of ClearML's server and API that this server answers like, and its company."""
    return {
        "version": SERVER_VERSION,
        "api_version": API_VERSION,
        "build": "embedded",
        "commit": "",
        "uid": documents.COMPANY,
    }


@service.reads("report_stats_option")
def report_stats_option(call: Call) -> Document:
    """Tell that this server sends no usage statistics to anybody, and cannot be made to."""
    return {"supported": False, "enabled": False}

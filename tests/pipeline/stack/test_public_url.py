"""The stack behind a proxy that terminates TLS, as the user's commands start it."""

import pytest
from support.checkouts import free_ports
from support.tls_proxy import tls_proxy

pytestmark = pytest.mark.slow


def test_the_stack_has_the_addresses_of_its_proxy(new_checkout, tmp_path):
    web, files, api_port, files_port = free_ports(4)
    page, storage = f"https://localhost:{web}", f"https://localhost:{files}"
    sets = [f"stack.public_url={page}", f"stack.public_files_url={storage}", "stack.workers.services=0"]
    sets += ["stack.workers.cpu=0", f"stack.api_port={api_port}", f"stack.files_port={files_port}"]
    authority = tmp_path / "ca.pem"
    checkout = new_checkout()
    checkout.environment["REQUESTS_CA_BUNDLE"] = str(authority)
    with tls_proxy({web: api_port, files: files_port}, authority):
        printed = checkout("up", sets=sets)
        exports = checkout.exports()
        checkout("down")
    assert f"{page}/login?token=" in printed
    hosts = [exports[f"CLEARML_{host}_HOST"] for host in ("API", "WEB", "FILES")]
    assert hosts == [page, page, storage]

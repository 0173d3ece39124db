"""Behind a proxy that terminates TLS: addresses, cookie, origins and the SDK."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support import seed
from support.browsing import link, listen
from support.checkouts import free_ports
from support.embedded import Embedded, fetch, refused, running, sdk_runner
from support.tls_proxy import tls_proxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authority") / "ca.pem"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[Embedded]:
    """A server behind the proxy; whatever this process asks, it asks through the proxy."""
    web, files, api_port, files_port = free_ports(4)
    options = ["--public-url", f"https://localhost:{web}", "--public-files-url", f"https://localhost:{files}"]
    options += ["--api-port", str(api_port), "--files-port", str(files_port)]
    with pytest.MonkeyPatch.context() as patch, tls_proxy({web: api_port, files: files_port}, authority):
        patch.setenv("SSL_CERT_FILE", str(authority))
        with running(tmp_path_factory.mktemp("proxied") / "data", *options) as server:
            assert server.api == server.web == f"https://localhost:{web}"
            assert server.files == f"https://localhost:{files}"
            yield server


def test_the_page_works_through_the_proxy(proxied: Embedded, browser: Browser, tmp_path: Path) -> None:
    task = proxied.new_task(name="with a sample")
    url = seed.upload(proxied, f"shop/{task}/pixel.png", seed.PIXEL)
    event = {"type": "training_debug_image", "task": task, "metric": "m", "variant": "v", "iter": 0}
    proxied.events({**event, "timestamp": 1, "url": url})
    context = browser.new_context(base_url=proxied.web, ignore_https_errors=True)
    page = context.new_page()
    complaints: list[str] = []
    listen(page, complaints)
    address = link(proxied)
    assert address.startswith(f"{proxied.web}/login?token=")
    page.goto(address)
    expect(page).to_have_url(f"{proxied.web}/")
    (cookie,) = context.cookies()
    shape = {name: cookie[name] for name in ("name", "secure", "httpOnly", "sameSite", "path")}  # type: ignore[literal-required]
    assert shape == {
        "name": "__Host-clearml", "secure": True, "httpOnly": True, "sameSite": "Strict", "path": "/",
    }  # fmt: skip
    page.goto("/queues")
    page.locator("summary", has_text="New queue").click()
    page.get_by_label("Name").fill("proxied")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("region", name="proxied")).to_be_visible()
    page.goto(f"/projects/*/experiments/{task}/info-output/debugImages")
    expect(page.locator("figure img")).to_have_js_property("naturalWidth", 1)
    assert complaints == []
    context.close()


def test_the_sdk_works_through_the_proxy(
    proxied: Embedded, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    result = sdk_runner(proxied, tmp_path)(
        """
        from clearml import Task
        task = Task.init("proxied", "through tls", output_uri=True, auto_connect_frameworks=False)
        task.upload_artifact("numbers", {"one": 1}, wait_on_upload=True)
        task.close()
        again = Task.get_task(task.id)
        artifact = again.artifacts["numbers"]
        result = [artifact.url, artifact.get(), again.get_output_log_web_page()]
        """
    )
    assert result[0].startswith(f"{proxied.files}/")
    assert result[1] == {"one": 1}
    assert result[2].startswith(f"{proxied.web}/projects/")


def test_pages_of_other_origins_can_do_nothing(proxied: Embedded) -> None:
    """Neither a page of the same name without TLS, nor one at the port behind the proxy."""
    name = proxied.web.removeprefix("https://")
    for origin in (f"http://{name}", "https://localhost", proxied.files, "null"):
        headers = {**proxied.bearer, "Origin": origin}
        assert fetch(f"{proxied.api}/tasks.get_all", "POST", b"{}", headers).status == 403
    headers = {**proxied.bearer, "Origin": proxied.web}
    assert fetch(f"{proxied.api}/tasks.get_all", "POST", b"{}", headers).status == 200
    assert fetch(proxied.api + "/", headers={**proxied.bearer, "Host": "evil.example"}).status == 403


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--public-url", "https://name"], "--public-files-url must be https://name or https://name:port"),
        (["--public-url", "name:443", "--public-files-url", "https://files"], "--public-url must be"),
        (["--public-url", "https://name/path", "--public-files-url", "https://f"], "'https://name/path'"),
        (["--public-url", "https://a:b@name", "--public-files-url", "https://f"], "--public-url must be"),
        (["--public-url", "https://name:99999", "--public-files-url", "https://f"], "--public-url must be"),
        (["--public-url", "https://name", "--public-files-url", "https://name:443/"], "must differ from"),
    ],
)
def test_addresses_that_cannot_be(tmp_path: Path, options: list[str], message: str) -> None:
    assert message in refused("--data", str(tmp_path / "d"), "--api-port", "0", "--files-port", "0", *options)

"""Fetching over real HTTP: to whom the key goes, where a redirect may lead, what is kept."""

from __future__ import annotations

import base64
import gzip
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from oxen_inference import OxenClient
from oxen_inference.media.results.download import Source, fetch
from oxen_inference.media.results.public_connection import FetchError, TransferLimits, connect
from tests.support.bad_hub import PNG, BadHub
from tests.support.scripted_server import Hold, ScriptedServer, http

KEY = {"Authorization": "Bearer secret"}


class Site:
    """Serves `pages`: path → (status, headers, body); remembers what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, dict(self.headers)))
                status, headers, body = site.pages[self.path.partition("?")[0]]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._handler = Handler
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def protocol(self, version: str) -> None:
        self._handler.protocol_version = version

    def keys(self) -> list[bool]:
        return ["Authorization" in headers for _, headers in self.asked]


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    hub, other = Site(), Site()
    hub.pages["/ok"] = other.pages["/ok"] = (200, {"Content-Length": str(len(PNG))}, PNG)
    yield hub, other
    for site in (hub, other):
        site.server.shutdown()
        site.server.server_close()


def source(hub: Site, *allowed: str, **changes: Any) -> Source:
    return replace(
        Source(hub=f"{hub.origin}/api/ai", headers=KEY, allowed_hosts=allowed), **changes
    )


def test_the_hub_itself_gets_the_key(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, _ = sites
    fetched = fetch(f"{hub.origin}/ok?a=b", tmp_path, "ox", "image", source(hub))
    assert fetched.path.read_bytes() == PNG
    assert hub.keys() == [True]
    assert hub.asked[0][1]["Host"] == hub.host


def test_the_hub_alone_gets_the_headers_of_the_client(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, other = sites
    hub.pages["/away"] = (302, {"Location": f"{other.origin}/ok"}, b"")
    given = {"X-Team": "oxen", "accept-encoding": "br", "If-None-Match": "*", "X-Name": "Kühe"}
    base_url = f"{hub.origin}/api/ai"
    with OxenClient(api_key="k", base_url=base_url, ledger=None, default_headers=given) as client:
        client.media.allowed_hosts.add(other.host)
        for path in ("/ok", "/away"):
            fetch(f"{hub.origin}{path}", tmp_path, "ox", "image", client.media._source())
        with client.with_options(default_headers={"authorization": "Basic gateway"}) as own:
            fetch(f"{hub.origin}/ok", tmp_path, "ox", "image", own.media._source())
    (_, first), (_, second), (_, gateways) = hub.asked
    assert first == second | {"Host": hub.host}
    assert (first["X-Team"], first["Authorization"]) == ("oxen", "Bearer k")
    assert first["Accept-Encoding"] == "identity"
    assert not {"accept-encoding", "If-None-Match", "X-Name"} & first.keys()
    assert (gateways["authorization"], gateways.get("Authorization")) == ("Basic gateway", None)
    ((_, away),) = other.asked
    assert not {"X-Team", "Authorization"} & away.keys()


def test_another_private_host_is_refused_unless_allowed(sites: tuple[Site, Site], tmp_path: Path) -> None:  # fmt: skip
    hub, other = sites
    with pytest.raises(FetchError, match="allowed_hosts"):
        fetch(f"{other.origin}/ok", tmp_path, "ox", "image", source(hub))
    assert not other.asked
    fetch(f"{other.origin}/ok", tmp_path, "ox", "image", source(hub, other.host))
    assert other.keys() == [False]


@pytest.mark.parametrize("name", ["localhost", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_no_spelling_of_a_private_address_gets_through(name: str, sites: tuple[Site, Site], tmp_path: Path) -> None:  # fmt: skip
    hub, other = sites
    port = other.server.server_port
    with pytest.raises(FetchError, match=r"private address|no address"):
        fetch(f"http://{name}:{port}/ok", tmp_path, "ox", "image", source(hub))
    assert not other.asked


def test_every_redirect_is_checked_again(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, other = sites
    hub.pages["/away"] = (302, {"Location": f"{other.origin}/ok"}, b"")
    with pytest.raises(FetchError, match="private address"):
        fetch(f"{hub.origin}/away", tmp_path, "ox", "image", source(hub))
    assert not other.asked
    fetch(f"{hub.origin}/away", tmp_path, "ox", "image", source(hub, other.host))
    assert other.keys() == [False]  # the key stays at home
    hub.pages["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(FetchError, match="not on the web"):
        fetch(f"{hub.origin}/file", tmp_path, "ox", "image", source(hub))
    hub.pages["/round"] = (302, {"Location": "/round"}, b"")
    with pytest.raises(FetchError, match="redirected more than"):
        fetch(f"{hub.origin}/round", tmp_path, "ox", "image", source(hub))


def test_too_large_is_not_kept(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, _ = sites
    hub.pages["/undeclared"] = (200, {}, PNG)
    for path in ("/ok", "/undeclared"):
        with pytest.raises(FetchError, match="larger than 10 bytes"):
            fetch(f"{hub.origin}{path}", tmp_path, "ox", "image", source(hub, max_bytes=10))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("page", "message", "again", "expired"),
    [
        ((200, {"Content-Length": "900"}, PNG), "Only 70 of 900", True, False),
        ((200, {}, PNG[:-20]), "ends too early", True, False),
        ((200, {"Content-Type": "text/html"}, b"<html>Log in</html>"), "not image", False, True),
        ((200, {"Content-Encoding": "br"}, PNG), "encoded as br", False, False),
        (
            (200, {"Content-Encoding": "gzip"}, gzip.compress(PNG, mtime=0)[:-9]),
            "too early",
            True,
            False,
        ),
        ((403, {}, b""), "status 403", False, True),
        ((410, {}, b""), "status 410", False, True),
        ((503, {}, b""), "status 503", True, False),
        ((204, {}, b""), "status 204", False, False),
    ],
)
def test_what_is_wrong_is_said_and_not_kept(
    page: Any, message: str, again: bool, expired: bool, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.pages["/page"] = page
    with pytest.raises(FetchError, match=message.replace("70", str(len(PNG)))) as failed:
        fetch(f"{hub.origin}/page", tmp_path, "ox", "image", source(hub))
    assert (failed.value.may_retry, failed.value.is_expired) == (again, expired)
    assert not list(tmp_path.iterdir())


def test_nobody_there(tmp_path: Path, sites: tuple[Site, Site]) -> None:
    hub, other = sites
    other.server.shutdown()
    other.server.server_close()
    with pytest.raises(FetchError, match="could not be reached") as failed:
        fetch(f"{other.origin}/ok", tmp_path, "ox", "image", source(hub, "127.0.0.1"))
    assert failed.value.may_retry


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("/an ox.png", "/an%20ox.png"),
        ("/an%20ox.png", "/an%20ox.png"),
        ("/größe.png", "/gr%C3%B6%C3%9Fe.png"),
        ("/100%.png", "/100%25.png"),
        ("/x.png?of=an ox&sig=a%2Fb+c==", "/x.png?of=an%20ox&sig=a%2Fb+c=="),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_addresses_are_encoded_once(
    name: str, asked: str, redirected: bool, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.pages[asked.partition("?")[0]] = hub.pages["/ok"]
    raw = name.encode().decode("latin-1")  # as a server writes bytes that no header may hold
    hub.pages["/away"] = (302, {"Location": raw, "Content-Length": "0"}, b"")
    fetch(hub.origin + ("/away" if redirected else name), tmp_path, "x", "image", source(hub))
    assert hub.asked[-1][0] == asked


def test_a_hub_on_this_machine_has_two_names(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, other = sites
    fetch(hub.origin.replace("127.0.0.1", "localhost") + "/ok", tmp_path, "x", "image", source(hub))
    assert hub.keys() == [True]
    with pytest.raises(FetchError, match="private address"):
        fetch(
            f"http://localhost:{other.server.server_port}/ok", tmp_path, "x", "image", source(hub)
        )
    assert other.asked == []


@pytest.mark.parametrize("body", [PNG, gzip.compress(PNG, mtime=0)])
def test_a_store_that_compresses_for_everyone(
    body: bytes, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.pages["/gz"] = (200, {"Content-Encoding": "gzip", "Content-Length": str(len(body))}, body)
    fetched = fetch(f"{hub.origin}/gz", tmp_path, "x", "image", source(hub))
    assert fetched.path.read_bytes() == PNG


def test_what_unpacks_too_large_is_not_kept(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, _ = sites
    hub.pages["/gz"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(PNG + bytes(10**6)))
    with pytest.raises(FetchError, match="larger than"):
        fetch(f"{hub.origin}/gz", tmp_path, "x", "image", source(hub, max_bytes=10_000))
    assert list(tmp_path.iterdir()) == []


def test_a_data_url_holds_its_file(sites: tuple[Site, Site], tmp_path: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert fetch(url, tmp_path, "x", "image", source(sites[0])).path.read_bytes() == PNG
    for bad in ("data:image/png;base64,%%%", "data:image/png"):
        with pytest.raises(FetchError):
            fetch(bad, tmp_path, "x", "image", source(sites[0]))


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_drip_is_given_up(where: str, tmp_path: Path) -> None:
    """Every byte is in time, and the file never comes."""
    with BadHub() as hub:

        def drip(connection: socket.socket, _: str) -> bool:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
            connection.sendall(head if where == "body" else head[:17])
            for _byte in range(1000):
                connection.sendall(b"x")
                time.sleep(0.05)
            return True

        hub.take_over = drip
        began = time.monotonic()
        until = Source(hub=hub.base_url, headers={}, deadline=began + 0.4)
        with pytest.raises(FetchError, match=r"time given|timed out"):
            fetch(f"{hub.origin}/x.png", tmp_path, "x", "image", until)
        assert time.monotonic() - began < 40
        began = time.monotonic()
        limits = TransferLimits(idle_timeout=5, grace=0.3)
        connection = connect(urlsplit(hub.origin), trusted=True, limits=limits)
        connection.request("GET", "/x.png")
        with pytest.raises(TimeoutError, match="too slowly"):
            connection.getresponse().read()
        assert time.monotonic() - began < 40
        connection.close()


HTML, JSON = b"\xef\xbb\xbf<html>Log in</html>", b'{"error": "expired"}'


def chunked(content: bytes) -> tuple[dict[str, str], bytes]:
    return {"Transfer-Encoding": "chunked"}, b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


def measured(content: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Length": str(len(content))}, content


def video() -> bytes:
    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, name) + content

    times = struct.pack(">B3xIIII", 0, 0, 0, 1000, 5250) + bytes(80)
    moov = box(b"moov", box(b"mvhd", times))
    return box(b"ftyp", b"isom\0\0\0\0isom") + moov + box(b"mdat", bytes(100))


def photo() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (31, 17), "red").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type", "suffix"),
    [(PNG + bytes(100), "image", "png"), (photo() + b"trailer of a telephone" * 9, "image", "jpg"),
     (b"<svg></svg>" + b"\n" * 100, "image", "svg"), (video() + b"trailing bytes" * 9, "video", "mp4")],
)  # fmt: skip
def test_what_comes_after_the_end_does_not_matter(
    content: bytes, media_type: str, suffix: str, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    for headers, body in (measured(content), ({}, content)):
        hub.pages["/file"] = (200, headers, body)
        fetched = fetch(f"{hub.origin}/file", tmp_path, "ox", media_type, source(hub))
        assert fetched.path.read_bytes() == content
        assert (fetched.path.suffix, fetched.note) == (f".{suffix}", None)


@pytest.mark.parametrize(
    ("content", "media_type", "declared", "suffix"),
    [(b"GIF89a" + bytes(20) + b"\0;", "video", "video/mp4", "gif"), (video(), "image", None, "mp4"),
     (b"\0\0\0\x18ftypmsf1" + bytes(12), "image", None, "heif"),
     (b"PK\x03\x04" + bytes(40), "image", None, "zip"), (b"8BPS" + bytes(40), "image", None, "psd"),
     (b"glTF" + bytes(40), "video", "image/png", "glb"), (b"\x01\x02" + bytes(40), "image", None, "bin"),
     (b"\x01\x02" + bytes(40), "video", "image/x-exr", "xexr")],
)  # fmt: skip
def test_every_file_is_kept_under_what_it_is(
    content: bytes, media_type: str, declared: str | None, suffix: str,
    sites: tuple[Site, Site], tmp_path: Path,
) -> None:  # fmt: skip
    hub, _ = sites
    headers, body = measured(content)
    hub.pages["/file"] = (200, headers | ({"Content-Type": declared} if declared else {}), body)
    fetched = fetch(f"{hub.origin}/file", tmp_path, "ox", media_type, source(hub))
    assert fetched.path.read_bytes() == content
    assert fetched.path.suffix == f".{suffix}"
    if suffix != "heif":
        assert fetched.note


def damaged() -> bytes:
    """Return an image with one wrong byte among its pixels."""
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[len(content) // 2] ^= 1
    return bytes(content)


DAMAGED = damaged()


@pytest.mark.parametrize("wrapped", [chunked, measured])
def test_a_video_that_ends_too_early_where_it_comes_from_is_kept_with_a_note(
    wrapped: Any, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.protocol("HTTP/1.1")
    hub.pages["/file"] = (200, *wrapped(video()[:-9]))
    fetched = fetch(f"{hub.origin}/file", tmp_path, "ox", "video", source(hub))
    assert "too early" in (fetched.note or "")


@pytest.mark.parametrize("wrapped", [chunked, measured])
@pytest.mark.parametrize("content", [PNG[:-20], DAMAGED])
def test_a_damaged_image_is_an_error(
    content: bytes, wrapped: Any, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.protocol("HTTP/1.1")
    hub.pages["/file"] = (200, *wrapped(content))
    with pytest.raises(FetchError, match="damaged") as failed:
        fetch(f"{hub.origin}/file", tmp_path, "ox", "image", source(hub))
    assert failed.value.is_damaged
    assert not list(tmp_path.iterdir())


def test_a_format_unknown_here_is_kept_as_its_server_calls_it(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.pages["/new"] = (200, {"Content-Type": "image/jxl; q=1"}, b"\xff\x0a" + bytes(90))
    fetched = fetch(f"{hub.origin}/new", tmp_path, "ox", "image", source(hub))
    assert (fetched.path.name, fetched.mime_type, fetched.media) == ("ox.jxl", "image/jxl", None)
    hub.pages["/new"] = (200, {"Content-Type": "image/"}, b"\xff\x0a" + bytes(90))
    assert fetch(f"{hub.origin}/new", tmp_path, "ox", "image", source(hub)).path.name == "ox.bin"


@pytest.mark.parametrize("declared", ["image/png", "application/octet-stream", "text/html"])
@pytest.mark.parametrize("content", [HTML, JSON, b"[]", b"", b" \n"])
def test_no_page_is_taken_for_a_file(
    content: bytes, declared: str, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    hub.pages["/page"] = (200, {**measured(content)[0], "Content-Type": declared}, content)
    with pytest.raises(FetchError, match="not image") as failed:
        fetch(f"{hub.origin}/page", tmp_path, "ox", "image", source(hub))
    assert failed.value.is_expired
    assert not list(tmp_path.iterdir())


def test_a_redirect_to_nowhere_is_said(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, _ = sites
    hub.pages["/away"] = (302, {"Content-Length": "0"}, b"")
    with pytest.raises(FetchError, match="to nowhere"):
        fetch(f"{hub.origin}/away", tmp_path, "ox", "image", source(hub))


@pytest.mark.parametrize("host", ["a" * 70 + ".invalid", "ox..invalid"])
def test_a_host_that_does_not_exist_may_later(
    host: str, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="has no address") as failed:
        fetch(f"http://{host}/x.png", tmp_path, "ox", "image", source(sites[0]))
    assert failed.value.may_retry


def test_nothing_is_asked_for_once_the_time_is_over(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    late = source(hub, deadline=time.monotonic())
    with pytest.raises(FetchError, match="was not asked: the time given for it is over"):
        fetch(f"{hub.origin}/ok", tmp_path, "ox", "image", late)
    assert not hub.asked


def test_silence_is_given_up(tmp_path: Path) -> None:
    with ScriptedServer(
        [b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n" + PNG, Hold()]
    ) as server:
        mute = Source(hub=server.url, headers={}, timeout=0.1)
        with pytest.raises(FetchError, match="broke off: timed out") as failed:
            fetch(f"{server.url}/x.png", tmp_path, "ox", "image", mute)
    assert failed.value.may_retry
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("header", ["ox\r\nX-Other: 1", "ox\u2028"])
def test_a_key_that_no_header_takes_is_said(
    header: str, sites: tuple[Site, Site], tmp_path: Path
) -> None:
    hub, _ = sites
    odd = source(hub, headers={"Authorization": header})
    with pytest.raises(FetchError, match="cannot be used"):
        fetch(f"{hub.origin}/ok", tmp_path, "ox", "image", odd)
    assert not hub.asked


def test_a_disk_without_links_keeps_every_file(
    sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as exFAT and some mounts do

    monkeypatch.setattr("os.link", refuse)
    hub, _ = sites
    before = [tmp_path / "ox.png", tmp_path / "ox-1.png"]
    for path in before:
        path.write_text(path.name)
    path = fetch(f"{hub.origin}/ok", tmp_path, "ox", "image", source(hub)).path
    assert (path.name, path.read_bytes()) == ("ox-2.png", PNG)
    assert [path.read_text() for path in before] == ["ox.png", "ox-1.png"]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Answers 403 to whatever it is asked to connect to."""
    with ScriptedServer(http("", status="403 Forbidden", headers=["connection: close"])) as server:
        address = urlsplit(server.url).netloc
        monkeypatch.setenv("https_proxy", f"http://{address}")
        monkeypatch.delenv("HTTPS_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", "ox..invalid")
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield server


def test_a_proxy_resolves_the_name_itself(proxy: ScriptedServer, tmp_path: Path) -> None:
    hub = Source(hub="https://hub.invalid/api/ai", headers=KEY)
    with pytest.raises(FetchError, match="403") as failed:
        fetch("https://files.invalid/x.png", tmp_path, "ox", "image", hub)
    assert failed.value.may_retry
    (asked,) = proxy.requests
    assert (asked.method, asked.path) == ("CONNECT", "files.invalid:443")
    assert not {"authorization", "proxy-authorization"} & asked.headers.keys()


def test_a_proxy_is_told_who_asks(
    proxy: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(proxy.url).netloc
    monkeypatch.setenv("https_proxy", f"http://ox:p%40ss@{address}")
    with pytest.raises(FetchError, match="403"):
        hub = Source(hub="https://hub.invalid/api/ai", headers=KEY)
        fetch("https://files.invalid/x.png", tmp_path, "ox", "image", hub)
    told = "Basic " + base64.b64encode(b"ox:p@ss").decode()
    assert proxy.requests[0].headers["proxy-authorization"] == told


def test_no_private_address_is_asked_of_a_proxy(proxy: ScriptedServer, tmp_path: Path) -> None:
    hub = Source(hub="https://hub.invalid/api/ai", headers=KEY)
    for host in ("10.0.0.1", "[::1]"):
        with pytest.raises(FetchError, match="private address"):
            fetch(f"https://{host}/x.png", tmp_path, "ox", "image", hub)
    with pytest.raises(FetchError, match="403"):
        fetch("https://8.8.8.8/x.png", tmp_path, "ox", "image", hub)
    assert [one.path for one in proxy.requests] == ["8.8.8.8:443"]


def test_a_host_that_bypasses_the_proxy_does(proxy: ScriptedServer, tmp_path: Path) -> None:
    hub = Source(hub="https://hub.invalid/api/ai", headers=KEY)
    with pytest.raises(FetchError, match="has no address"):
        fetch("https://ox..invalid/x.png", tmp_path, "ox", "image", hub)
    assert not proxy.requests


def test_a_server_that_speaks_no_tls_gets_no_key(sites: tuple[Site, Site], tmp_path: Path) -> None:
    hub, _ = sites
    secure = source(hub, hub.host)
    with pytest.raises(FetchError, match="could not be reached"):
        fetch(hub.origin.replace("http:", "https:") + "/ok", tmp_path, "ox", "image", secure)
    assert not hub.asked


def test_every_address_of_a_host_is_tried(
    sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """localhost is often ::1 first, where nobody listens."""
    hub, _ = sites
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        for port in (1, hub.server.server_port)
    ]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    url = f"http://localhost:{hub.server.server_port}/ok"
    assert fetch(url, tmp_path, "x", "image", source(hub)).path.read_bytes() == PNG

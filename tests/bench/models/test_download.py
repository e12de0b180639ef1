"""Downloads are whole, and verified; checkpoints come by URL; `bench fetch` says it all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from real_models import build
from typer.testing import CliRunner

from bench.command import fetch as fetching
from bench.command.cli import app
from bench.command.fetch import fetch, requirements
from bench.errors import ModelError
from bench.models.checkpoint import checkpoint_file, download, local_checkpoint
from bench.store.sealed import file_sha256
from suites import Suite
from suites.problem import ModelSpec

CONTENT = bytes(range(256)) * 64
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `CONTENT` at /net.pt, and counts how often."""

    def __init__(self) -> None:
        self.cut_short, self.served = False, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/net.pt"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        if to.path != "/net.pt":
            to.send_error(404)
            return
        to.send_response(200)
        to.send_header("Content-Length", str(len(CONTENT)))
        to.end_headers()
        self.served += 1
        to.wfile.write(CONTENT[: len(CONTENT) // 2] if self.cut_short else CONTENT)

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


# --- one file ---------------------------------------------------------------------------------


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "new" / "net.pt"
    for _ in range(2):
        download(server.url, file, SHA)
        assert file.read_bytes() == CONTENT
    assert server.served == 1


def left(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir() if one.suffix != ".lock"]


def test_a_broken_download_leaves_nothing_and_may_be_tried_again(
    server: Server, tmp_path: Path
) -> None:
    server.cut_short = True
    with pytest.raises(ModelError, match="Try again"):
        download(server.url, tmp_path / "net.pt", SHA)
    assert left(tmp_path) == []
    server.cut_short = False
    download(server.url, tmp_path / "net.pt", SHA)
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


def test_another_hash_is_refused_and_nothing_is_left(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf'expected "0+", got "{SHA}"'):
        download(server.url, tmp_path / "net.pt", "0" * 64)
    assert left(tmp_path) == []


def test_faults_of_the_network_are_said(tmp_path: Path) -> None:
    server = Server()
    with pytest.raises(ModelError, match=r"other\.pt: the server says 404"):
        download(server.url.replace("net", "other"), tmp_path / "net.pt", SHA)
    server.close()
    with pytest.raises(ModelError, match=rf"could not be fetched .*{tmp_path}/net.pt"):
        download(server.url, tmp_path / "net.pt", SHA)


# --- checkpoints ------------------------------------------------------------------------------


def remote(server: Server) -> ModelSpec:
    """A model with a URL; the schema asks for https, which a test cannot serve."""
    return ModelSpec(name="resnet20").model_copy(update={"checkpoint": server.url, "sha256": SHA})


def test_a_url_becomes_a_file_under_the_data_root(server: Server, tmp_path: Path) -> None:
    local = local_checkpoint(remote(server), tmp_path)
    assert local.checkpoint == str(tmp_path / "checkpoints" / f"{SHA[:12]}-net.pt")
    assert Path(local.checkpoint).read_bytes() == CONTENT
    path = ModelSpec(name="resnet20", checkpoint="net.pt")
    assert local_checkpoint(path, tmp_path) is path


def test_a_checkpoint_of_another_hash_is_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save(build("resnet20", seed=3).state_dict(), file)
    build("resnet20", checkpoint=str(file), sha256=file_sha256(file))
    with pytest.raises(ModelError, match=r"SHA-256 0{64} "):
        build("resnet20", checkpoint=str(file), sha256="0" * 64)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"checkpoint": "https://a.org/n.pt"}, "needs its sha256"),
        ({"checkpoint": "http://a.org/n.pt", "sha256": SHA}, "https URL"),
        ({"checkpoint": "file:///n.pt", "sha256": SHA}, "https URL"),
        ({"sha256": SHA}, "sha256 is a checkpoint's"),
        ({"checkpoint": "n.pt", "sha256": "abc"}, "sha256 abc: expected 64 digits"),
    ],
)
def test_sources_without_a_proof_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ModelSpec(name="resnet20", **given)


# --- all that a suite needs -------------------------------------------------------------------


def suite(**more: Any) -> Suite:
    return Suite.model_validate(
        {
            "suite": "here",
            "datasets": ["digits"],
            "models": ["resnet20"],
            "methods": ["l1"],
            "budgets": {"macs": [0.5]},
            "analysis": {"control": "l1"},
            **more,
        }
    )


def test_what_is_missing_says_where_to_put_it(tmp_path: Path) -> None:
    absent = tmp_path / "net.pt"
    asked = suite(
        datasets=["digits", "imagenet", "cub200"],
        models=[{"name": "resnet20", "checkpoint": str(absent)}],
    )
    needs = {one.name: one for one in requirements(asked, tmp_path, tmp_path / "cache")}
    found = {name: fetch(one) for name, one in needs.items()}
    assert {name: state for name, (state, _) in found.items()} == {
        "digits": "present",
        "imagenet": "missing",
        "cub200": "missing",
        "net.pt": "missing",
    }
    assert str(tmp_path / "imagenet") in found["imagenet"][1]
    assert "144 GB" in str(needs["imagenet"])
    assert str(absent) in found["net.pt"][1]
    torch.save(build("resnet20").state_dict(), absent)
    (need,) = [one for one in requirements(asked, tmp_path, tmp_path) if one.kind == "checkpoint"]
    assert fetch(need) == ("present", "")


def test_a_checkpoint_is_fetched_and_then_present(server: Server, tmp_path: Path) -> None:
    asked = suite().model_copy(update={"models": [remote(server)]})
    for state in ("fetched", "present"):
        (need,) = [
            one for one in requirements(asked, tmp_path, tmp_path) if one.kind == "checkpoint"
        ]
        assert fetch(need) == (state, "")
    checkpoint_file(remote(server), tmp_path).write_bytes(b"something else")
    assert "SHA-256" in fetch(need)[1]


def test_weights_by_name_are_looked_for_where_torch_puts_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bench.data.vision import torchvision

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    file = tmp_path / "checkpoints" / Path(entry.url).name

    def refuse(self: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", refuse)
    asked = suite(models=[{"name": "torchvision:resnet18", "weights": "DEFAULT"}])
    need = requirements(asked, tmp_path, tmp_path)[-1]
    assert (need.kind, need.name) == ("weights", "IMAGENET1K_V1 of resnet18")
    assert need.origin == entry.url
    assert need.size == pytest.approx(46.8e6, rel=0.01)
    state, why = fetch(need)
    assert state == "missing"
    assert "(no route to host)" in why
    assert f"put {file.name} into {file.parent}" in why
    file.parent.mkdir()
    file.touch()
    assert fetch(need) == ("present", "")


def test_the_verb_ends_with_what_is_missing(tmp_path: Path) -> None:
    where = ["--data-root", str(tmp_path), "--results", str(tmp_path)]
    good = CliRunner().invoke(app, ["fetch", "quickstart", *where])
    assert good.exit_code == 0
    assert "present  dataset digits" in good.stdout
    assert "present  dataset mnist5k" in good.stdout
    assert "everything is here" in good.stdout
    bad = CliRunner().invoke(app, ["fetch", "quickstart", "--set", "datasets=[cub200]", *where])
    assert bad.exit_code == 1
    assert "still missing: cub200" in bad.stdout
    smoke = CliRunner().invoke(app, ["fetch", "cifar10", "--scale", "smoke", *where])
    assert smoke.exit_code == 0
    assert fetching.fetch_all([], fetching.Console(quiet=True)) == 0

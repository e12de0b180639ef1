"""The static site: every suite with its report, and every method over them."""

from __future__ import annotations

import re
from pathlib import Path

import packed
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.run.packing import Pack


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def test_a_site_over_packs_and_folders(bench: Command, tmp_path: Path) -> None:
    store = packed.results(tmp_path / "1", bases=3)
    Pack.of_results(store, "toy", "a").write(tmp_path / "toy.pack")
    methods = ["l2", "fpgm"]
    folder = packed.results(
        tmp_path / "2", lambda at: at < 6, suite="other", methods=methods,
        analysis={"control": "l2"}, description="<b>Others</b>",
    ).root  # fmt: skip
    done = bench("results", "toy.pack", folder, "--out", "site")
    assert (done.code, done.out) == (0, "site: site/index.html\n")
    page = Path("site/index.html").read_text()
    for name in ("toy", "other"):
        assert f'href="{name}/index.html"' in page
        assert Path(f"site/{name}/index.html").exists()
    said = text(page)
    assert "&lt;b&gt;Others" in page
    assert "toy A few methods on a few digits. Without recovery: " in said
    assert " 60 3 0.033 2026-01-02 " in said  # trials, bases, hours, last trial
    assert " 6 of 8 1 &lt; 0.01 2026-01-02 " in said
    assert "&lt;b&gt;Others&lt;/b&gt; Interim: " in said
    _, _, over = said.partition("Methods over suites")
    assert "toy none against l1 toy finetune-tiny against l1 other none against l2" in over
    fpgm = over[over.index(" fpgm ") :].split()
    assert fpgm[1] == "–"  # it has run, and a trial of the control's is missing
    reported = Path("site/toy/tables/overall.csv").read_text().splitlines()
    (taylor,) = [one.split(",") for one in reported if one.startswith("control,none,taylor,")]
    assert f" taylor {float(taylor[8]):+.2f} " in over.replace("−", "-")


def test_two_packs_of_one_suite_are_for_merge(bench: Command, tmp_path: Path) -> None:
    store = packed.results(tmp_path / "1")
    Pack.of_results(store, "toy", "a").write(tmp_path / "a.pack")
    done = bench("results", "a.pack", store.root, "--out", "site")
    assert done.code == 2
    assert "there is a toy already; bench merge joins packs" in done.err
    (tmp_path / "none").mkdir()
    assert "no suite was run there" in bench("results", "none", "--out", "site").err

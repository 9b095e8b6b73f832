"""The report, from small notebooks of its own: arguments, execution, numbering, safety of the page, and its bytes."""

import json
import re
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pypdf import PdfReader

from lib import media
from lib.execute import Job, UsageError, execute, parse_value, plan
from lib.markup import MarkupError
from lib.pdf import find_browser, print_pdf
from lib.render import render
from lib.report import main

SVG = ('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="504pt" height="180pt" '
       'viewBox="0 0 504 180"><defs><path id="a" d="M0 0h1"/><style>*{stroke-linejoin:round}</style></defs>'
       '<g id="text_1"><use xlink:href="#a" style="fill: #000000"/></g><script>alert(1)</script>'
       '<g id="patch_1"><path d="M0 0h9v9z" style="fill: #464646; stroke: #ffffff" onclick="alert(1)"/></g></svg>')
VARIANT = """import json, pathlib
folder = pathlib.Path(out)
for file in (folder / "runs" / variant / f"seed-{seed}" / "record.json", folder / "figures" / "predictions" / f"{variant}.png",
             folder / "figures" / "loss_curves.png", folder / "figures" / "test_metric.png"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"variant": variant, "seed": seed, "config": {"epochs": epochs}}))
if epochs > 90: raise RuntimeError("the loss is not finite")"""


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shown(data, **report):
    return new_output("display_data", data, metadata={"report": report})


def figure(label, caption="What to see.", alt="A chart.", **report):
    return code("draw()", shown({"image/svg+xml": SVG}, label=label, caption=caption, alt=alt, **report))


def write(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, cell in enumerate(cells):
        cell.id = f"c{index}"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


@pytest.fixture
def notebooks(tmp_path):
    """A set that executes in seconds: data, one network, analysis; the parameters cell is papermill's."""
    folder = tmp_path / "notebooks"
    write(folder / "0_data.ipynb", new_markdown_cell("# Data\n<!-- sec-data -->"))
    write(folder / "1_unet.ipynb", new_markdown_cell("# U-Net\n\nSee @sec-data [@ronneberger2015unet]."),
          code('variant: str = "unet"\nseed: int = 0\nepochs: int = 2\nout: str = "out"', tags=["parameters"]), code(VARIANT))
    (folder / "profiles").mkdir()
    (folder / "profiles" / "quick.yaml").write_text("# A test.\nepochs: 3\nseeds: [4]\n")
    return folder


def page(tmp_path, *cells):
    """The rendered page of one notebook with these cells."""
    return render([write(tmp_path / "5_analysis.ipynb", *cells)], tmp_path, "quick")


def run(notebooks, out, *arguments):
    return main(["--out", str(out), *arguments], notebooks)


def jobs(notebooks, out, values=None, **overrides):
    return plan(notebooks, out, "quick", values or {"epochs": 3, "seeds": [0, 2]}, overrides)


@pytest.mark.parametrize("arguments, words", [
    (["--profile", "quik"], ["quik", "quick"]),
    (["-p", "epoch", "3"], ["epoch", "did you mean epochs"]),
    (["-p", "epochs", "many"], ["epochs = 'many'", "expected int"]),
    (["-p", "seed", "1"], ["seed", "seeds"]),
    (["-p", "seeds", "1"], ["seeds = 1", "[0, 1, 2]"]),
    (["-p", "extra", "[unet-wide]"], ["extra = ['unet-wide']", "unet-noskip-wide"]),
    (["-p", "extra", "unet-noskip-wide"], ["extra = 'unet-noskip-wide'", "a list"]),
    (["-p", "extra", "[unet]"], ["extra = ['unet']", "unet-residual-noskip"]),
])
def test_wrong_arguments_are_one_line_and_status_2(notebooks, tmp_path, capsys, arguments, words):
    assert run(notebooks, tmp_path / "out", *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and all(word in message for word in words)
    assert not (tmp_path / "out").exists()


def test_values_are_read_as_python_writes_them():
    values = ["3", "1e-3", "[3, 4]", "true", "null", "camvid", "[]", "[unet-noskip-wide, 2]"]
    assert [parse_value(value) for value in values] == [3, 1e-3, [3, 4], True, None, "camvid", [], ["unet-noskip-wide", 2]]


def test_a_network_runs_once_a_seed_and_the_first_is_the_chapter(notebooks, tmp_path):
    write(notebooks / "5_analysis.ipynb", new_markdown_cell("# All"), code("seeds: list = [0]", tags=["parameters"]))
    data, first, second, analysis = jobs(notebooks, tmp_path)
    assert [job.target.name for job in (first, second)] == ["1_unet.ipynb", "1_unet-seed-2.ipynb"]
    assert (second.parameters["seed"], second.parameters["epochs"]) == (2, 3)
    assert second.record == tmp_path / "runs" / "unet" / "seed-2" / "record.json"
    assert data.reads == () and analysis.reads == (first.record, second.record)
    assert analysis.parameters == {"seeds": [0, 2]}


def test_networks_beyond_the_four_run_in_the_first_one_s_notebook_and_are_no_chapter(notebooks, tmp_path):
    write(notebooks / "2_unet_noskip.ipynb", new_markdown_cell("# No skips"),
          code('variant: str = "unet-noskip"\nseed: int = 0\nepochs: int = 2\nout: str = "out"', tags=["parameters"]))
    write(notebooks / "5_analysis.ipynb", new_markdown_cell("# All"))
    plain = jobs(notebooks, tmp_path)
    found = jobs(notebooks, tmp_path, extra=["unet-noskip-wide"])
    *four, first, second, analysis = found
    assert four == plain[:-1] and [job.target.name for job in (first, second)] == [
        "extra-unet-noskip-wide-seed-0.ipynb", "extra-unet-noskip-wide-seed-2.ipynb"]
    assert first.source.name == "1_unet.ipynb" and second.parameters == plain[1].parameters | {
        "variant": "unet-noskip-wide", "seed": 2}
    assert second.record == tmp_path / "runs" / "unet-noskip-wide" / "seed-2" / "record.json"
    assert analysis.reads == (*plain[-1].reads, first.record, second.record)
    assert [job.target.name for job in found if job.target.name == job.source.name] == [
        "0_data.ipynb", "1_unet.ipynb", "2_unet_noskip.ipynb", "5_analysis.ipynb"]
    assert jobs(notebooks, tmp_path, {"epochs": 3, "seeds": [0], "extra": ["unet-residual-noskip"]}, extra=[]) == jobs(
        notebooks, tmp_path, {"epochs": 3, "seeds": [0]})


def test_the_fingerprint_follows_source_parameters_and_records(notebooks, tmp_path):
    write(notebooks / "5_analysis.ipynb", new_markdown_cell("# All"))
    _, network, _, analysis = jobs(notebooks, tmp_path)
    before = network.fingerprint(), analysis.fingerprint()
    assert jobs(notebooks, tmp_path, epochs=4)[1].fingerprint() != before[0]
    moved = jobs(notebooks, tmp_path / "elsewhere")[1]
    assert moved.parameters["out"] != network.parameters["out"] and moved.fingerprint() == before[0]
    analysis.reads[0].parent.mkdir(parents=True)
    analysis.reads[0].write_text("{}")
    assert network.fingerprint() == before[0] and analysis.fingerprint() != before[1]


def test_execution_failure_and_rendering_from_the_records(notebooks, tmp_path, capsys):
    """One story, since every execution starts a kernel: refuse, build, skip, fail, render again."""
    out = tmp_path / "out"
    assert run(notebooks, out, "--only", "render") == 1
    assert "record" in (message := capsys.readouterr().err) and "python -m lib.report --profile quick" in message
    if not find_browser():
        pytest.skip("no Chromium or Chrome")
    assert run(notebooks, out) == 0
    record = json.loads((out / "runs" / "unet" / "seed-4" / "record.json").read_text())
    assert record == {"variant": "unet", "seed": 4, "config": {"epochs": 3}}
    assert "start_time" not in (out / "notebooks" / "1_unet.ipynb").read_text()
    made = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    capsys.readouterr()

    assert run(notebooks, out, "--only", "render") == 0
    assert capsys.readouterr().out.count("up to date") == 2
    assert {path: path.read_bytes() for path in made} == made, "the same inputs give the same bytes"

    assert run(notebooks, out, "-p", "epochs", "91") == 1
    message = capsys.readouterr().err
    assert "1_unet.ipynb" in message and "RuntimeError: the loss is not finite" in message
    assert "1_unet.partial.ipynb" in message and (out / "notebooks" / "1_unet.partial.ipynb").exists()
    for name in ("report.html", "report.pdf", "notebooks/1_unet.ipynb"):
        assert (out / name).read_bytes() == made[out / name]

    (out / "figures" / "predictions" / "unet.png").unlink()
    assert run(notebooks, out, "--profile", "quick", "--only", "render") == 1
    assert "predictions/unet.png" in capsys.readouterr().err


def test_the_kernel_is_this_interpreter_whatever_kernelspecs_say(tmp_path, monkeypatch):
    """A kernelspec of the user's that shadows python3 and would start nothing."""
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["false"], "display_name": "shadow", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    source = write(tmp_path / "6_theory.ipynb", code("import sys, lib; print(sys.prefix)"))
    execute(Job(source, tmp_path / "done.ipynb", {}))
    assert nbformat.read(tmp_path / "done.ipynb", 4).cells[0].outputs[0].text.strip() == sys.prefix


def test_numbers_and_references(tmp_path):
    soup = BeautifulSoup(page(
        tmp_path,
        new_markdown_cell("# First\n<!-- sec-a -->\n\n## Part\n<!-- sec-b -->\n\n@fig-two comes before @fig-one, @sec-b, @eq-x, "
                          "`@fig-not`, a@fig-b [@holm1979; @long2015fcn] [@holm1979]."),
        figure("fig-one", "Refers to @tbl-t and $x$."), figure("fig-two"),
        new_markdown_cell("$$y = x \\label{eq-x}$$"),
        code("", shown({"text/html": "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"},
                       label="tbl-t", caption="T."))), "html.parser")
    text = soup.select_one(".chapter > p")
    assert text.get_text().replace("\xa0", " ") == ("Figure 2 comes before Figure 1, Section 0.1, Equation (1), @fig-not, "
                                                    "a@fig-b [1, 2] [1].")
    links = [link["href"] for link in soup.select("main a[href^='#']")]
    assert all(soup.find(id=link[1:]) for link in links) and "#eq-x" in links and "#cite-holm1979-2" in links
    assert [c.get_text() for c in soup.select("figcaption b")] == ["Figure 1.", "Figure 2.", "Table 1."]
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    assert [h.name for h in soup.select("h1, h2, h3")] == ["h1", "h2", "h3", "h2"]


def test_a_label_counts_in_its_own_notebook_first(tmp_path):
    cells = [new_markdown_cell("# N\n\nSee @fig-curves."), figure("fig-curves")]
    paths = [write(tmp_path / f"{name}.ipynb", *cells) for name in ("1_unet", "2_unet_noskip")]
    assert re.findall(r'class="ref" href="#([\w-]+)">([^<]+)', render(paths, tmp_path, "quick")) == [
        ("fig-curves", "Figure&nbsp;1"), ("fig-curves-2", "Figure&nbsp;2")]


@pytest.mark.parametrize("cell, words", [
    (new_markdown_cell("# A\n\n@fig-none"), ["@fig-none", "nowhere"]),
    (new_markdown_cell("# A\n\n[@nobody2020]"), ["@nobody2020", "references.bib"]),
    (new_markdown_cell("# A\n\n$\\nonsense$"), ["nonsense"]),
    (new_markdown_cell("# A\n\n![x](x.png)"), ["x.png"]),
    (figure("fig-one", alt=""), ["fig-one", "alternative text"]),
    (figure("chart"), ["chart", "fig-NAME"]),
])
def test_what_cannot_be_rendered_is_named_with_its_place(tmp_path, cell, words):
    with pytest.raises(MarkupError) as error:
        page(tmp_path, new_markdown_cell("# T"), cell)
    assert all(word in str(error.value) for word in [*words, "5_analysis.ipynb, cell 2"])


def test_the_front_page_comes_first_and_tells_what_it_is_made_from(tmp_path):
    for seed in (0, 1):
        record = tmp_path / "runs" / "unet" / f"seed-{seed}" / "record.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"seed": seed, "device": "<b>GPU", "config": {"image_size": [96, 128], "epochs": 9},
                                      "dataset": {"name": "scenes", "counts": {"train": 3, "val": 2, "test": 1}}}))
    soup = BeautifulSoup(page(tmp_path, new_markdown_cell("# Text"), figure("fig-late"),
                              code("", shown({"text/markdown": "**Found.**"}, prose=True, place="front")),
                              figure("fig-front", place="front")), "html.parser")
    strip = {pair.dt.get_text(): pair.dd.get_text() for pair in soup.select(".provenance div")}
    assert strip == {"Data set": "Scenes", "Train / validation / test": "3 / 2 / 1", "Image size": "96 × 128",
                     "Epochs": "9", "Seeds": "2 (0, 1)", "Device": "<b>GPU", "Profile": "quick"}
    assert soup.select_one(".front p").get_text() == "Found." and soup.select_one(".front figure")["id"] == "fig-front"
    assert soup.select_one("#fig-front b").get_text() == "Figure 1."


def test_nothing_is_asked_from_anywhere_and_every_picture_has_its_text(tmp_path):
    html = page(tmp_path, new_markdown_cell("# T\n\n[a link](https://example.org)"), figure("fig-one"))
    soup = BeautifulSoup(html, "html.parser")
    assert not re.search(r"url\((?!data:|#)", html) and "@import" not in html
    assert not soup.find_all(["link", "iframe", "object"]) and not soup.select("script[src]")
    assert all(tag["src"].startswith("data:") for tag in soup.find_all(src=True))
    assert all(picture.get("alt") for picture in soup.find_all("img"))
    assert [chart["aria-label"] for chart in soup.select("svg[role=img]")] == ["A chart."]
    assert soup.html["lang"] == "en" and soup.title.string == "Semantic Segmentation using U-Net"


def test_text_from_outside_stays_text(tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    table = f"<style>@import 'x'</style><table><tbody><tr><td onclick='x'>{evil}</td><td style='background:url(x)'>1</td></tr></tbody></table>"
    html = page(tmp_path, new_markdown_cell(f"# T {evil}\n\n{evil}"), figure("fig-e", caption=evil, alt=f'"{evil}'),
                code(f'print("{evil}")', new_output("stream", name="stdout", text=evil), new_output("stream", name="stderr", text="noise"),
                     shown({"text/html": table}, label="tbl-e", caption=evil)))
    soup = BeautifulSoup(html, "html.parser")
    assert not soup.find("img") and not [s for s in soup.find_all("script") if "alert" in s.get_text()]
    assert not [tag for tag in soup.find_all(True) if any(key.startswith("on") for key in tag.attrs)]
    assert "noise" not in html and soup.select_one("pre.printed").get_text() == evil


def test_tables_are_set_with_scopes_and_numbers_at_the_right():
    html = ('<table border="1"><thead><tr style="text-align: right;"><th></th><th>IoU</th><th>class</th></tr>'
            '<tr><th>row</th><th></th><th></th></tr></thead><tbody><tr><th>a</th><td>-1.5</td><td>Car</td></tr>'
            '<tr><th>b</th><td>2.0 ± 0.1</td><td>Pole</td></tr></tbody></table>')
    soup = BeautifulSoup(media.table(html, "tbl-x", str), "html.parser")
    head = soup.select("thead th")
    assert [cell.get_text() for cell in head] == ["row", "IoU", "class"] and {cell["scope"] for cell in head} == {"col"}
    assert [cell.get_text() for cell in soup.select(".number")] == ["IoU", "−1.5", "2.0 ± 0.1"]
    assert [cell["scope"] for cell in soup.select("tbody th")] == ["row", "row"]


def test_charts_follow_the_theme_and_keep_the_colours_of_areas():
    html, paper = media.chart(SVG, "fig-x", "A chart.")
    assert not paper and "script" not in html and "onclick" not in html
    assert 'href="#fig-x.a"' in html and 'id="fig-x.a"' in html and 'width="672"' in html
    assert "fill:var(--ink)" in html and "fill:#464646" in html and "stroke:var(--paper)" in html
    assert media.chart(SVG.replace("patch_1", "QuadMesh_1"), "fig-x", "A heat map.")[1]


@pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome")
def test_the_pdf_is_tagged_and_has_outline_title_and_page_numbers(tmp_path):
    html = tmp_path / "report.html"
    html.write_text(page(tmp_path, new_markdown_cell("# First\n\n" + "A paragraph of text.\n\n" * 90 + "## Last part"), figure("fig-a")))
    first = print_pdf(html)
    (tmp_path / "a.pdf").write_bytes(first)
    reader = PdfReader(tmp_path / "a.pdf")
    root = reader.trailer["/Root"]
    assert reader.metadata.title == "Semantic Segmentation using U-Net" and not reader.metadata.creation_date
    assert root["/Lang"] == "en" and root["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in root
    title, (chapter, (part,)) = reader.outline
    assert [entry.title for entry in (title, chapter, part)] == [reader.metadata.title, "0 First", "0.1 Last part"]
    last = reader.get_destination_page_number(reader.named_destinations["/last-part"]) + 1
    assert last > 1 and re.search(rf"0\.1\s+Last part\s*{last}", reader.pages[0].extract_text())
    assert abs(float(reader.pages[0].mediabox.width) - 595) < 1
    assert print_pdf(html) == first


def test_unknown_profile_values_name_the_profile(notebooks, tmp_path):
    with pytest.raises(UsageError, match="profile quick: epoch"):
        jobs(notebooks, tmp_path, values={"epoch": 3})

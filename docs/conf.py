"""Sphinx: the Markdown pages and the docstrings as static HTML that needs no network (``make docs``)."""

import tomllib
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WEIGHTS = "analysis/phasing/network/weights"
PACKAGES = ("analysis", "callbacks", "profile_collection", "vo2_plans")
NO_MODULES = ("__init__", "__main__", "ipython_config")  # the last is executed by IPython alone
FIRST = ("docs/tutorial", "docs/beamline", "docs/outputs", "docs/plots", "docs/troubleshooting")

project = PROJECT["name"]
version = release = PROJECT["version"]
copyright = "BSD 3-Clause"  # noqa: A001  Sphinx's own name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc"]
root_doc = "README"
# The repository is the source, so that a link that works in it works here, too.
include_patterns = ["*.md", "docs/**", f"{WEIGHTS}/*.md"]
exclude_patterns = ["docs/training/**"]
myst_heading_anchors = 4

# Names of a type, and a class of scipy's that does not say where it comes from.
autodoc_default_options = {"show-inheritance": True, "exclude-members": "Circle,Circles,cKDTree"}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc has the types in the docstring
numpydoc_show_class_members = False
warnings.filterwarnings("ignore", message="Unknown section Subscriptions")  # ophyd's own docstring

html_theme = "alabaster"
html_theme_options = {
    "show_powered_by": False,
    "description": PROJECT["description"],
    "fixed_sidebar": True,
    "page_width": "1100px",
    "sidebar_width": "260px",
}
html_sidebars = {"**": ["about.html", "searchfield.html", "navigation.html"]}
html_copy_source = False
html_show_sourcelink = False


def contents() -> str:
    """Return the tables of contents that README.md has beside its text: pages, how-to pages, API."""
    pages = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "docs").glob("*.md"))
    guides = sorted(path.relative_to(ROOT).with_suffix("") for path in (ROOT / "docs").glob("*/*.md"))
    groups = {
        "Pages": [*FIRST, *(str(page) for page in pages if str(page) not in FIRST)],
        "How to, and beamlines": [str(guide) for guide in guides],
        "API reference": [f"docs/api/{package}" for package in PACKAGES],
        "Project": [
            "CONTRIBUTING",
            "CHANGELOG",
            *(f"{WEIGHTS}/{page}" for page in ("MODEL_CARD", "ablation")),
        ],
    }
    return "\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *found, "```", ""])
        for title, found in groups.items()
    )


def add_contents(_app: Any, name: str, source: list[str]) -> None:
    """Add the tables of contents to README.md as Sphinx reads it; the file itself stays as it is."""
    if name == root_doc:
        source[0] += "\n\n" + contents()


def modules(folder: Path) -> list[str]:
    """Return the names of the modules in a package, those of its folders behind its own."""
    here = ".".join(folder.relative_to(ROOT).parts)
    files = sorted(path for path in folder.glob("*.py") if path.stem.isidentifier())
    found = [here, *(f"{here}.{path.stem}" for path in files if path.stem not in NO_MODULES)]
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file()):
        found += modules(inner)
    return found


def write_reference(_app: Any) -> None:
    """Write a page for each module of the four packages, which autodoc fills from the docstrings."""
    target = ROOT / "docs" / "api"
    target.mkdir(exist_ok=True)
    wanted = {target / ".gitignore": "*\n"}
    for package in PACKAGES:
        names = modules(ROOT / package)
        for name in names:
            inner = [other for other in names if other.rpartition(".")[0] == name]
            # What a package takes from its modules is described there.
            tree = ["", ".. toctree::", "   :maxdepth: 1", "", *(f"   {other}" for other in inner), ""]
            rest = tree if (ROOT / Path(*name.split("."))).is_dir() else ["   :members:", ""]
            lines = [name, "=" * len(name), "", f".. automodule:: {name}", *rest]
            wanted[target / f"{name}.rst"] = "\n".join(lines)
    for path in set(target.glob("*.rst")) - wanted.keys():
        path.unlink()
    for path, text in wanted.items():  # a page that says the same keeps its time, and is not read again
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def write_front(app: Any, error: Exception | None) -> None:
    """Have the folder itself open README.html."""
    if error is None:
        page = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=README.html">'
        (Path(app.outdir) / "index.html").write_text(page + "\n", encoding="utf-8")


def setup(app: Any) -> None:
    """Connect what is above with Sphinx."""
    if find_spec("analysis") is None:
        raise RuntimeError("the packages must be importable to be described: run 'make docs'")
    app.connect("builder-inited", write_reference, priority=100)
    app.connect("source-read", add_contents)
    app.connect("build-finished", write_front)

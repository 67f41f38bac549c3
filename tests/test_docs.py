"""Every link within the documentation leads somewhere, to the very heading that it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests import docblocks

TOP = Path(__file__).parent.parent
PAGES = docblocks.pages()


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What the headings are called in links, as the common sites make it."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


def broken(page: Path) -> list[str]:
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        place = page.parent / path if path else page
        if link.startswith("https:"):
            continue
        if not place.exists() or (anchor and anchor not in anchors(place)):
            found.append(link)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str):
    assert broken(TOP / name) == []


def test_a_broken_link_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](#one-two) [b](#two) [c](other.md) [d](page.md#one-two)\n")
    assert broken(page) == ["#two", "other.md"]


SITE = pytest.mark.lane("site")
"""Its tests share what takes longest."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-c", "docs"]
    done = subprocess.run(
        [*sphinx, "-d", folder / "doctrees", ".", folder / "site"],
        cwd=TOP, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "site"


@SITE
@pytest.mark.costly
def test_the_site_has_every_page(site: Path):
    built = {str(path.relative_to(site).with_suffix(".md")) for path in site.rglob("*.html")}
    assert {*PAGES} <= built


class Links(HTMLParser):
    """What a page of the site names, and what in it can be named; ``loads`` needs no click."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.leads: set[str] = set()
        self.loads: set[str] = set()
        self.ids = {""}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        (self.leads if tag == "a" else self.loads).update(
            found[name] for name in ("href", "src") if name in found
        )
        self.ids.add(found.get("id", ""))


@SITE
@pytest.mark.costly
def test_links_of_the_site_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path):
    pages = {page: Links(page) for page in site.rglob("*.html")}
    wrong = [
        f"{page.relative_to(site)}: {link}"
        for page, links in pages.items()
        for link in sorted(links.leads | links.loads)
        if not leads(page, link, pages) or (link in links.loads and urlsplit(link).netloc)
    ]
    assert wrong == []


def leads(page: Path, link: str, pages: dict[Path, Links]) -> bool:
    parts = urlsplit(link)
    if parts.scheme in ("https", "data"):
        return True
    place = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
    return place.is_file() and (place not in pages or unquote(parts.fragment) in pages[place].ids)

"""How the pages become a site: `scripts/docs`.

The sources begin at the top of the checkout, because the pages link to the READMEs beside the code
and those link back; one form of link serves the site and the code's host.
"""
# ruff: noqa: INP001  (Sphinx reads it, nobody imports it)

project = "runcommit"
html_title = project
html_theme = "furo"
html_show_copyright = False
html_show_sourcelink = False
# the first page of the site leads to the first page of the documentation
html_extra_path = ["site"]

root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "backends/*/README.md",
    "benchmarks/README.md",
    "examples/**/README.md",
]
exclude_patterns = [".*", "**/.*"]

extensions = ["myst_parser"]
# headings are called in links what the code's host calls them
myst_heading_anchors = 4

# The site of docs/: Sphinx with MyST, both of Debian. Its source is what docs/site/prepare lays out. Nothing is loaded from elsewhere, by
# whoever builds it or reads it; the search runs in the reader's browser, also from a file.
import os

project = "gmig"
version = release = os.environ["GMIG_VERSION"]
extensions = ["myst_parser"]
root_doc = "index"
source_suffix = {".md": "markdown"}
# Headings are link targets, by the names that GitHub gives them.
myst_heading_anchors = 4
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {
    "description": "Moves the memory of a running VM between the NUMA nodes of its host",
    "page_width": "1200px",
    "sidebar_width": "260px",
    "fixed_sidebar": True,
    "show_powered_by": False,
}
html_sidebars = {"**": ["about.html", "searchbox.html", "navigation.html"]}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_title = f"gmig {release}"

"""The charts of the rank report, one file each, as SVG that follows the page's colours."""

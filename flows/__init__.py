"""The DAGs: order, caching and what the dashboard shows. The work itself is in `loraflow`."""

import os

# Prefect reports usage to its vendor from the moment it is imported, so this cannot come later.
os.environ.setdefault("DO_NOT_TRACK", "1")

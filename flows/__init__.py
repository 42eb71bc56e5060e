"""The DAGs: order, caching and what the dashboard shows. The work itself is in `loraflow`."""

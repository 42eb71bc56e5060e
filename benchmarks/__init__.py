"""The programs behind every figure of speed and memory in docs/benchmarks.md."""

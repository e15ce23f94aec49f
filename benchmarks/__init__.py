"""Side-by-side timings against peers, as ratios: ``python -m benchmarks.engine`` and the other modules here."""

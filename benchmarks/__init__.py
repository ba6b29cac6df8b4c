"""Side-by-side ratios against what a user would write otherwise; `make bench` runs them all."""

"""Fronts, tables, figures and reports, computed from stored artifacts only."""

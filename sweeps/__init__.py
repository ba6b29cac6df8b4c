"""The edge of fairfm: studies, Ray Tune, MLflow and the command line."""

"""The science of fairfm: data, models, training, evaluation. Knows no framework."""

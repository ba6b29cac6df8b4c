# A study from Python, from data to the front, in about a minute on two cores.
#
# Run it cell by cell in an editor that supports `# %%`, or all at once with `python facade.py`. It
# writes `data/`, `study.yaml` and `results/` into the working directory.

# %% Prepare
# Drawn radiographs with planted, known effects: fainter signs in Black patients. For real images
# give another kind: "chexpert", "mimic-cxr", "chestxray14" or "table".
from pathlib import Path

from fairfm_core.data.preparation.prepare import prepare
from sweeps.api import Study

data = prepare("phantom", "unfair", "data/phantom", size=32, patients=150)
print(data.frame.groupby(["split", "sex"]).size())

# %% Read
# A study is a YAML file, so that `fairfm sweep run study.yaml` does the same on a cluster.
Path("study.yaml").write_text("""
study: first
claim: Does a fine-tuned network treat the sexes more alike than a linear probe?
base:
  data: {dataset: data/phantom}
  backbone: {name: test_convnext, image_size: 32, channels: 1}
matrix:
  adaptation:
    probe: {method: linear_probe, recipe: smoke, epochs: 3}
    tune: {method: end_to_end, recipe: smoke, epochs: 2}
evaluation: {attributes: [sex], replicates: 50}
""")
study = Study.read("study.yaml", results="results")

# %% Plan
# The trials, the distinct stages and what the networks take in memory; nothing is started.
print(study.plan().plan_text())

# %% Run
# Or resume: what is finished is never repeated, so this cell can be run again at any time.
outcome = study.run()
print(outcome, outcome.failures)

# %% Status
# Also from another notebook while the study runs.
print(study.status().status_text())

# %% Metrics
# Every number of every trial with its interval; here the gaps between the sexes on the test set. A
# gap means little without its null: what a perfectly fair model would show with these patients.
metrics = study.metrics()
gaps = metrics.query("split == 'test' and metric == 'auc' and definition == 'gap_of_mean'")
print(gaps[["adaptation", "seed", "value", "lo", "hi", "null_mean", "null_hi", "p_value"]])

# %% Front
# Chosen on validation, shown on test.
front = study.front()
print(front[["label", "on_front", "test_auc", "test_gap_sex", "test_p_front"]])

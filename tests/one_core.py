"""What a sweep is told where more than one worker shows nothing: each takes seconds to import."""

ONE_CORE = {"SLURM_CPUS_PER_TASK": "1"}
"""The environment of a batch job with one core, which `fairfm` keeps to. A CPU set of one core
would let several test processes wait for the same one."""

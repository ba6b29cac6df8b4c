"""Everything that is asked before a study starts: by `fairfm sweep plan`, and again by `run`."""

from __future__ import annotations

from sweeps.preflight.findings import StudyFindings, joined
from sweeps.preflight.image_sizes import size_findings
from sweeps.preflight.labels import label_findings
from sweeps.preflight.machine import Machine, memory_findings, resource_findings
from sweeps.preflight.results_folder import folder_findings
from sweeps.status.networks import Network
from sweeps.status.pretraining_networks import PretrainingNetwork
from sweeps.status.status import StudyStatus


def preflight(status: StudyStatus, machine: Machine | None) -> StudyFindings:
    """What speaks against running the missing stages of a study; nothing if none is missing.

    `machine` is where they would run; None for a cluster, which is asked when it is connected. The
    memory of networks is compared where the status has counted them.
    """
    if not status.missing:
        return StudyFindings(warnings=status.plan.terms.warnings)
    plan, asked = status.plan, status.plan.spec.resources
    found = [
        StudyFindings(warnings=plan.terms.warnings),
        folder_findings(status.snapshot.store),
        size_findings(plan),
        label_findings(plan),
    ]
    if machine is not None:
        found.append(resource_findings(list(status.missing.values()), asked, machine))
        networks: list[Network | PretrainingNetwork] = [*status.networks, *status.pretrainings]
        found.append(memory_findings(networks, asked, machine))
    return joined(found)

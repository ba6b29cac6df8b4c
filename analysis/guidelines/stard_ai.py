"""STARD-AI (2025): 40 items, some in parts, for diagnostic accuracy of artificial intelligence."""

from __future__ import annotations

from analysis.guidelines.records import Guideline, GuidelineItem, GuidelineSection

STARD_AI = Guideline(
    title="STARD-AI",
    citation=(
        "Sounderajah et al., Nature Medicine 2025;31:3283-3289, doi 10.1038/s41591-025-03953-8"
    ),
    about="studies of the diagnostic accuracy of artificial intelligence",
    sections=(
        GuidelineSection(
            "Title and abstract",
            (
                GuidelineItem(
                    "1",
                    "Say that diagnostic accuracy of artificial intelligence is reported, with "
                    "one measure of it.",
                    "performance",
                    "The title and the abstract.",
                ),
                GuidelineItem(
                    "2",
                    "A structured abstract.",
                    "performance gaps",
                    "The abstract.",
                ),
            ),
        ),
        GuidelineSection(
            "Introduction",
            (
                GuidelineItem(
                    "3",
                    "Background, intended use of the index test, whether it is new, and its "
                    "place in the work.",
                ),
                GuidelineItem(
                    "4",
                    "Aims and hypotheses.",
                    "claim",
                    "The aims in the words of the paper.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: design and ethics",
            (
                GuidelineItem(
                    "5",
                    "Whether data were collected before or after the tests were planned.",
                ),
                GuidelineItem(
                    "6",
                    "Approval by an ethics committee, or why none is needed.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: participants",
            (
                GuidelineItem(
                    "7",
                    "Inclusion and exclusion criteria in their order, for participants and for "
                    "data.",
                    "flow",
                    "Criteria of the source itself.",
                ),
                GuidelineItem(
                    "8",
                    "On what basis participants were identified.",
                ),
                GuidelineItem(
                    "9",
                    "Where and when participants were identified.",
                    "sources",
                    "Setting and dates of your patients.",
                ),
                GuidelineItem(
                    "10",
                    "Whether participants are a consecutive, random or convenience series.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: data set",
            (
                GuidelineItem(
                    "11",
                    "Source of the data: routine care, collected for the study, or an open "
                    "repository.",
                    "sources terms",
                    "Which of these.",
                ),
                GuidelineItem(
                    "12",
                    "Who annotated the data, with which experience, and how.",
                    "label_source",
                    "Experience and background of annotators.",
                ),
                GuidelineItem(
                    "13",
                    "Devices that captured the data; software with versions.",
                    "software",
                    "Makers and models of devices.",
                ),
                GuidelineItem(
                    "14",
                    "Protocols of acquisition, and preprocessing.",
                    "preprocessing",
                    "Protocols of acquisition.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: tests",
            (
                GuidelineItem(
                    "15a",
                    "The index test, so that it can be repeated.",
                    "architecture preprocessing",
                    "Which member of the front is the index test.",
                ),
                GuidelineItem(
                    "15b",
                    "How the index test was developed: training, validation, test, external "
                    "evaluation, with sizes.",
                    "training selection partitions",
                    "External evaluation.",
                ),
                GuidelineItem(
                    "15c",
                    "Thresholds of the index test, why, and whether set beforehand.",
                    "thresholds",
                    "Why these, and whether they were set beforehand.",
                ),
                GuidelineItem(
                    "15d",
                    "Who uses the index test, and what they must know.",
                ),
                GuidelineItem(
                    "16a",
                    "The reference standard, so that it can be repeated.",
                    "label_source",
                    "A definition that others can repeat.",
                ),
                GuidelineItem(
                    "16b",
                    "Why this reference standard.",
                ),
                GuidelineItem(
                    "16c",
                    "Thresholds of the reference standard, why, and whether set beforehand.",
                    "label_policy",
                    "Why uncertain labels are read so.",
                ),
                GuidelineItem(
                    "17a",
                    "Whether those who did the index test knew the reference standard and "
                    "clinical data.",
                    author="That the model sees the image alone, if so.",
                ),
                GuidelineItem(
                    "17b",
                    "Whether those who assessed the reference standard knew the index test and "
                    "clinical data.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: analysis",
            (
                GuidelineItem(
                    "18",
                    "How measures of accuracy are estimated and compared.",
                    "metrics uncertainty",
                    "Which comparison was planned.",
                ),
                GuidelineItem(
                    "19",
                    "How indeterminate results were handled.",
                    "label_policy",
                    "Indeterminate results of the index test.",
                ),
                GuidelineItem(
                    "20",
                    "How missing data of both tests were handled.",
                    "missing",
                    "Why values are missing.",
                ),
                GuidelineItem(
                    "21",
                    "Analyses of variability in accuracy, and whether planned.",
                    "robustness gaps",
                    "Which were planned, and which came later.",
                ),
                GuidelineItem(
                    "22",
                    "The intended sample size and how it was determined.",
                    "partitions",
                    "How it was determined; fairfm power computes detectable gaps.",
                ),
                GuidelineItem(
                    "23",
                    "Analysis of errors, and assessment of bias and fairness.",
                    "fairness gaps errors",
                    "Why these attributes.",
                ),
            ),
        ),
        GuidelineSection(
            "Results: participants and data",
            (
                GuidelineItem(
                    "24",
                    "Flow of participants, as a diagram.",
                    "flow",
                    "Participants before they were in the table.",
                ),
                GuidelineItem(
                    "25",
                    "Demographic, clinical and technical characteristics of training, "
                    "validation and test sets.",
                    "characteristics",
                    "Clinical and technical characteristics that the table does not hold.",
                ),
                GuidelineItem(
                    "26a",
                    "Severity of disease in those with the condition.",
                ),
                GuidelineItem(
                    "26b",
                    "Other diagnoses in those without the condition.",
                    "characteristics",
                    "Diagnoses that are no labels.",
                ),
                GuidelineItem(
                    "27",
                    "Time and interventions between the tests.",
                ),
                GuidelineItem(
                    "28",
                    "Whether the data have the condition as often as the population of the "
                    "intended use.",
                    "characteristics",
                    "How often that population has it.",
                ),
                GuidelineItem(
                    "29",
                    "How external data differ from the others.",
                    "same_data",
                    "External data, if there are any.",
                ),
            ),
        ),
        GuidelineSection(
            "Results: tests",
            (
                GuidelineItem(
                    "30",
                    "Results of the index test against the reference standard.",
                    "errors",
                    "The cross-tabulation at your threshold.",
                ),
                GuidelineItem(
                    "31",
                    "Estimates of accuracy and their precision.",
                    "performance gaps",
                    "Sensitivity and specificity at your threshold.",
                ),
                GuidelineItem(
                    "32",
                    "Adverse events from the tests.",
                ),
            ),
        ),
        GuidelineSection(
            "Discussion",
            (
                GuidelineItem(
                    "33",
                    "Limitations: bias, uncertainty, generalisation.",
                    "limits",
                    "Their effect; and limits that the files do not show.",
                ),
                GuidelineItem(
                    "34",
                    "What follows for practice; the intended use and the clinical role.",
                ),
                GuidelineItem(
                    "35",
                    "Ethics of the use of the index test, and fairness.",
                    "gaps",
                    "The ethical considerations.",
                ),
            ),
        ),
        GuidelineSection(
            "Other information",
            (
                GuidelineItem(
                    "36",
                    "Registration, with number and registry.",
                ),
                GuidelineItem(
                    "37",
                    "Where the full protocol is.",
                ),
                GuidelineItem(
                    "38",
                    "Funding, other support, and the role of funders.",
                ),
                GuidelineItem(
                    "39",
                    "Commercial interests.",
                ),
                GuidelineItem(
                    "40a",
                    "Whether data and code are available, and restrictions of their use.",
                    "software terms",
                    "Where they are, and on what terms.",
                ),
                GuidelineItem(
                    "40b",
                    "Whether outputs are stored and can be audited.",
                    "stored",
                    "Who may audit them.",
                ),
            ),
        ),
    ),
)

"""CLAIM, update of 2024: 44 items, for artificial intelligence in medical imaging."""

from __future__ import annotations

from analysis.guidelines.records import Guideline, GuidelineItem, GuidelineSection

CLAIM = Guideline(
    title="CLAIM (2024 update)",
    citation=(
        "Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300, doi "
        "10.1148/ryai.240300"
    ),
    about="studies of artificial intelligence in medical imaging",
    sections=(
        GuidelineSection(
            "Title and abstract",
            (
                GuidelineItem(
                    "1",
                    "Say that the study is of artificial intelligence, and of which kind.",
                    "architecture",
                    "The title.",
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
                    "Scientific and clinical background, with the intended use and the "
                    "clinical role.",
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
            "Methods: design",
            (
                GuidelineItem(
                    "5",
                    "Prospective or retrospective.",
                ),
                GuidelineItem(
                    "6",
                    "The goal of the study, such as a new model, feasibility or non-inferiority.",
                    "claim",
                    "The kind of goal.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: data",
            (
                GuidelineItem(
                    "7",
                    "Sources of the data.",
                    "sources terms",
                    "Links, and sources that fairfm does not know.",
                ),
                GuidelineItem(
                    "8",
                    "Inclusion and exclusion criteria.",
                    "flow",
                    "The reasons, and what the source itself excluded.",
                ),
                GuidelineItem(
                    "9",
                    "Preprocessing.",
                    "preprocessing",
                    "What was done before fairfm read the images.",
                ),
                GuidelineItem(
                    "10",
                    "How parts of the data were selected.",
                    "flow partitions",
                    "Parts that were cropped or chosen by hand.",
                ),
                GuidelineItem(
                    "11",
                    "How data were de-identified.",
                ),
                GuidelineItem(
                    "12",
                    "How missing data were handled.",
                    "missing",
                    "Why values are missing.",
                ),
                GuidelineItem(
                    "13",
                    "How images were acquired: devices, protocol, parameters.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: reference standard",
            (
                GuidelineItem(
                    "14",
                    "How the reference standard was obtained.",
                    "label_source label_policy",
                    "A definition that others can repeat.",
                ),
                GuidelineItem(
                    "15",
                    "Why this reference standard.",
                ),
                GuidelineItem(
                    "16",
                    "Who annotated, and their qualification.",
                    "label_source",
                    "Qualification and training of annotators.",
                ),
                GuidelineItem(
                    "17",
                    "How the test set was annotated.",
                    "label_source",
                    "Procedure, tools and versions.",
                ),
                GuidelineItem(
                    "18",
                    "Variability between and within annotators, and how it was resolved.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: partitions",
            (
                GuidelineItem(
                    "19",
                    "How data were assigned to partitions.",
                    "partitions",
                    "Why these shares.",
                ),
                GuidelineItem(
                    "20",
                    "At which level partitions are disjoint.",
                    "disjoint",
                    "Copies of a patient under two ids: fairfm data check looks for copied "
                    "pictures.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: test data",
            (
                GuidelineItem(
                    "21",
                    "The intended size of the test set.",
                    "partitions small_groups",
                    "How it was determined; fairfm power computes detectable gaps.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: model",
            (
                GuidelineItem(
                    "22",
                    "The model in detail, with input and output.",
                    "architecture outcomes",
                    "What differs from the published network.",
                ),
                GuidelineItem(
                    "23",
                    "Software, with versions.",
                    "software hardware",
                    "Software outside fairfm.",
                ),
                GuidelineItem(
                    "24",
                    "How parameters were initialised.",
                    "initialisation",
                    "Where published weights came from.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: training",
            (
                GuidelineItem(
                    "25",
                    "Training: augmentation, hyper-parameters, when it ends.",
                    "training tuning",
                    "Augmentation and whatever the recipe leaves open.",
                ),
                GuidelineItem(
                    "26",
                    "How the final model was chosen.",
                    "selection",
                    "Which member of the front is the final model, and why.",
                ),
                GuidelineItem(
                    "27",
                    "Ensembles.",
                    author="That there is none, or its members: fairfm ensemble names them.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods: evaluation",
            (
                GuidelineItem(
                    "28",
                    "Metrics of performance.",
                    "metrics",
                    "Why these; a comparison with published models.",
                ),
                GuidelineItem(
                    "29",
                    "Measures of uncertainty and of significance.",
                    "uncertainty",
                    "Which comparison was planned.",
                ),
                GuidelineItem(
                    "30",
                    "Analyses of robustness or sensitivity.",
                    "robustness",
                    "Analyses outside fairfm.",
                ),
                GuidelineItem(
                    "31",
                    "Methods of explanation.",
                    author="fairfm explains no prediction: say so, or say what you did.",
                ),
                GuidelineItem(
                    "32",
                    "Evaluation on internal data.",
                    "performance same_data",
                    "Whether performance differs between training and test.",
                ),
                GuidelineItem(
                    "33",
                    "Testing on external data, or why not.",
                    "same_data",
                    "External data, or why there are none.",
                ),
                GuidelineItem(
                    "34",
                    "Registration as a clinical trial, if it is one.",
                ),
            ),
        ),
        GuidelineSection(
            "Results: data",
            (
                GuidelineItem(
                    "35",
                    "Numbers of patients and examinations included and excluded.",
                    "flow",
                    "Examinations, where images are not examinations.",
                ),
                GuidelineItem(
                    "36",
                    "Demographic and clinical characteristics in each partition.",
                    "characteristics missing",
                    "Clinical characteristics that the table does not hold; sources of bias.",
                ),
            ),
        ),
        GuidelineSection(
            "Results: performance",
            (
                GuidelineItem(
                    "37",
                    "Metrics of performance with their uncertainty, in all partitions and groups.",
                    "performance gaps",
                    "Performance in training.",
                ),
                GuidelineItem(
                    "38",
                    "Estimates of diagnostic performance and their precision.",
                    "performance thresholds errors",
                    "At which threshold the model would be used.",
                ),
                GuidelineItem(
                    "39",
                    "Analysis of failures.",
                    "errors",
                    "Examples of wrongly classified images, and why.",
                ),
            ),
        ),
        GuidelineSection(
            "Discussion",
            (
                GuidelineItem(
                    "40",
                    "Limitations.",
                    "limits",
                    "Their effect; and limits that the files do not show.",
                ),
                GuidelineItem(
                    "41",
                    "What follows for practice; the intended use and the clinical role.",
                ),
            ),
        ),
        GuidelineSection(
            "Other information",
            (
                GuidelineItem(
                    "42",
                    "Where the full protocol or further details are.",
                    "stored",
                    "The place.",
                ),
                GuidelineItem(
                    "43",
                    "Whether software, model and data are available.",
                    "software terms stored",
                    "Where they are, and on what terms.",
                ),
                GuidelineItem(
                    "44",
                    "Funding, other support, and the role of funders.",
                ),
            ),
        ),
    ),
)

"""TRIPOD+AI (2024): 27 items in 52 parts, for studies of prediction models."""

from __future__ import annotations

from analysis.guidelines.records import Guideline, GuidelineItem, GuidelineSection

TRIPOD_AI = Guideline(
    title="TRIPOD+AI",
    citation="Collins et al., BMJ 2024;385:e078378, doi 10.1136/bmj-2023-078378",
    about=(
        "studies that develop or evaluate a prediction model, by regression or machine learning"
    ),
    sections=(
        GuidelineSection(
            "Title and abstract",
            (
                GuidelineItem(
                    "1",
                    "Say in the title that a prediction model is developed or evaluated, for "
                    "whom, and what it predicts.",
                    "outcomes",
                    "The title; the population it is meant for.",
                ),
                GuidelineItem(
                    "2",
                    "An abstract by the guideline for abstracts.",
                    "performance gaps",
                    "The abstract.",
                ),
            ),
        ),
        GuidelineSection(
            "Introduction",
            (
                GuidelineItem(
                    "3a",
                    "The clinical context, diagnosis or prognosis, why the model is needed, "
                    "and earlier models.",
                ),
                GuidelineItem(
                    "3b",
                    "For whom the model is meant, where in the path of care, and who uses it.",
                ),
                GuidelineItem(
                    "3c",
                    "Known inequalities in health between groups of people.",
                ),
                GuidelineItem(
                    "4",
                    "The aims, and whether a model is developed, evaluated or both.",
                    "claim",
                    "The aims in the words of the paper.",
                ),
            ),
        ),
        GuidelineSection(
            "Methods",
            (
                GuidelineItem(
                    "5a",
                    "Where the data for development and for evaluation come from, why these, "
                    "and whom they represent.",
                    "sources same_data",
                    "Why these data, and whom they represent.",
                ),
                GuidelineItem(
                    "5b",
                    "When the data were collected, first to last.",
                    author="The dates of your images, also where published ones are known.",
                ),
                GuidelineItem(
                    "6a",
                    "The setting, and the number and place of the hospitals.",
                    "sources",
                    "The setting; hospitals of data that fairfm does not know.",
                ),
                GuidelineItem(
                    "6b",
                    "Who was eligible.",
                    "flow",
                    "The reasons behind each exclusion, and what the source itself excluded.",
                ),
                GuidelineItem(
                    "6c",
                    "Treatments that patients had, and how they were dealt with.",
                ),
                GuidelineItem(
                    "7",
                    "How data were prepared and checked, and whether alike in all groups.",
                    "preprocessing disjoint",
                    "Whether the quality of images and labels is alike in all groups.",
                ),
                GuidelineItem(
                    "8a",
                    "What is predicted, how and when it was assessed, why, and whether alike "
                    "in all groups.",
                    "outcomes label_source label_policy",
                    "Why these outcomes, and whether they were assessed alike in all groups.",
                ),
                GuidelineItem(
                    "8b",
                    "Who assessed outcomes that need judgment.",
                    "label_source",
                    "Qualification and background of the assessors.",
                ),
                GuidelineItem(
                    "8c",
                    "Whether the assessment of outcomes was blinded.",
                ),
                GuidelineItem(
                    "9a",
                    "How the first set of predictors was chosen.",
                    "preprocessing",
                    "That the image alone is the predictor, and why.",
                ),
                GuidelineItem(
                    "9b",
                    "Definition of every predictor, how and when it was measured.",
                    "preprocessing",
                    "How the images were acquired.",
                ),
                GuidelineItem(
                    "9c",
                    "Who assessed predictors that need judgment.",
                    author="That none does, if so.",
                ),
                GuidelineItem(
                    "10",
                    "How the size of the study was arrived at, for development and for "
                    "evaluation, and that it suffices.",
                    "partitions small_groups",
                    "Why this size suffices; fairfm power computes detectable gaps.",
                ),
                GuidelineItem(
                    "11",
                    "How missing data were handled, and why data were left out.",
                    "missing flow",
                    "Why values are missing.",
                ),
                GuidelineItem(
                    "12a",
                    "How data were used for development and evaluation, and partitioned.",
                    "partitions disjoint",
                    "Whether the size of each part suffices.",
                ),
                GuidelineItem(
                    "12b",
                    "How predictors were handled: rescaled, transformed, standardised.",
                    "preprocessing",
                    "Why so.",
                ),
                GuidelineItem(
                    "12c",
                    "The type of model, why, every step of building it, tuning, and internal "
                    "validation.",
                    "architecture initialisation training tuning selection",
                    "Why this type of model.",
                ),
                GuidelineItem(
                    "12d",
                    "Heterogeneity between clusters such as hospitals.",
                    author="Between sites: make the site an attribute, and fairfm compares them.",
                ),
                GuidelineItem(
                    "12e",
                    "Every measure and plot of performance, why, and how models are compared.",
                    "metrics calibration uncertainty",
                    "Why these measures.",
                ),
                GuidelineItem(
                    "12f",
                    "Updating of the model after its evaluation, such as recalibration.",
                    author="fairfm updates no model: say so, or say what you did.",
                ),
                GuidelineItem(
                    "12g",
                    "How predictions were computed for the evaluation.",
                    "software stored",
                    "Where others find the code and the model.",
                ),
                GuidelineItem(
                    "13",
                    "Methods for imbalanced classes, why, and recalibration after them.",
                    "fairness calibration",
                    "Whether any of it is meant for class imbalance, and why.",
                ),
                GuidelineItem(
                    "14",
                    "What was done for fairness, and why.",
                    "fairness gaps",
                    "Why these attributes and these methods.",
                ),
                GuidelineItem(
                    "15",
                    "What the model puts out; how classes and thresholds were found.",
                    "outcomes thresholds",
                    "Why these thresholds.",
                ),
                GuidelineItem(
                    "16",
                    "Differences between the data for development and for evaluation.",
                    "same_data characteristics",
                    "Differences in setting, eligibility, outcome and predictors.",
                ),
                GuidelineItem(
                    "17",
                    "Ethical approval and consent, or the waiver.",
                ),
            ),
        ),
        GuidelineSection(
            "Open science",
            (
                GuidelineItem(
                    "18a",
                    "Funding and the role of funders.",
                ),
                GuidelineItem(
                    "18b",
                    "Conflicts of interest.",
                ),
                GuidelineItem(
                    "18c",
                    "Where the protocol is, or that there is none.",
                    author="The protocol; the study file is no protocol of a clinical study.",
                ),
                GuidelineItem(
                    "18d",
                    "Registration, or that there is none.",
                ),
                GuidelineItem(
                    "18e",
                    "Whether the data are available.",
                    "terms",
                    "How others may get your data.",
                ),
                GuidelineItem(
                    "18f",
                    "Whether the code is available.",
                    "software",
                    "Where your code and your study file are.",
                ),
            ),
        ),
        GuidelineSection(
            "Patients and the public",
            (
                GuidelineItem(
                    "19",
                    "How patients and the public were involved, or that they were not.",
                ),
            ),
        ),
        GuidelineSection(
            "Results",
            (
                GuidelineItem(
                    "20a",
                    "The flow of participants, with and without the outcome.",
                    "flow characteristics",
                    "Time of follow-up, if any.",
                ),
                GuidelineItem(
                    "20b",
                    "Characteristics overall and by source or setting: dates, demographics, "
                    "treatments, events, missing data; differences between groups.",
                    "characteristics missing",
                    "Dates, treatments, and characteristics that the table does not hold.",
                ),
                GuidelineItem(
                    "20c",
                    "A comparison of evaluation and development data.",
                    "characteristics",
                    "A comparison with data of another source.",
                ),
                GuidelineItem(
                    "21",
                    "Participants and events in each analysis.",
                    "partitions",
                    "The number of events of each analysis, from Table 1.",
                ),
                GuidelineItem(
                    "22",
                    "The full model, so that others can predict with it, and restrictions of "
                    "its use.",
                    "architecture stored",
                    "Where the weights are, and on what terms.",
                ),
                GuidelineItem(
                    "23a",
                    "Performance with intervals, also in key groups.",
                    "performance gaps uncertainty",
                    "The choice of key groups.",
                ),
                GuidelineItem(
                    "23b",
                    "Heterogeneity of performance between clusters.",
                    author="Between sites: make the site an attribute, and fairfm compares them.",
                ),
                GuidelineItem(
                    "24",
                    "Results of updating the model.",
                    author="fairfm updates no model: say so, or say what you found.",
                ),
            ),
        ),
        GuidelineSection(
            "Discussion",
            (
                GuidelineItem(
                    "25",
                    "What the results mean, fairness among it, beside aims and earlier studies.",
                    "gaps",
                    "The interpretation.",
                ),
                GuidelineItem(
                    "26",
                    "Limitations and what they do to bias, uncertainty and generalisation.",
                    "limits",
                    "Their effect; and limits that the files do not show.",
                ),
                GuidelineItem(
                    "27a",
                    "How poor or missing input is to be handled in use.",
                ),
                GuidelineItem(
                    "27b",
                    "What users must do and know.",
                ),
                GuidelineItem(
                    "27c",
                    "Next steps of research, for applicability and generalisation.",
                ),
            ),
        ),
    ),
)

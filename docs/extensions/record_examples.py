"""Examples of keys whose value is not obvious, by record and key; a test reads each of them."""

from __future__ import annotations

EXAMPLES: dict[str, dict[str, str]] = {
    "StudySpec": {
        "base": "base: {data: {dataset: data/clinic}, backbone: {name: resnet50}}",
        "matrix": "matrix: {data.sampling: [standard, balanced], adaptation: {probe: {method: "
        "linear_probe}, tune: {method: end_to_end}}}",
        "include": "include: [{name: longer, adaptation: {method: end_to_end, epochs: 200}}]",
        "exclude": "exclude: [{adaptation: probe, data.sampling: balanced}]",
        "seeds": "seeds: [0, 1, 2]",
        "objectives": "objectives: [{metric: val/auc, goal: maximize}, {metric: val/gap_race, "
        "goal: minimize}]",
        "images": "images: {crop: 1.0, normalisation: imagenet}",
        "resources": "resources: {gpus: 0.5, cpus: 6}",
        "tracking": "tracking: {uri: http://mlflow.example:5000}",
        "evaluation": "evaluation: {attributes: [sex, age], age_edges: [65], replicates: 1000}",
    },
    "SearchHalving": {"rungs": "rungs: [2, 6]"},
    "SeedLevels": {"pretraining": "pretraining: [0, 1, 2]"},
    "Objective": {"metric": "metric: val/gap_tpr@fpr=0.2_sex"},
    "StudyImages": {"normalisation": "normalisation: {mean: 0.53, std: 0.23}"},
    "Tracking": {"uri": "uri: sqlite:///runs.db"},
    "EvaluationSettings": {
        "protocols": "protocols: [balanced, full]",
        "attributes": "attributes: [sex, race, race x sex, scanner]",
        "metrics": "metrics: [auc, rates]",
        "operating_points": "operating_points: [fpr=0.1, sensitivity=0.9, f1]",
        "age_edges": "age_edges: [18, 65]",
    },
    "Trial": {
        "weights": "weights: {model: effnet_lite0, file: weights/effnet.safetensors}",
        "pretraining": "weights: {pretraining: {method: mae, corpora: [data/nih], recipe: smoke}}",
        "adaptation": "adaptation: {method: linear_probe, recipe: smoke, lr: 0.1}",
        "data": "data: {dataset: data/clinic, sampling: balanced, balance: sex}",
    },
    "PublishedWeights": {
        "network": "network: {name: vit_base_patch16_224, image_size: 384}",
        "key": "key: model_ema.state_dict",
        "prefix": "prefix: model.backbone.",
    },
    "Pretraining": {
        "corpora": "corpora: [data/chexpert, data/nih]",
        "fraction": "fraction: 0.1",
    },
    "Backbone": {
        "name": "name: vit_base_patch16_224",
        "options": "options: {patch_size: 8, depth: 4}",
    },
    "EndToEnd": {"loss": "loss: {name: focal, gamma: 2}"},
    "LinearProbe": {"loss": "loss: {name: reweighted, attribute: [race, sex]}"},
    "Data": {
        "pathologies": "pathologies: [Edema, No Finding]",
        "balance": "balance: [race, sex]",
        "labels": "labels: {Edema: u_ones, Atelectasis: u_ignore}",
    },
    "GroupLossSettings": {"attribute": "attribute: [race, sex]"},
    "TableDescription": {
        "join": "join: {table: people.xlsx, on: {person: ID}}",
        "rows": "rows: {view: [PA, AP]}",
        "sex": "sex: {column: gender, values: {woman: F, man: M}}",
        "race": "race: ethnicity",
        "age": "age: {born: birth, at: study, format: '%d/%m/%Y'}",
        "attributes": "attributes: {scanner: device, bmi_group: {column: bmi, bins: [18.5, 25]}}",
        "labels": "labels: {Edema: edema, Glaucoma: {column: eye, values: {yes: 1, no: 0, maybe: "
        'uncertain, "": null}}}',
        "split": "split: {column: part, values: {training: train, tuning: val, held_out: test}}",
    },
    "TableForm": {
        "delimiter": 'delimiter: ";"',
        "encoding": "encoding: latin-1",
        "comment": 'comment: "#"',
        "sheet": "sheet: Patients",
    },
    "Join": {"on": "on: {person: ID}"},
    "ColumnValues": {
        "values": "values: {Black or African American: Black, white: White}",
        "bins": "bins: [18.5, 25]",
    },
    "Label": {"values": 'values: {0: 0, 1: 0, 2: 1, 3: 1, "?": uncertain, "": null}'},
    "JoinedLabels": {
        "separator": 'separator: ";"',
        "names": "names: [mass, nodule]",
        "ignore": "ignore: [normal]",
    },
    "ComputedAge": {"format": "format: '%d/%m/%Y'"},
    "PhantomWorld": {
        "shares": "shares: {race: {White: 0.5, Black: 0.5}}",
        "planted": "planted: {race: {Black: {contrast: -0.4, noise: 0.25}}}",
        "prevalence": "prevalence: {Edema: 0.1}",
        "contrast": "contrast: {Edema: 0.5}",
    },
}

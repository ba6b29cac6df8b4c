import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.evaluation.predictions import Predictions, read_predictions, write_predictions


def test_round_trip(make_frame, tmp_path):
    frame = make_frame(images=50)
    frame.loc[0, "race"] = None
    write_predictions(frame, tmp_path / "test.parquet")
    back = read_predictions(tmp_path / "test.parquet")
    assert back.pathologies == ("Edema", "Fracture")
    assert back.attributes == ("sex", "race", "age")
    pd.testing.assert_frame_equal(back.frame[frame.columns], frame, check_dtype=False)
    assert back.frame["p_Edema"].dtype == np.float32


def test_equal_content_gives_equal_bytes(make_frame):
    frame = make_frame(images=50)
    written = []
    for rows in (frame, frame.sample(frac=1, random_state=0)):
        file = io.BytesIO()
        write_predictions(rows, file)
        written.append(file.getvalue())
    assert written[0] == written[1]
    assert len(read_predictions(io.BytesIO(written[0])).frame) == 50


def test_layout_of_the_file(make_frame, tmp_path):
    write_predictions(make_frame(images=50), tmp_path / "p.parquet")
    group = pq.ParquetFile(tmp_path / "p.parquet").metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["p_Edema"].compression == "ZSTD"
    assert "BYTE_STREAM_SPLIT" in columns["p_Edema"].encodings
    assert not columns["p_Edema"].has_dictionary_page


def test_large_strings_and_double_scores_of_another_program_are_read(make_frame, tmp_path):
    table = pa.Table.from_pandas(make_frame(images=20), preserve_index=False)
    large = table.set_column(0, "image_id", table["image_id"].cast(pa.large_string()))
    place = large.schema.get_field_index("p_Edema")
    large = large.set_column(place, "p_Edema", large["p_Edema"].cast(pa.float64()))
    pq.write_table(large, tmp_path / "other.parquet")
    assert len(read_predictions(tmp_path / "other.parquet").frame) == 20


def _broken(frame, column, value):
    return frame.astype({column: object}).assign(**{column: [value, *frame[column].tolist()[1:]]})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: f.drop(columns="patient_id"), "lack the column 'patient_id'"),
        (lambda f: f.rename(columns={"split": "splits"}), "did you mean 'splits'"),
        (lambda f: f.drop(columns="p_Edema"), "'y_Edema' has no matching column 'p_Edema'"),
        (lambda f: f.drop(columns="y_Edema"), "'p_Edema' has no matching column 'y_Edema'"),
        (lambda f: f[["image_id", "patient_id", "split"]], "no pathology"),
        (lambda f: f.head(0), "no rows"),
        (lambda f: pd.concat([f, f.head(2)]), "more than once: test-00000, test-00001"),
        (lambda f: f.assign(p_Edema=np.float32("nan")), "p_Edema of image test-00000 is nan"),
        (lambda f: f.assign(p_Edema=1.5), "is 1.5; a probability"),
        (lambda f: f.assign(p_Edema=-0.1), "apply the sigmoid"),
        (lambda f: f.assign(p_Edema="high"), "not numeric"),
        (lambda f: f.assign(y_Edema=-1.0), r"y_Edema holds -1.0; allowed: 0, 1, null"),
        (lambda f: f.assign(split="holdout"), "unknown split holdout"),
        (lambda f: _broken(f, "patient_id", None), "patient_id is blank in 1 of 12 rows"),
        (lambda f: f.assign(y_mean=f["y_Edema"], p_mean=f["p_Edema"]), "may not be named 'mean'"),
    ],
)
def test_bad_predictions_are_refused(make_frame, spoil, says):
    with pytest.raises(BadInput, match=says):
        Predictions(spoil(make_frame(images=12)))


def test_damaged_text_is_one_line(make_frame, tmp_path):
    path = tmp_path / "test.parquet"
    table = pa.Table.from_pandas(make_frame().assign(site="chest"), preserve_index=False)
    pq.write_table(table, path, compression="none")
    path.write_bytes(path.read_bytes().replace(b"chest", b"ch\xffst"))
    with pytest.raises(BadInput, match=r"cannot read .* as a parquet file: .*UTF"):
        read_predictions(path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "p.parquet").write_text("image_id,p_Edema")
    with pytest.raises(BadInput, match="cannot read"):
        read_predictions(tmp_path / "p.parquet")
    with pytest.raises(BadInput, match="no predictions at"):
        read_predictions(tmp_path / "absent.parquet")

"""TensorFlow's checkpoints: real bytes of TensorFlow 2.21, and files of our own writer."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest

from fairfm_core.errors import BadInput
from fairfm_core.models.checkpoints.crc32c import crc32c
from fairfm_core.models.checkpoints.tensor_bundle import open_bundle
from fairfm_core.models.checkpoints.tensorflow_index import fields, varint

from .bundle_writer import crc, write_bundle

# Written by TensorFlow 2.21: tf.saved_model.save of three variables, and a TensorFlow 1 Saver
# with one variable in one piece and one in two slices.
TF2_INDEX = (
    "c-muNVB=tvV&Y(Akl~AW_HcFf4)FK%3vqPvagFzP@^W<!iFXfj4DjG!7h+J*(Ky0n%4C$`#h@UVo|v1PsITW35)$"
    "O;6dK|htRLnW<O$Xn=I9gZ%E2haBE-bOtRSJmW4djIBL{<`barY{UTO}0O#(noj8M!3GC)JZ^uTRfaRzzb;*!(?e"
    "406dPE^t0Fx`E9z90h-FoKAJ53vj3oCBX0ZeU<!E@61U2p22wG*N!a$nlAhpMf9<|J~57QtEyi04#7nwE"
)
TF2_DATA = (
    "c-muN0D%U3AmIQ+K->Vt3ml+g2S8%%3=pu7Y027Md$~-xxHuSv*s@cL@=|lSI60VvSkn`8a}&8ZIGBZ4ic3-pxcE"
    "3&gt&?`)AJHbN{dp9wU{^<xw3^)x%k2ygFGFbd|czh9DPDvg$$B1OZ0&X@=}3Rett=OQciwywtjI*VqQvOQA%c2Y"
    "D#=^eqNbTiax|TDMbjaujd#N66EO=8sZwPk7_8`vQQy^49ldEEK4uSFD;1A%P-2+2fJNL0Zb7x)>g<I!&tD7rQ|^"
    "*A?-|B3;+%KVjB"
)
TF1_INDEX = (
    "c-muNVB=tvV&Y(A5D{i5N-fSyEzvJXEGl7OWMpb+YG~qM6ygwK;$Q+{4FS_fT~WybETT<lG717fIq^QVY6fm4Btx"
    "J|SU^gwIJlSum_XQyi;IN=%4S!UEy~X?iBHPOPtMjaE=kNwNi0gqtV&IZPtMOPGfL6VPA$qy%>kMu05pXWib0k#D"
    "=274m>#%oE6xA}j37eshUp48=fJ0h8yFawiy6)^!o_we@6^7?$Z?O6pMf9<|J~57QtEyi0K~gARR"
)
TF1_DATA = "c-p(N%3yy6<7B%WJGT7=lho`EILhsv(4(>c!1EM)fv=@@3}Db;4<sCb2#6bic!2`|T~HBy"

ROOT = "resnet/root_block/standardized_conv2d/kernel"
KERNEL = np.arange(6, dtype="float32").reshape(1, 1, 2, 3)


def unpack(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zlib.decompress(base64.b85decode(text)))


def variables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(), (3,), (2, 3), (1, 1, 2, 3), (0, 4)]
    floats = {f"net/layer{n}/kernel": rng.normal(size=s).astype("f4") for n, s in enumerate(shapes)}
    others = {"step": np.int64(7).reshape(()), "net/flags": np.array([True, False])}
    more = {f"net/layer1/bias_{n}": np.full(2, n, "float64") for n in range(20)}
    return floats | others | more


def test_a_saved_model_of_tensorflow_2(tmp_path: Path) -> None:
    unpack(TF2_INDEX, tmp_path / "variables/variables.index")
    unpack(TF2_DATA, tmp_path / "variables/variables.data-00000-of-00001")
    bundle = open_bundle(tmp_path)
    assert set(bundle.names) == {f"bit/{ROOT}", "bit/resnet/group_norm/gamma", "step"}
    assert np.array_equal(bundle.read(f"bit/{ROOT}"), KERNEL)
    assert bundle.read("bit/resnet/group_norm/gamma").tolist() == [1, -2, 3]
    assert bundle.read("step") == 7


def test_a_saver_of_tensorflow_1(tmp_path: Path) -> None:
    unpack(TF1_INDEX, tmp_path / "model.ckpt.index")
    unpack(TF1_DATA, tmp_path / "model.ckpt.data-00000-of-00001")
    for path in (tmp_path, tmp_path / "model.ckpt", tmp_path / "model.ckpt.index"):
        assert np.array_equal(open_bundle(path).read(ROOT), KERNEL)
    with pytest.raises(BadInput, match="resnet/part is saved in slices"):
        open_bundle(tmp_path).read("resnet/part")


@pytest.mark.parametrize("objects", [False, True], ids=["saver", "saved-model"])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_variable_of_our_writer_comes_back(
    tmp_path: Path, objects: bool, shards: int
) -> None:
    write_bundle(tmp_path / "variables/variables", variables(), objects=objects, shards=shards)
    bundle = open_bundle(tmp_path)
    assert set(bundle.names) == set(variables())
    assert len(bundle.files()) == 1 + shards
    for name, value in variables().items():
        read = bundle.read(name)
        assert read.dtype == value.dtype
        assert np.array_equal(read, value)


def test_crc32c_on_published_values() -> None:
    # RFC 3720, appendix B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    for length in (0, 1, 7, 8, 9, 31):
        assert crc32c(bytes(range(length))) == crc(bytes(range(length)))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "model", variables(), objects=True)
    return tmp_path / "model"


def spoil(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_wrong_magic(prefix: Path) -> None:
    spoil(prefix.with_suffix(".index"), -1)
    with pytest.raises(BadInput, match="number of an index: it is another file, or truncated"):
        open_bundle(prefix)


def test_an_index_that_is_cut_off(prefix: Path) -> None:
    index = prefix.with_suffix(".index")
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(BadInput, match="truncated"):
        open_bundle(prefix)
    index.write_bytes(index.read_bytes()[:10])
    with pytest.raises(BadInput, match="truncated"):
        open_bundle(prefix)


def test_a_changed_byte_in_the_index(prefix: Path) -> None:
    spoil(prefix.with_suffix(".index"), 5)
    with pytest.raises(BadInput, match="a block does not match its checksum"):
        open_bundle(prefix)


def test_compressed_blocks(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", variables(), compression=1)
    with pytest.raises(BadInput, match=r"blocks are compressed \(snappy\), which cannot be read"):
        open_bundle(tmp_path)


def test_big_endian(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", variables(), endianness=1)
    with pytest.raises(BadInput, match="big-endian"):
        open_bundle(tmp_path)


def test_a_missing_shard(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", variables(), shards=2)
    (tmp_path / "model.data-00001-of-00002").unlink()
    bundle = open_bundle(tmp_path)
    with pytest.raises(BadInput, match="data-00001-of-00002 cannot be read: No such file"):
        bundle.read("net/layer1/kernel")


def test_data_that_are_cut_off_or_changed(prefix: Path) -> None:
    data = Path(f"{prefix}.data-00000-of-00001")
    bundle = open_bundle(prefix)
    spoil(data, 5)
    with pytest.raises(BadInput, match="net/layer1/kernel does not match its checksum"):
        bundle.read("net/layer1/kernel")
    data.write_bytes(data.read_bytes()[:10])
    with pytest.raises(BadInput, match="is truncated before or within net/layer1/kernel"):
        bundle.read("net/layer1/kernel")
    with pytest.raises(BadInput, match="is truncated"):
        open_bundle(prefix)  # the graph of objects stands at the end of the data


def test_a_changed_byte_in_the_graph(prefix: Path) -> None:
    spoil(Path(f"{prefix}.data-00000-of-00001"), -1)
    with pytest.raises(BadInput, match="graph of objects is damaged: it does not match"):
        open_bundle(prefix)


def test_a_dtype_that_is_not_read(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", {"c": np.ones(2, "complex64"), "f": np.ones(2, "float32")})
    bundle = open_bundle(tmp_path)
    assert bundle.read("f").tolist() == [1, 1]
    with pytest.raises(BadInput, match="c has TensorFlow's dtype 8, which cannot be read"):
        bundle.read("c")


def test_a_folder_with_none_or_several(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds none"):
        open_bundle(tmp_path)
    for name in ("a", "b"):
        write_bundle(tmp_path / name, variables())
    with pytest.raises(BadInput, match="holds 2 of them: name one"):
        open_bundle(tmp_path)
    with pytest.raises(BadInput, match="holds none"):
        open_bundle(tmp_path / "absent")


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(b"\0" * 100)
    with pytest.raises(BadInput) as caught:
        open_bundle(tmp_path)
    assert "\n" not in str(caught.value)


def test_messages_that_end_too_early() -> None:
    assert varint(b"\xac\x02", 0) == (300, 2)
    for message in (b"\x80", b"\x0a\x05ab", b"\x0d\x01", b"\xff" * 12):
        with pytest.raises(ValueError, match="ends"):
            list(fields(message))
    with pytest.raises(ValueError, match="wire type 3"):
        list(fields(b"\x0b"))

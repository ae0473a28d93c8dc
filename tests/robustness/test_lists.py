"""Bad, odd and hostile lists, through the stage that reads them; then any bytes at all."""

import json
import tempfile
from pathlib import Path

import pytest
from calibench.errors import UserError
from calibench.stages import list as list_stage
from hypothesis import example, given, settings
from hypothesis import strategies as st

HEADER = "filename,label\n"


@pytest.fixture
def listed(dataset):
    """``listed(text)``: the stage list, with this as the training list; the classes it finds."""

    def run(text, **others):
        dataset.write_lists()
        for name, content in {"train": text, **others}.items():
            (dataset.root / f"{name}.csv").write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        try:
            return dataset.list_images()
        except UserError:
            assert not (dataset.folder / "list.csv").exists() and not list(dataset.folder.glob(".*"))
            raise

    return run


TRAIN = "train0.png,a\ntrain1.png,b\n"
FULL = "filename,label,group,stratum\ntrain0.png,a,,\ntrain1.png,b,,\n"
REFUSED = {
    "escaping-path": (
        HEADER + TRAIN + "x/../../etc/passwd,a\n",
        r"train\.csv, line 4: '\.\.' leaves the data set's root",
    ),
    "absolute-path": (HEADER + TRAIN + "/etc/passwd,a\n", r"line 4: an absolute path; write it relative"),
    "home-path": (HEADER + TRAIN + "~root/x.png,a\n", "line 4: an absolute path"),
    "duplicate-columns": ("filename,label,label\ntrain0.png,a,b\n", "column 'label' appears twice; keep one"),
    "latin-1": (
        (HEADER + TRAIN + "train2.png,é\n").encode("latin-1"),
        "line 4: byte 0xe9 is not UTF-8; save",
    ),
    "10-mb-field": (
        HEADER + TRAIN + f"train2.png,{'x' * 10**7}\n",
        "line 4: a label of more than 4096 characters",
    ),
    "10-mb-group": (
        FULL + f"train2.png,a,{'x' * 10**7},\n",
        "line 4: a group of more than 4096 characters",
    ),
    "10-mb-stratum": (
        FULL + f"train2.png,a,,{'x' * 10**7}\n",
        "line 4: a stratum of more than 4096 characters",
    ),
    "10-mb-header": (f"filename,label,{'x' * 10**7}\ntrain0.png,a,\n", "line 1 is longer than 1048576 bytes"),
    "long-filename": (
        HEADER + f"{'x' * 300}.png,a\n" + TRAIN,
        "cannot be read .File name too long.; set datasets",
    ),
    "label-with-newline": (
        HEADER + TRAIN + 'train2.png,"a\nb"\n',
        "line 5: a control character in the label",
    ),
    "group-with-newline": (
        FULL + 'train2.png,a,"p\nerror: forged",\n',
        r"line 5: a control character in the group; remove it .*\(.*group 'p\\nerror: forged'\)",
    ),
    "stratum-with-escape": (
        FULL + "train2.png,a,,\x1b[2J\n",
        "line 4: a control character in the stratum; remove it",
    ),
    "open-quote": (HEADER + TRAIN + 'train2.png,"a\n', "a quote is never closed"),
    "one-class": (
        HEADER + "train0.png,a\ntrain1.png,a\n",
        "train has only the class 'a'; at least two are needed",
    ),
    "empty-list": ("", "train.csv is empty; it needs a header"),
    "header-only": (HEADER, "has only a header; it needs one row per image"),
    "nul-byte": (HEADER + "train0.png,a\0\n", "line 2: a NUL byte"),
    "binary": (b"\x89PNG\r\n\x1a\n\0\0", "line 1: byte 0x89 is not UTF-8|a NUL byte"),
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(listed, text, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        listed(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_a_name_in_the_log_moves_no_cursor_and_forges_no_line(listed, dataset, caplog):
    """C1 codes and line separators are no control characters of ASCII, yet some terminals obey them."""
    patient = "p\x9b2J\u2028error: forged" + "x" * 4000
    others = {s: f"filename,label,group\n{s}0.png,a,{patient}\n" for s in ("val", "test")}
    listed(f"filename,label,group\ntrain0.png,a,{patient}\ntrain1.png,b,\n", **others)
    (line,) = [r.getMessage() for r in caplog.records if "in more than one split" in r.getMessage()]
    assert r"'p\x9b2J\u2028error: forged" in line and line.isprintable() and len(line) < 300


LABELS = {
    "slashes": "../../etc/x/y",
    "html": "<script>alert(1)</script>",
    "emoji": "🫁 näht",
    "formula": "=1+1",
    "nan": "NaN",
}


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS)
def test_odd_label(listed, dataset, label):
    """Accepted as it is: a class name never becomes a path, and pages and tables escape it."""
    others = {s: f"{HEADER}{s}0.png,{label}\n" for s in ("val", "test")}
    classes = listed(f"{HEADER}train0.png,{label}\ntrain1.png,b\n", **others)
    assert set(classes["label"]) == {label, "b"}
    (written,) = [p for p in dataset.folder.rglob("*") if label[:3] in p.name] or [None]
    assert written is None


def test_bom_crlf_and_quotes(listed):
    text = b'\xef\xbb\xbffilename,label,note\r\n"train0.png","a","two\nlines"\r\ntrain1.png,b,\r\n'
    assert listed(text)["train"].tolist() == [1, 1]


def test_semicolons_tabs_and_other_columns_twice(listed):
    for text in (
        "filename;label\ntrain0.png;a\ntrain1.png;b\n",
        "k\tk\tfilename\tlabel\n1\t2\ttrain0.png\ta\n\t\ttrain1.png\tb\n",
    ):
        assert listed(text)["label"].tolist() == ["a", "b"]


def test_quoted_newline_in_another_column_keeps_line_numbers_right(listed):
    text = HEADER.strip() + ',note\ntrain0.png,a,"two\nlines"\ntrain1.png,b,\n/etc/passwd,a,\n'
    with pytest.raises(UserError, match="line 5: an absolute path"):
        listed(text)


def test_100000_classes(listed, dataset):
    """Allowed; it takes under a second to list. What follows is as large as it is asked to be."""
    rows = "".join(f"{i}.png,class {i}\n" for i in range(100_000))
    classes = listed(HEADER + "train0.png,a\ntrain1.png,b\n" + rows)
    assert len(classes) == 100_002
    assert (dataset.folder / "list.csv").read_bytes().count(b"\n") == 1 + 100_002 + 12


def test_empty_split(listed, dataset):
    with pytest.raises(UserError, match=r"val\.csv has only a header"):
        listed(HEADER + TRAIN, val=HEADER)
    dataset.settings |= {"files": {"list": "train.csv"}, "split": {"val": 0.001, "test": 0.2}}
    with pytest.raises(
        UserError, match=r"split 'val' has no image; add rows for it or raise datasets\.toy\.split\.val"
    ):
        listed(HEADER + "".join(f"train{i}.png,{'ab'[i % 2]}\n" for i in range(6)))


def test_overlong_split(listed, dataset):
    dataset.settings |= {"files": {"list": "train.csv"}}
    with pytest.raises(UserError, match="line 3: split 'x+' is not one of train") as error:
        listed(f"filename,label,split\ntrain0.png,a,train\ntrain1.png,b,{'x' * 10**7}\n")
    assert len(str(error.value)) < 1000


def test_folder_instead_of_list(dataset):
    dataset.write_lists()
    (dataset.root / "val.csv").unlink()
    (dataset.root / "val.csv").mkdir()
    with pytest.raises(UserError, match=r"val\.csv cannot be read: Is a directory"):
        dataset.list_images()


PIECES = st.sampled_from(
    ["filename", "label", "split", "group", "a.png", "b.png", "x", "y", ",", ",", ";", "\t", "\n", "\n", "\r\n", '"', "../", "/",
     " ", "train", "val", "\ufeff", "é", "🫁", "\\", "\u2028", "\x1c", "=", "'", "#"]
)  # fmt: skip
TEXTS = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=40).map(lambda parts: "".join(parts).encode()),
    st.lists(PIECES, max_size=40).map(lambda parts: ("filename,label\n" + "".join(parts)).encode()),
    st.lists(st.tuples(PIECES, PIECES, PIECES), max_size=8).map(
        lambda rows: (
            "filename,label,split\na.png,x,train\nb.png,y,\n" + "\n".join(map(",".join, rows))
        ).encode()
    ),
)


@settings(max_examples=400)
@given(TEXTS, st.sampled_from(["list", "semicolon", "radimagenet"]), st.booleans())
@example(b"filename,label\na.png,x\nb.png,y\n", "list", False)
@example(b'filename,label\n"', "list", False)
@example(b"\xef\xbb\xbf", "list", True)
@example(b"a.png;x\nb.png;y", "semicolon", True)
def test_any_bytes_give_a_list_or_a_user_error(data, kind, one_file):
    """Never another exception; on an error, nothing is written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        for image in ("a.png", "b.png", "c.png", "d.png"):
            (root / image).touch()
        (root / "train.csv").write_bytes(data)
        (root / "val.csv").write_text("filename,label\nc.png,x\n")
        (root / "test.csv").write_text("filename,label\nd.png,x\n")
        files = {"list": "train.csv"} if one_file else {s: f"{s}.csv" for s in ("train", "val", "test")}
        given_settings = {"name": "toy", "format": kind, "root": str(root), "files": files}
        outputs = ["--out-list", str(folder / "list.csv"), "--out-classes", str(folder / "classes.csv")]
        try:
            list_stage.main(["--settings", json.dumps(given_settings), *outputs])
        except UserError as error:
            assert "\n" not in str(error)
            assert sorted(p.name for p in folder.iterdir()) == ["root"]
        else:
            assert sorted(p.name for p in folder.iterdir()) == ["classes.csv", "list.csv", "root"]

"""Lists: what is accepted, what is refused and with which line."""

import json

import pandas as pd
import pytest
from calibench.data import listing
from calibench.data.csvfile import read_frame
from calibench.data.radimagenet import strata
from calibench.errors import UserError
from calibench.planning.configuration import dataset_settings
from calibench.stages import list as list_stage


@pytest.fixture
def root(tmp_path):
    for name in "abcdefghij":
        (tmp_path / f"{name}.png").touch()
    return tmp_path


def write(root, **files):
    for name, text in files.items():
        data = text if isinstance(text, bytes) else text.encode()
        (root / f"{name}.csv").write_bytes(data)


def three(
    root,
    train="filename,label\na.png,x\nb.png,y\n",
    val="filename,label\nc.png,x\n",
    test="filename,label\nd.png,y\n",
):
    write(root, train=train, val=val, test=test)
    files = {"train": "train.csv", "val": "val.csv", "test": "test.csv"}
    given = {"name": "toy", "format": "list", "root": str(root), "files": files}
    return dataset_settings(json.dumps(given))[0]


def one(root, text, **settings):
    write(root, all=text)
    given = {"name": "toy", "root": str(root), "files": {"list": "all.csv"}, "format": "list", **settings}
    return dataset_settings(json.dumps(given))[0]


def test_three_files(root):
    frame, classes = listing.load(three(root, train="filename,label\na.png,y\nb.png,x\n"))
    assert frame.columns.tolist() == [*listing.LIST_COLUMNS, "drawn"]
    assert frame["filename"].tolist() == ["a.png", "b.png", "c.png", "d.png"]
    assert frame["target"].tolist() == [1, 0, 0, 1]
    assert frame["split"].tolist() == ["train", "train", "val", "test"]
    assert classes.to_dict("list") == {
        "target": [0, 1],
        "label": ["x", "y"],
        "train": [1, 1],
        "val": [1, 0],
        "test": [0, 1],
    }


def test_bom_crlf_quotes_and_extra_columns(root):
    train = b'\xef\xbb\xbflabel,patient,filename\r\n"x, left",7,a.png\r\ny,8,b.png\r\n'
    frame, classes = listing.load(three(root, train=train, val='filename,label\nc.png,"x, left"\n'))
    assert classes["label"].tolist() == ["x, left", "y"]
    assert frame["filename"].tolist()[:2] == ["a.png", "b.png"]


def test_odd_labels_stay_as_they_are(root):
    frame, classes = listing.load(
        three(
            root,
            train="filename,label\na.png,ca++_tendinosis\nb.png,NA\n",
            val="filename,label\nc.png,NA\n",
            test="filename,label\nd.png,NA\n",
        )
    )
    assert classes["label"].tolist() == ["NA", "ca++_tendinosis"]


def test_numbers_are_sorted_by_value():
    assert listing.sort_labels(["10", "9", "0"]) == ["0", "9", "10"]
    assert listing.sort_labels(["b", "10", "9"]) == ["10", "9", "b"]


BAD_TRAIN = {
    "missing column": ("file,label\na.png,x\n", r"train\.csv: column 'filename' is missing"),
    "duplicate column": ("filename,label,label\na.png,x,x\n", "column 'label' appears twice"),
    "header only": ("filename,label\n", r"train\.csv has only a header"),
    "empty file": ("", r"train\.csv is empty"),
    "latin-1": (b"filename,label\na.png,x\nb.png,caf\xe9\n", r"train\.csv, line 3: byte 0xe9 is not UTF-8"),
    "utf-16": ("filename,label\na.png,x\n".encode("utf-16"), r"train\.csv, line 1: "),
    "nul": (b"filename,label\na.png,x\nb\0.png,y\n", r"train\.csv, line 3: a NUL byte"),
    "absolute": ("filename,label\na.png,x\n/etc/b.png,y\n", r"train\.csv, line 3: an absolute path"),
    "escaping": ("filename,label\na.png,x\n\nq/../../b.png,y\n", r"train\.csv, line 4: '\.\.'"),
    "backslash": ("filename,label\na.png,x\nq\\b.png,y\n", r"train\.csv, line 3: the path has a backslash"),
    "empty label": ("filename,label\na.png,x\nb.png, \n", r"train\.csv, line 3: the label is empty"),
    "missing field": ("filename,label\na.png,x\nb.png\n", r"train\.csv, line 3: 1 fields"),
    "extra field": ("filename,label\na.png,x\nb.png,y,z\n", r"train\.csv, line 3: 3 fields"),
    "extra field everywhere": ("filename,label\na.png,x,1\nb.png,y,z\n", r"train\.csv, line 2: 3 fields"),
    "empty name": ("filename,label\n,x\nb.png,y\n", r"train\.csv, line 2: the filename is empty"),
    "folder": ("filename,label\na/,x\nb.png,y\n", "a folder, not a file"),
    "duplicate": (
        "filename,label\na.png,x\nb.png,y\na.png,x\n",
        r"line 4: 'a\.png' was listed before \(.*train\.csv, line 2\)",
    ),
    "duplicate spelling": ("filename,label\na.png,x\n.//a.png,y\n", r"line 3: 'a\.png' was listed before"),
    "across splits": (
        "filename,label\na.png,x\nc.png,y\n",
        r"val\.csv, line 2: 'c\.png' was listed before \(.*train\.csv, line 3\)",
    ),
    "one class": ("filename,label\na.png,x\nb.png,x\n", "train has only the class 'x'"),
    "control": ('filename,label\n"a\tb.png",x\nb.png,y\n', "control character"),
}


@pytest.mark.parametrize(("train", "message"), BAD_TRAIN.values(), ids=BAD_TRAIN.keys())
def test_refused(root, train, message):
    with pytest.raises(UserError, match=message):
        listing.load(three(root, train=train))


def test_unknown_label_names_file_and_line(root):
    with pytest.raises(UserError, match=r"test\.csv, line 3: label 'z' of split test is not in train"):
        listing.load(three(root, test="filename,label\nd.png,x\ne.png,z\n"))


def test_missing_root_names_key_and_access(tmp_path):
    given = {"name": "rin", "format": "radimagenet", "root": str(tmp_path / "none")}
    with pytest.raises(UserError, match=r"datasets\.rin\.root: .*radimagenet\.com"):
        listing.load(dataset_settings(json.dumps(given))[0])


def test_missing_first_image_names_key(root):
    with pytest.raises(UserError, match=r"nowhere\.png is missing; set datasets\.toy\.root"):
        listing.load(three(root, val="filename,label\nnowhere.png,x\n"))


def test_missing_list(root):
    settings = three(root)
    (root / "val.csv").unlink()
    with pytest.raises(UserError, match=r"val\.csv is missing"):
        listing.load(settings)


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "valid", "test"),
        ("Training", "VALIDATION", "Testing"),
        ("tr", "dev", "ts"),
        ("TRAIN ", "val", " Test"),
    ],
)
def test_spellings_of_a_listed_split(root, train, val, test):
    text = f"filename,label,split\na.png,x,{train}\nb.png,y,{train}\nc.png,x,{val}\nd.png,y,{test}\n"
    frame = listing.load(one(root, text))[0]
    assert frame["split"].tolist() == ["train", "train", "val", "test"]
    assert set(frame["drawn"]) == {"0"}
    with pytest.raises(
        UserError, match=r"line 4: split 'holdout' is not one of train, training, tr, val, valid"
    ):
        listing.load(one(root, text.replace(f"c.png,x,{val}", "c.png,x,holdout")))
    with pytest.raises(UserError, match=r"line 5: split '' is not one of"):
        listing.load(one(root, text.replace(f"d.png,y,{test}", "d.png,y,")))


def test_seeded_split_ignores_row_order(root):
    rows = [f"{n}.png,{'xy'[i % 2]}" for i, n in enumerate("abcdefghij")]
    shares = {"val": 0.2, "test": 0.2, "seed": 3}
    first, _ = listing.load(one(root, "\n".join(["filename,label", *rows]) + "\n", split=shares))
    again, _ = listing.load(one(root, "\n".join(["filename,label", *rows[::-1]]) + "\n", split=shares))
    assert first.set_index("filename")["split"].to_dict() == again.set_index("filename")["split"].to_dict()
    assert first["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 2}
    assert set(first["drawn"]) == {"1"}


def test_bare_semicolon_lines(root):
    text = "".join(f"{n}.png;{'xy'[i % 2]}\n" for i, n in enumerate("abcdefghij"))
    frame, _ = listing.load(one(root, text, format="semicolon"))
    assert len(frame) == 10
    with pytest.raises(UserError, match="column 'filename' is missing"):
        listing.load(one(root, text, format="list"))
    with pytest.raises(UserError, match=r"line 2: an absolute path"):
        listing.load(one(root, "a.png;x\n/b.png;y\n", format="semicolon"))


def test_unknown_format_is_named(root):
    with pytest.raises(
        UserError, match=r"config: datasets\.toy\.format: 'lst' is not one of radimagenet, list, "
    ):
        listing.load(one(root, "filename,label\na.png,x\n", format="lst"))


def test_group_in_two_splits_is_a_warning(root, caplog):
    listing.load(
        one(
            root,
            "filename,label,split,group\na.png,x,train,p\nb.png,y,train,q\nc.png,x,val,\nd.png,y,test,p\n",
        )
    )
    assert "1 group(s) are in more than one split, for example 'p'" in caplog.text


def test_strata():
    paths = [
        "radiology_ai/CT/abd/normal/a.png",
        "radiology_ai/US/liver/usn1.png",
        "MR/knee/x.png",
        "CT.png",
        "CT/a.png",
    ]
    assert strata(pd.Series(paths)).tolist() == ["CT/abd", "US/liver", "MR/knee", "", ""]


def test_stage_writes_both_tables(root):
    three(root)
    settings = {
        "format": "list",
        "root": str(root),
        "files": {s: f"{s}.csv" for s in ("train", "val", "test")},
    }
    out, classes = root / "out" / "list.csv", root / "out" / "classes.csv"
    list_stage.main(
        ["--settings", json.dumps(settings), "--out-list", str(out), "--out-classes", str(classes)]
    )
    assert out.read_text().splitlines()[:2] == [
        "filename,label,target,split,group,stratum,drawn",
        "a.png,x,0,train,,,0",
    ]
    assert read_frame(classes, ["label"])["target"].tolist() == [0, 1]
    assert not list(out.parent.glob(".*"))


def test_written_table_survives_any_label(tmp_path):
    from calibench.data.csvfile import write_frame

    labels = ['say "x"', "a,b", "NA", "", "é"]
    write_frame(pd.DataFrame({"label": labels, "target": range(5)}), tmp_path / "t.csv")
    frame = read_frame(tmp_path / "t.csv", ["label", "target"])
    assert frame["label"].tolist() == labels
    assert frame["target"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("[1", "--settings is not JSON"),
        ("[]", "--settings must be a JSON object, found list"),
        ('{"store": {"size": 0}}', r"config: datasets\.toy\.store\.size: 0 is less than"),
        ('{"store": 3}', r"config: datasets\.toy\.store: expected keys and values, found 3"),
        ('{"split": {"val": 0.6, "test": 0.4}}', r"config: datasets\.toy\.split: val and test leave"),
        ('{"calibrate": 1.0}', r"config: datasets\.toy\.calibrate: 1\.0 is greater than"),
        (
            '{"store": {"window": [3, 1]}}',
            r"config: datasets\.toy\.store\.window must be \[lowest, highest\]",
        ),
        ('{"sample": {"per_class": 0}}', r"config: datasets\.toy\.sample\.per_class: 0 is less than"),
        ('{"labels": ["a", "a"]}', r"config: datasets\.toy\.labels has the same name twice"),
        ('{"size": 8}', r"config: datasets\.toy: unknown key 'size'"),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(UserError, match=message):
        dataset_settings(bad.replace("{", '{"name": "toy", ', 1))


def test_settings_come_with_the_fingerprint_of_the_code():
    settings, code = dataset_settings('{"name": "toy", "code": "abc", "store": {"size": 8}}')
    assert (code, settings["name"], settings["store"]["size"]) == ("abc", "toy", 8)
    assert "code" not in settings and settings["store"]["colour"] == "grey"


SITES = "filename,label,split,stratum\n" + "".join(
    f"{name}.png,{'xy'[i % 2]},{split},{site}\n"
    for i, (name, split, site) in enumerate(
        zip("abcdefghij", ["train"] * 4 + ["val"] * 2 + ["test"] * 4, "AABBABABAB", strict=True)
    )
)


def test_a_held_out_site_is_all_of_test(root):
    frame, classes = listing.load(one(root, SITES, split={"test_strata": ["B"]}))
    assert frame.groupby("split")["stratum"].unique().map(list).to_dict() == {
        "test": ["B"],
        "train": ["A"],
        "val": ["A"],
    }
    assert len(frame) == 8 and not set("gi") & set(frame["filename"].str[0])  # listed as test, of site A
    assert classes["test"].sum() == 5


def test_lines_are_still_those_of_the_list_after_rows_were_left_out(root):
    with pytest.raises(UserError, match="line 11: label 'z' of split test is not in train"):
        listing.load(one(root, SITES.replace("j.png,y", "j.png,z"), split={"test_strata": ["B"]}))


def test_validation_is_drawn_where_the_list_has_no_split(root):
    text = SITES.replace(",train,", ",,").replace(",val,", ",,").replace(",test,", ",,")
    frame, _ = listing.load(one(root, text, split={"test_strata": ["B"], "val": 0.4}))
    assert set(frame.query("split != 'test'")["stratum"]) == {"A"} and (frame["split"] == "val").sum() == 2


@pytest.mark.parametrize(
    ("strata", "told"),
    [
        (["C"], "no image has the stratum 'C'; there are: A, B"),
        (["A", "B"], "names the strata of all images"),
    ],
)
def test_what_cannot_be_held_out_is_told(root, strata, told):
    with pytest.raises(UserError, match=told):
        listing.load(one(root, SITES, split={"test_strata": strata}))

"""The label table: every form that people have is read, everything else is refused by line and value."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planets.archive.table import examples, label_matrix, read_table, write_table
from planets.chips import ArchiveError
from planets.labels import UnknownTag
from planets.synthetic.labels import LABELS, PLANETS


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "train_classes.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestReadTable:
    def test_rows_keep_their_order_and_know_their_line(self, tmp_path: Path) -> None:
        path = table(tmp_path, "image_name,tags\ntrain_7,haze primary\n\ntrain_3,cloudy\n")
        rows = read_table(path, PLANETS)
        assert list(rows.itertuples(name=None)) == [(2, "train_7", "haze primary"), (4, "train_3", "cloudy")]
        assert (rows.index.name, *rows.columns) == ("line", "image_name", "tags")

    @pytest.mark.parametrize(
        "content",
        [
            b"image_name,tags\r\ntrain_0,clear primary\r\n",
            b"image_name,tags\rtrain_0,clear primary\r",
            b"\xef\xbb\xbfimage_name,tags\ntrain_0,clear primary\n",
            b'"image_name","tags"\n"train_0","clear primary"\n',
            b"image_name,tags\ntrain_0,clear primary",
            b"image_name,tags\ntrain_0.jpg,clear primary\n",
            b"image_name,tags\ntrain_0.JPEG,clear primary\n",
            b"image_name;tags\ntrain_0;clear primary\n",
            b"sep=;\r\nimage_name;tags\r\ntrain_0;clear primary\r\n",
            b'"image_name";"tags"\n"train_0";"clear primary"\n',
            b"image_name\ttags\ntrain_0\tclear primary\n",
            "\ufeffimage_name\ttags\r\ntrain_0\tclear primary\r\n".encode("utf-16-le"),
            "\ufeffimage_name;tags\ntrain_0;clear primary\n".encode("utf-16-be"),
            b"image_name,tags\ntrain_0,clear primary clear primary\n",
            b"image_name,tags\ntrain_0,  primary\t clear \n",
            b"image_name , tags\n train_0 ,clear primary\n",
            b"tags,who,image_name\nclear primary,me,train_0\n",
            b"image_name,tags\n\n,\ntrain_0,clear primary\n  \n",
            b"image_name,tags\ntrain_0,clear primary\ntrain_0,primary clear\n",
        ],
        ids=[
            "CRLF",
            "CR",
            "BOM",
            "quotes",
            "no last end",
            "extension",
            "capital extension",
            "semicolons",
            "Excel's separator line",
            "quoted semicolons",
            "tabs",
            "Excel's Unicode text",
            "UTF-16 big-endian",
            "repeated",
            "blanks",
            "padded",
            "columns",
            "blank lines",
            "row twice",
        ],
    )
    def test_forms_of_one_and_the_same_table(self, tmp_path: Path, content: bytes) -> None:
        (row,) = read_table(table(tmp_path, content), PLANETS).itertuples(index=False, name=None)
        assert row == ("train_0", "clear primary")

    def test_a_row_without_weather_is_accepted(self, tmp_path: Path) -> None:
        rows = read_table(table(tmp_path, "image_name,tags\ntrain_24448,water\n"), PLANETS)
        assert list(rows["tags"]) == ["water"]

    def test_cloudy_is_not_read_out_of_partly_cloudy(self, tmp_path: Path) -> None:
        rows = read_table(table(tmp_path, "image_name,tags\ntrain_0,partly_cloudy primary\n"), PLANETS)
        assert list(rows["tags"]) == ["partly_cloudy primary"]
        assert label_matrix(rows["tags"], LABELS)[0, LABELS.index("cloudy")] == 0

    @pytest.mark.parametrize(
        ("tag", "hint"),
        [
            ("artisanal_mine", "did you mean 'artisinal_mine'?"),
            ("Primary", "did you mean 'primary'?"),
            ("xyz", f"the labels are: {', '.join(LABELS)}; for others, set dataset.labels=auto"),
        ],
    )
    def test_an_unknown_tag(self, tmp_path: Path, tag: str, hint: str) -> None:
        path = table(tmp_path, f"image_name,tags\ntrain_0,clear\ntrain_1,clear {tag}\n")
        with pytest.raises(UnknownTag) as error:
            read_table(path, PLANETS)
        assert str(error.value) == f"{path}, line 3: unknown tag {tag!r}; {hint}"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "{path} is empty; it must start with the line 'image_name,tags'"),
            ("image_name,tags\n", "{path} has no rows"),
            ("image_name,labels\ntrain_0,clear\n", "{path}, line 1: no column 'tags' in 'image_name,labels'"),
            ("name,tags\ntrain_0,clear\n", "{path}, line 1: no column 'image_name' in 'name,tags'"),
            ("image_name,tags\ntrain_0,clear,primary\n", "{path}, line 2: 3 cells where the header has 2"),
            ("image_name,tags\ntrain_0\n", "{path}, line 2: 1 cells where the header has 2: 'train_0'"),
            ("image_name,tags\ntrain_0,\n", "{path}, line 2: no tags; name at least one label"),
            (
                "image_name,tags\na,clear\nb,haze\na,clear primary\n",
                "{path}, line 4: 'a' is 'clear primary' here but 'clear' on line 2; keep the correct one",
            ),
            ('image_name,tags\n"train_0,clear\n', "{path}, line 2: not CSV"),
        ],
    )
    def test_a_faulty_table(self, tmp_path: Path, content: str, message: str) -> None:
        path = table(tmp_path, content)
        with pytest.raises(ArchiveError) as error:
            read_table(path, PLANETS)
        assert str(error.value).startswith(message.format(path=path))

    def test_another_encoding(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"train_classes\.csv is not UTF-8 text .*; save it as UTF-8"):
            read_table(table(tmp_path, "image_name,tags,été\n".encode("latin-1")), PLANETS)
        with pytest.raises(ArchiveError, match=r"train_classes\.csv is UTF-16 without a byte-order mark"):
            read_table(table(tmp_path, "image_name,tags\n".encode("utf-16-le")), PLANETS)

    def test_lines_are_counted_from_the_top_of_the_file(self, tmp_path: Path) -> None:
        path = table(tmp_path, "sep=;\nimage_name;tags\n\ntrain_0;clear;x\n")
        with pytest.raises(ArchiveError, match=r"line 4: 3 cells where the header has 2: 'train_0;clear;x'"):
            read_table(path, PLANETS)

    def test_no_table(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"none\.csv cannot be read: No such file"):
            read_table(tmp_path / "none.csv", PLANETS)

    @pytest.mark.parametrize(
        "name", ["../x", "/etc/passwd", "a/b", "..", ".", ".hidden", "a\\b", "C:x", "", "a\0b"]
    )
    def test_a_name_that_could_leave_the_folder(self, tmp_path: Path, name: str) -> None:
        path = table(tmp_path, f"image_name,tags\n{name},clear\n")
        with pytest.raises(ArchiveError, match=r"line 2: .* is not a chip's name; write the bare name"):
            read_table(path, PLANETS)

    @given(
        rows=st.dictionaries(
            st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,12}", fullmatch=True),
            st.frozensets(st.sampled_from(LABELS), min_size=1),
            min_size=1,
        )
    )
    def test_what_is_written_is_read(
        self, tmp_path_factory: pytest.TempPathFactory, rows: dict[str, frozenset[str]]
    ) -> None:
        path = tmp_path_factory.mktemp("table") / "train_classes.csv"
        written = pd.DataFrame(
            {"image_name": list(rows), "tags": [PLANETS.join_tags(tags) for tags in rows.values()]}
        )
        write_table(path, written)
        read = read_table(path, PLANETS)
        pd.testing.assert_frame_equal(read.reset_index(drop=True), written, check_dtype=False)
        expected = np.stack([PLANETS.to_vector(tags) for tags in rows.values()])
        np.testing.assert_array_equal(label_matrix(read["tags"], LABELS), expected)

    @given(
        tags=st.lists(st.sampled_from(LABELS), min_size=1, max_size=12),
        blanks=st.lists(st.text(" \t", min_size=1, max_size=3), min_size=13, max_size=13),
        end=st.sampled_from(["\n", "\r\n", "\r"]),
        mark=st.sampled_from(["", "\ufeff"]),
        quote=st.sampled_from(["", '"']),
    )
    def test_white_space_line_ends_and_quotes_say_nothing(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        tags: list[str],
        blanks: list[str],
        end: str,
        mark: str,
        quote: str,
    ) -> None:
        cell = (
            quote
            + "".join(blank + tag for blank, tag in zip(blanks, tags, strict=False))
            + blanks[-1]
            + quote
        )
        path = table(tmp_path_factory.mktemp("table"), f"{mark}image_name,tags{end}train_0,{cell}{end}")
        assert list(read_table(path, PLANETS).itertuples(name=None)) == [
            (2, "train_0", PLANETS.join_tags(tags))
        ]


def test_examples_show_rare_labels_first_and_no_chip_twice() -> None:
    tags = ["clear primary", "clear primary", "haze primary", "clear primary road", "clear road water"]
    chips = pd.DataFrame({"image_name": list("abcde"), "tags": tags})
    labels = ("clear", "haze", "primary", "road", "water", "cloudy")
    assert list(examples(chips, labels, 4)["image_name"]) == ["c", "e", "d", "a"]
    assert list(examples(chips, labels, 2)["image_name"]) == ["c", "e"]
    assert sorted(examples(chips, labels, 9)["image_name"]) == list("abcde")

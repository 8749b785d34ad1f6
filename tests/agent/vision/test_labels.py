"""Label files as people have them."""

from __future__ import annotations

import pytest

from agent.errors import ModelError
from agent.vision.labels import check_labels, read_labels


def write(tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    return path


def test_reads_plain_lines_with_spaces_in_names(tmp_path):
    path = write(tmp_path, b"person\ntraffic light\r\n\n  cat \n")
    assert read_labels(path) == ("person", "traffic light", "cat")


def test_reads_corals_numbered_lines_and_names_the_gaps(tmp_path):
    path = write(tmp_path, b"0  person\n1  bicycle\n3  motorcycle\n")
    assert read_labels(path) == ("person", "bicycle", "class-2", "motorcycle")


def test_a_name_that_begins_with_a_number_is_no_id_when_others_do_not(tmp_path):
    assert read_labels(write(tmp_path, b"person\n2 wheeler\n")) == ("person", "2 wheeler")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert read_labels(write(tmp_path, b"\xef\xbb\xbfperson\n")) == ("person",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"\xff\xfe\x00p", "UTF-8"),
        (b"0 person\n0 cat\n", "labels.txt:2"),
        (b"0 person\n99999999 cat\n", "labels.txt:2"),
    ],
)
def test_what_is_no_label_file_is_refused_in_one_line(tmp_path, content, said):
    with pytest.raises(ModelError) as caught:
        read_labels(write(tmp_path, content))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.txt: expected a labels file"):
        read_labels(tmp_path / "none.txt")


def test_too_few_labels_are_refused():
    with pytest.raises(ModelError, match=r"coco\.txt: expected 80 labels, .* got 2"):
        check_labels("coco.txt", ("a", "b"), 80)
    check_labels("coco.txt", ("a", "b"), 2)

from __future__ import annotations

from pathlib import Path

from genai_stack.bulk.task_files import unmentioned


def test_a_name_is_missing_where_no_definition_has_the_word(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "one.yaml").write_text(
        "tag:\n  - short\ntask: \"first\"  # and last\ndescription: 'a task: x'\n"
    )
    (tmp_path / "deep" / "two.yaml").write_text("group: both\r\ntask: [first, second]\r\n")
    (tmp_path / "deep" / "third.md").write_text("task: third\n")
    missing, names = unmentioned(["both", "first", "second", "short", "third", "fourth"], [tmp_path])
    assert missing == ["third", "fourth"]
    assert names == {"first", "both"}

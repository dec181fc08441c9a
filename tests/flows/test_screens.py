from typing import Any

from flows.console.screens import texts_facts

GENERATED: dict[str, Any] = {
    "form": "text", "count": 200, "drawn": 200, "path": "out", "valid_share": 1.0,
    "copied_share": None, "was_finished": False, "pages": [], "engine": "native",
    "precision": "int8", "engine_note": "",
    "audit": {"generated": {"near_copied_share": None}, "duplicate_share": None},
}  # fmt: skip


def test_empty_texts_are_counted():
    assert "empty" not in dict(texts_facts(GENERATED))
    rows = dict(texts_facts(GENERATED | {"valid_share": 0.985}))
    assert rows["empty"].startswith("3 of the texts")

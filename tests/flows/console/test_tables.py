import pytest

from tests.flows.console.windows import WIDTHS, in_window, plain

WHY = "beats the champion by 0.021 bits/character (0.010 to 0.033) on the same 120 documents"
NAMES = ("novels", "a-long-name-of-a-model-from-a-folder")
SCRIPT = f"""
from flows.console import printing, tables
for name in {NAMES!r}:
    tables.show(
        ["model", "version", "alias", "test bits/character", "corpus", "why"],
        [["colors-demo", 12, "champion", "1.975", "ab12cd34", {WHY!r}],
         [name, 1, "", "2.100", "ffffffff", "no champion before it"]],
        right=[1, 3],
        optional=[4],
    )
    printing.out.print("end")
"""


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_fits_the_window_and_cuts_neither_names_nor_numbers(width: int):
    said = plain(in_window(width, "-c", SCRIPT)).split("end\n")
    for name, shown in zip(NAMES, said, strict=False):
        is_table = not shown.startswith("  model ")
        assert is_table == (width >= 120 or (width, name) == (80, "novels"))
        assert not is_table or max(map(len, shown.splitlines())) <= width
        for cell in ("colors-demo", "12", "champion", "1.975", name, "2.100"):
            assert cell in shown
        assert {*WHY.split()} <= {*shown.split()}
        assert "…" not in shown
        assert ("ab12cd34" in shown) == (width >= 120 or not is_table)
    if width == WIDTHS[-1]:
        assert [line.rstrip() for line in said[0].splitlines()] == [
            "model         version   alias      test bits/character   corpus     why",
            f"colors-demo        12   champion                 1.975   ab12cd34   {WHY}",
            "novels              1                            2.100   ffffffff   no champion "
            "before it",
        ]

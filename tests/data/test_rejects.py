"""What could not be read is listed with its row, column, reason and text, and no spreadsheet runs it."""

from pathlib import Path

from core.data.read import sniff
from core.data.rejects import MOST, rejected_csv


def test_every_rejected_row_and_cell_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    good = "".join(f"2024-01-{d:02d},{d},{d}\n" for d in range(1, 20))
    path.write_text("date,a,b\n" + good + "2024-01-20,1\n2024-01-21,x,=1+1\n=cmd,3,4\n2024-01-23,1,2,3\n")
    assert rejected_csv(path, sniff(path, "a.csv").choice, "a.csv").splitlines() == [
        "row,column,reason,text",
        '21,,has too few columns,"2024-01-20,1"',
        "22,a,not a number; the cell became missing,x",
        "22,b,not a number; the cell became missing,'=1+1",
        "23,date,the time cannot be read; the row was left out,'=cmd",
        '24,,has too many columns,"2024-01-23,1,2,3"',
    ]


def test_thousands_of_places_are_kept_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "1\nx\n2\n" * (MOST + 5))
    listed = rejected_csv(path, sniff(path, "a.csv").choice, "a.csv").splitlines()
    assert len(listed) == 1 + MOST
    assert listed[-1].startswith(f"{3 * MOST},a,")

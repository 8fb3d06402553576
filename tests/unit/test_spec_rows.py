from pathlib import Path

import pytest

from spec_rows import ROWS, Proof, by_row, main, proofs

# The rows that this version promises (issue 3).
PROMISED = [
    "C2",
    "C5",
    "C7",
    "C8",
    "C9",
    "C10",
    "C11",
    "C12",
    "C14",
    "C15",
    "C17",
    "C+2",
    "A1",
    "A2",
    "A3",
    "A4",
    "A5",
    "A6",
    "A8",
    "A9",
    "A10",
    "A11",
    "A12",
    "A+1",
    "A+2",
    "K1",
    "K2",
    "K8",
]

EXAMPLE = """
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.spec("K1")]

@pytest.mark.spec("C7", "A4")
def test_one(): ...

@pytest.mark.spec("A5")
class TestMany:
    @pytest.mark.spec("A6")
    async def test_two(self): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.spec("K8"))])
def test_three(x): ...

@pytest.mark.spec("C2")
def no_test(): ...
"""


def test_rows_are_found_at_tests_classes_modules_and_parameters(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "test_example.py").write_text(EXAMPLE)
    (tmp_path / "unit" / "support.py").write_text(EXAMPLE)
    where = "unit/test_example.py::"
    assert list(proofs(tmp_path)) == [
        *(Proof(row, f"{where}test_one") for row in ("K1", "C7", "A4")),
        *(Proof(row, f"{where}TestMany::test_two") for row in ("K1", "A5", "A6")),
        *(Proof(row, f"{where}test_three") for row in ("K1", "K8")),
    ]


def test_a_row_that_there_is_not_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text('import pytest\n@pytest.mark.spec("Z1")\ndef test_x(): ...\n')
    with pytest.raises(KeyError, match="Z1"):
        by_row(tmp_path)


def test_every_row_that_a_test_names_is_in_the_specification() -> None:
    assert {proof.row for proof in proofs()} <= ROWS.keys()


def test_the_table_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line[:1] in set("ACFK")] == list(ROWS)
    assert "unit/test_spec_rows.py" not in shown, "an example is no test"


@pytest.fixture(scope="module")
def named() -> dict[str, list[str]]:
    return by_row()


@pytest.mark.parametrize("row", PROMISED)
def test_a_promised_row_is_named_by_a_test(row: str, named: dict[str, list[str]]) -> None:
    assert named[row], f"no test names {row}: {ROWS[row]}"

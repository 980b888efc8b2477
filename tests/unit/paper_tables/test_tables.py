"""The layouts of the paper's tables and the paper's own numbers in them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from statistics import mean

import pytest

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.figures import Results
from cmfm_worker.paper_tables.paper import EYECANDIES, MEAN, MVTEC_3D, Place, paper_numbers
from cmfm_worker.paper_tables.print_tables import as_csv, as_markdown, print_table
from cmfm_worker.paper_tables.run import tables_for
from cmfm_worker.paper_tables.tables import TABLES, PaperTable, variants_of
from cmfm_worker.paper_tables.variants import VARIANTS

OFF_BY_ROUNDING = 0.0011
MISPRINTED = Place(13, "m3dm", "product", "aupro_30", MEAN)
"""The paper prints 0.882 (also in Table 3); its ten categories have a mean of 0.8865."""


def test_printed_means_are_those_of_the_categories() -> None:
    """Every printed mean is that of its ten categories, so a wrongly copied digit would show."""
    rows: dict[Place, dict[str, float]] = defaultdict(dict)
    for place, value in paper_numbers().items():
        rows[place._replace(category=MEAN)][place.category] = value
    checked = 0
    for key, by_category in rows.items():
        if len(by_category) > 1 and key != MISPRINTED:
            of_categories = [value for category, value in by_category.items() if category != MEAN]
            assert len(of_categories) == 10
            assert by_category[MEAN] == pytest.approx(mean(of_categories), abs=OFF_BY_ROUNDING), key
            checked += 1
    assert checked > 100


@pytest.mark.parametrize(
    ("short", "long", "row", "aggregation"),
    [
        *((6, 9, "ours", aggregation) for aggregation in ("2d", "3d", "max", "product")),
        *((5, 11, f"ours{pruned}", "product") for pruned in ("", "-m", "-s", "-t")),
    ],
)
def test_short_and_long_tables_agree(short: int, long: int, row: str, aggregation: str) -> None:
    """The supplement's tables have the means of the main paper (except the sum's AUPRO@1%, 0.432 and 0.430)."""
    for metric in ("i_auroc", "aupro_30", "aupro_1"):
        places = [Place(number, row, aggregation, metric, MEAN) for number in (short, long)]
        first, second = (paper_numbers()[place] for place in places)
        assert first == pytest.approx(second, abs=OFF_BY_ROUNDING), places


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: str(table.number))
def test_every_place_of_a_table_has_the_papers_number(table: PaperTable) -> None:
    """The layouts are the paper's: every place has a number in the paper, and every number has a place."""
    categories = MVTEC_3D if table.dataset == "mvtec3d" else EYECANDIES
    header, lines = table.shape(categories, with_others=True)
    places = {place for line in lines for place in line.places if place is not None}
    printed = {place for place in paper_numbers() if place.table == table.number}
    missing = {place for place in places - printed if place.row in VARIANTS}
    # The paper prints only means of Ours-M's detection on Eyecandies (Table 3).
    assert all(place.row == "ours-m" and table.number == 13 for place in missing), missing
    assert printed <= places
    assert all(len(header) == len(line.labels) + len(line.places) for line in lines)


def test_tables_need_every_variant() -> None:
    """All tables together use exactly the known variants."""
    assert variants_of(list(TABLES.values())) == list(VARIANTS)


def test_default_tables_follow_the_data_set() -> None:
    """The paper's own categories get the tables that the paper made on them; any other data set gets all."""
    assert {table.number for table in tables_for(["bagel", "rope"], "paper")} == set(TABLES) - {3, 13}
    assert {table.number for table in tables_for(["Lollipop"], "paper")} == {3, 13}
    assert {table.number for table in tables_for(["biscuit"], "paper")} == set(TABLES)


def test_classic_is_in_no_table_of_image_extractors() -> None:
    """`classic` has no row named after a 2D extractor; the table is left out, or refused if it is asked for."""
    assert {table.number for table in tables_for(["biscuit"], "classic")} == set(TABLES) - {10}
    with pytest.raises(InputError, match="--extractors paper"):
        tables_for(["biscuit"], "classic", [6, 10])


def results(*categories: str, i_auroc: float = 0.9, missing: str | None = None) -> Results:
    """Return experiments of "ours" in which every metric is known."""
    limits = {"0.3": 0.8, "0.1": 0.7, "0.05": 0.6, "0.01": 0.4}
    sampled = {limit: value + 0.05 for limit, value in limits.items()}
    metrics = {
        "i_auroc": i_auroc,
        "p_auroc": 0.95,
        "aupro": limits,
        "aupro_99": sampled,
    }
    experiment = {"metrics": {"product": metrics}, "fps": 20.0, "memory_mb": 100.0}
    experiments = {(category, "ours"): experiment for category in categories if category != missing}
    return Results(experiments, {"ours": "ours"}, categories)


def test_measured_number_is_beside_the_papers() -> None:
    """Markdown shows the measured number, AUPRO both ways, and in brackets the paper's number for that category."""
    text = as_markdown([print_table(TABLES[1], results("bagel", "rope"))], [])
    (ours,) = [line for line in text.splitlines() if line.startswith("| Ours | I-AUROC")]
    assert ours == "| Ours | I-AUROC | 0.900 (0.994) | 0.900 (0.980) | 0.900 (0.954) |"
    (overlap,) = [line for line in text.splitlines() if line.startswith("| Ours | AUPRO@30%")]
    assert "0.800 · 0.850 (0.979)" in overlap
    assert "| M3DM | I-AUROC | (0.994) | (0.972) | (0.945) |" in text


def test_other_categories_have_only_the_papers_mean_beside_them() -> None:
    """On another data set the rows of methods that were not measured are left out."""
    text = as_markdown([print_table(TABLES[1], results("biscuit"))], [])
    assert "| Ours | I-AUROC | 0.900 | 0.900 (0.954) |" in text
    assert "M3DM" not in text


def test_no_mean_over_some_of_the_categories() -> None:
    """If an experiment is missing, there is no mean: it could be mistaken for the mean of all categories."""
    printed = print_table(TABLES[12], results("bagel", "rope", missing="rope"))
    found = {
        number.place.category: number.value for number in printed.numbers() if number.place.row == "ours"
    }
    assert found == {"bagel": 0.95, "rope": None, MEAN: None}


def test_csv_has_a_line_a_number() -> None:
    """Each line has the measured number, the one with 99 thresholds and the paper's in separate columns."""
    rows = list(csv.DictReader(io.StringIO(as_csv([print_table(TABLES[2], results("bagel"))]))))
    (ours,) = [row for row in rows if row["row"] == "ours" and row["category"] == "bagel"]
    assert (ours["measured"], ours["measured_99_thresholds"], ours["paper"]) == ("0.4", "0.45", "0.459")

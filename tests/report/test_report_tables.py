from evenbatch.report.tables import arms_table, pair_tables, trials_table


def rows(table):
    return {row[0]: [cell.replace("\u00a0", " ") for cell in row[1:]] for row in table.rows}


def test_every_table_is_as_wide_as_its_head(read, odd):
    study = read(**odd)
    for table in (arms_table(study), trials_table(study), *pair_tables(study)):
        assert {len(row) for row in table.rows} == {len(table.head)}, table.caption


def test_an_arm_has_its_median_between_its_extremes(read):
    assert rows(arms_table(read()))["Best validation accuracy"][0] == "93.1 % [92.6 … 93.6]"


def test_a_threshold_that_was_not_reached_says_in_how_many(read):
    study = read()
    last = f"Epochs to {study.summary['thresholds'][-1]:.0%}".replace("%", "\u00a0%")
    assert rows(arms_table(study))[last][1] == "not reached in 6 of 6"


def test_divergence_is_counted_with_its_interval(read):
    found = rows(arms_table(read(outcomes={("without", 0): "diverged"})))["Diverged"]
    assert found[1] == "1 of 6 (rate 3 % to 56 %)"


def test_what_no_arm_has_is_left_out(read):
    found = rows(arms_table(read()))
    assert "Test accuracy" not in found
    assert "Failed" not in found


def test_a_lower_loss_is_better(read):
    (table,) = pair_tables(read())
    study = read()
    study.summary["pairs"][0]["final_loss"] |= {"above": 1, "equal": 2, "below": 3}
    assert rows(pair_tables(study)[0])["Final training loss"][-1] == "3 / 2 / 1"
    assert rows(table)["Final validation accuracy (points)"][-1] == "6 / 0 / 0"


def test_the_comparison_has_both_intervals_and_the_p(read):
    (table,) = pair_tables(read())
    mean, t, bca, p, _ = rows(table)["Final validation accuracy (points)"]
    assert mean == "+44.2"
    assert t.startswith("+44.2 to")
    assert " to " in bca or bca == "–"  # equal differences have no bootstrap interval
    assert p == "0.031"


def test_failed_trials_are_listed_with_their_error(read):
    table = trials_table(read(seeds=1, outcomes={("with", 0): "failed"}))
    assert [row[2] for row in table.rows] == ["failed", "finished"]
    assert "<script>fail()</script>" in table.rows[0][-1]

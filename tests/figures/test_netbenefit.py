"""The figure of net benefit shows what its curves say, for declared classes only."""

import numpy as np
import pytest
from calibench.errors import UserError
from calibench.figures.netbenefit import curves
from calibench.stages import figure

from tests.finished.fake_runs import write_run


def test_curves_start_with_all_treated_and_end_with_few():
    score, finding = np.array([0.9, 0.6, 0.2, 0.05]), np.array([True, False, True, False])
    benefit, calibration = curves(score, finding)
    values = benefit.set_index("at")["value"]
    assert values[0.01] == pytest.approx(0.5 - 0.5 / 99) and values[0.5] == pytest.approx(0.25 - 0.25)
    assert values[0.95] == 0 and list(calibration["value"]) == [0, 1, 0, 1]


def test_the_stage_draws_it_for_classes_of_the_list(tmp_path):
    record = str(write_run(tmp_path, "hard", n=60, k=3) / "run.json")
    (tmp_path / "classes.csv").write_text("target,label\n0,a\n1,b\n2,c\n")
    asked = ["netbenefit", f"--out={tmp_path / 'n.png'}", f"--classes={tmp_path / 'classes.csv'}", record]
    figure.main([*asked, "--positive", "b", "c"])
    assert (tmp_path / "n.png").stat().st_size > 10_000
    with pytest.raises(UserError, match="'d' is not a class; did you mean|'d' is not a class; there are"):
        figure.main([*asked, "--positive", "d"])

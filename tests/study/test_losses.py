"""Adding a loss: one function of training, and one line of the configuration."""

from importlib.util import module_from_spec, spec_from_file_location

import pytest
import torch
from configurations import configuration
from jsonschema import Draft202012Validator

from cxrfmkd.figures.style import marker, short_loss
from cxrfmkd.study import losses, schema
from cxrfmkd.study.grid import Study
from cxrfmkd.study.settings import distillation
from cxrfmkd.vocabulary.titles import model_title

FUNCTION = '''

@loss("log-cosh")
def log_cosh(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all entries of the logarithm of the difference's hyperbolic cosine."""
    return (student - teacher).cosh().log().mean()
'''


def test_a_loss_is_one_function_and_one_line_of_the_configuration(tmp_path, monkeypatch):
    path = tmp_path / "losses.py"
    path.write_text(losses.SOURCE.read_text() + FUNCTION)
    line = {"distillation": {"losses": ["mse", "cosine", "log-cosh"]}, "transfer": {"losses": []}}
    config = configuration(**line)
    Draft202012Validator(schema.schema()).validate(config)
    monkeypatch.setattr(distillation, "loss_names", lambda: losses.loss_names(path))
    study = Study(config)

    assert ("chexpert", "log-cosh", 41) in study.students
    assert "cxr-fmkd-lp.log-cosh" in study.models
    assert study.distillation("log-cosh") == study.distillation("mse")
    assert model_title("cxr-fmkd-lp.log-cosh") == "CXR-FMKD-LP (Log cosh)"
    assert (short_loss("log-cosh"), marker("log-cosh")) == ("Log cosh", "*")

    spec = spec_from_file_location("losses_with_another", path)
    training = module_from_spec(spec)
    spec.loader.exec_module(training)
    terms = training.Objective("log-cosh")(torch.zeros(2, 3), torch.full((2, 3), 2.0))
    assert terms["loss"].item() == pytest.approx(torch.tensor(2.0).cosh().log().item(), rel=1e-6)


def test_a_loss_without_a_function_is_refused_with_those_that_have_one():
    message = "there is no loss `log-cosh`. The losses are mse, mae, huber, cosine, mse-cosine, "
    with pytest.raises(ValueError, match=message):
        Study(configuration(distillation={"losses": ["log-cosh"]}))

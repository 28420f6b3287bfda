"""What needs no model: configurations, scores of any model's answers, the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from . import _c
from ._call import run_unstoppable
from ._config import config
from ._errors import make_error
from ._results import PopeReport, Report

if TYPE_CHECKING:
    from ._model import Model


def version() -> str:
    """The library's version."""
    return str(_c.library().hadpo_version().decode())


def config_default(schema: str, model: "Optional[Model]" = None, **keys: Any) -> dict[str, Any]:
    """All keys of a schema, "hadpo.train/1" for instance, with their defaults: those of the model's family, without a model
    LLaVA-1.5's. `keys` are checked and stand in it with their values."""
    handle = model._handle if model is not None else None
    result: dict[str, Any] = _c.answer("hadpo_config_complete", *config(schema, keys), handle)
    return result


def config_resolve(given: dict[str, Any]) -> dict[str, Any]:
    """`given`, whose "schema" names its kind, with all defaults filled in."""
    result: dict[str, Any] = _c.answer("hadpo_config_resolve", *config(given.get("schema", ""), given))
    return result


def pope_score(questions: bytes, answers: bytes) -> PopeReport:
    """The official rule over the contents (bytes) of a questions file and an answers file of any model; `pope_evaluate` takes paths."""
    for name, value in (("questions", questions), ("answers", answers)):
        if not isinstance(value, bytes):
            raise make_error(10, {
                "name": "argument", "message": f"'{name}' is not the contents of a file", "found": type(value).__name__,
                "expected": "bytes, such as Path(...).read_bytes(); hadpo.pope_evaluate takes paths"})
    result: PopeReport = run_unstoppable(lambda: _c.answer("hadpo_pope_score", questions, len(questions), answers, len(answers)))
    return result


def _report(function: str, schema: str, keys: dict[str, Any]) -> Report:
    text = config(schema, keys)
    return run_unstoppable(lambda: _c.answer(function, *text))


def pope_evaluate(**keys: Any) -> Report:
    """Answers files against questions files: rules, intervals, outcomes, comparison. Keys of "hadpo.pope-score/1"."""
    return _report("hadpo_pope_evaluate", "hadpo.pope-score/1", keys)


def pope_build(**keys: Any) -> Report:
    """POPE questions from annotated pictures. Keys of "hadpo.pope-build/1"."""
    return _report("hadpo_pope_build", "hadpo.pope-build/1", keys)


def chair_score(**keys: Any) -> Report:
    """CHAIRs, CHAIRi, recall and length of captions. Keys of "hadpo.chair-score/1"."""
    return _report("hadpo_chair_score", "hadpo.chair-score/1", keys)


def shr_requests(**keys: Any) -> Report:
    """What a judge is asked about descriptions, as OpenAI batch lines. Keys of "hadpo.shr-requests/1"."""
    return _report("hadpo_shr_requests", "hadpo.shr-requests/1", keys)


def shr_score(**keys: Any) -> Report:
    """SHR from a judge's replies, or with annotations as the judge. Keys of "hadpo.shr-score/1"."""
    return _report("hadpo_shr_score", "hadpo.shr-score/1", keys)


def shr_agree(a: Any, b: Any) -> Report:
    """How far two judges agree on the same sentences."""
    return _report("hadpo_shr_agree", "hadpo.shr-agree/1", {"a": a, "b": b})


def report_write(output: Any, **keys: Any) -> Report:
    """One HTML page out of answers, scores and training logs, into the file `output`. Keys of "hadpo.report/1"."""
    return _report("hadpo_report_write", "hadpo.report/1", {"output": output, **keys})

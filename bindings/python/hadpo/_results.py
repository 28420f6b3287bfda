"""What calls return and events hold: plain dicts, with the keys that their types name.

A figure without a case (a precision when nothing was answered with yes) is None.
"""

from __future__ import annotations

from typing import Any, Optional, TypedDict

Report = dict[str, Any]
"""A report whose keys its own "schema" names."""


class _AnswerAlways(TypedDict):
    text: str
    ids: list[int]
    """Tokens of the answer."""
    finish_reason: str
    """"eos" (the model ended), "length" (max_new_tokens), "stop" (a stop string)."""
    prompt_tokens: int
    """Tokens of the prompt, those of the picture among them."""
    generated_tokens: int
    seconds: float
    prefill_seconds: float
    """Of them, until the prompt was read."""
    tokens_per_second: float


class Answer(_AnswerAlways, total=False):
    """`Model.generate`."""

    score: float
    """Of a beam search: the answer's."""


class _PopeReportAlways(TypedDict):
    rule: str
    match: str
    """How answers find their questions: "id" or "position"."""
    n: int
    questions: int
    answers: int
    tp: int
    fp: int
    tn: int
    fn: int
    accuracy: Optional[float]
    precision: Optional[float]
    recall: Optional[float]
    f1: Optional[float]
    yes_ratio: Optional[float]
    accuracy_95: Optional[list[float]]
    """95 % interval, pictures being the independent units."""
    unparsed: int
    """Answers that begin neither with yes nor with no."""
    ambiguous: int
    """Answers whose first word says the opposite of the official rule."""
    roc_area: Optional[float]
    """With `scores`: the chance that a "yes" question scores above a "no" question."""


class PopeReport(_PopeReportAlways, total=False):
    """`Model.pope` and `pope_score`, under the official rule; "yes" is the positive class."""

    asked: int
    """Questions that this run asked; the others were in the answers file."""
    resumed: int
    seconds: float
    answers_path: Optional[str]
    protocol: dict[str, Any]
    """Everything that the figures depend on: questions' hash, prompt, decoding, model."""
    identity: dict[str, Any]
    """Whose figures these are."""
    mixed_with: dict[str, Any]
    """With `mix`: whose other answers are in the file."""
    splits: list[dict[str, Any]]
    """With `further` question files: the figures of each, in place of those above."""


_StepAlways = TypedDict("_StepAlways", {
    "event": str, "step": int, "epoch": float, "loss": float, "learning_rate": float, "grad_norm": float, "seconds": float,
})
_StepMaybe = TypedDict("_StepMaybe", {
    "dpo_loss": float, "rewards/chosen": float, "rewards/rejected": float, "rewards/accuracies": float, "rewards/margins": float,
    "policy_logps/chosen": float, "policy_logps/rejected": float, "reference_logps/chosen": float,
    "reference_logps/rejected": float, "language_modeling_loss": float,
}, total=False)


class Step(_StepAlways, _StepMaybe):
    """What one optimizer step did, under upstream's names. DPO's keys are there when the method is DPO,
    "language_modeling_loss" when gamma is above 0."""



class _TrainReportAlways(TypedDict):
    schema: str
    step: int
    """Optimizer steps taken since the training began."""
    steps: int
    """Steps of the whole training."""
    finished: bool
    samples: int
    truncated: int
    """Samples that max_length cut."""
    skipped: int
    equal: int
    """Pairs whose answers are the same tokens."""
    plan: dict[str, Any]
    """Samples of a step, epochs, warm-up: what the configuration comes to on the data."""
    seconds: float
    peak_arena_bytes: int
    memory: dict[str, Any]
    """What the memory is for, in bytes."""
    identity: dict[str, Any]
    """Of the model without what was trained."""
    start: Optional[dict[str, Any]]
    """The adapter that the training started from."""
    reference: Optional[str]
    """"base" or "start": what the policy is compared with; None with method "sft"."""


class TrainReport(_TrainReportAlways, total=False):
    """`Trainer.run`."""

    last: Step
    guard: dict[str, Any]
    """With a guard: what it saw, and why it stopped."""


class Problem(TypedDict):
    """A sample that a training would refuse, or leave out."""

    file: str
    index: int
    line: Optional[int]
    id: str
    reason: str


class DataCheck(TypedDict):
    """`Model.check`."""

    schema: str
    samples: int
    auxiliary: int
    problems: list[Problem]
    truncated: int
    skipped: int
    equal: int
    """Pairs whose answers are the same tokens."""
    longest: int
    """Tokens of the longest sample."""
    steps: int
    plan: dict[str, Any]
    memory: dict[str, Any]
    refused: list[dict[str, Any]]
    """Why a training would be refused before its first step: status, message, where, found, expected."""


class ModelDescription(TypedDict):
    """`Model.describe`."""

    schema: str
    family: str
    """"llava-1.5", "minigpt4" or "instructblip"."""
    path: str
    layout: str
    """Which of the known file layouts the folder has."""
    weight_bytes: int
    dtype: str
    weights: str
    notes: list[str]
    """What was assumed while opening, and what was there and is not used."""
    unread: list[str]
    """Keys of the folder's files that nobody read and nobody knows to be harmless: "config.json: /text_config/some_key"."""
    text: dict[str, Any]
    vision: dict[str, Any]
    image_rows: int
    """Positions that a picture takes in the prompt."""
    image_pipeline: str
    tokenizer: dict[str, Any]
    identity: dict[str, Any]
    """Whose numbers this model's are: see "identity" in docs/results.md."""
    adapter: Optional[dict[str, Any]]
    engine: dict[str, Any]


class _EventAlways(TypedDict):
    event: str


class Event(_EventAlways, total=False):
    """A record for `on_event`. Every record has "event"; by it, further keys:

    heartbeat  none: the call is alive
    progress   task, done, total, unit, rate, eta_seconds
    token      text: a piece of a streamed answer
    training   samples, steps, step, memory: before the first step
    step       see `Step`
    guard      step, figures: what the training's guard measured
    guard_stop step, figure, ...: why it stops the training
    warning    message
    note       message
    """

    task: str
    done: int
    total: int
    unit: str
    seconds: float
    rate: float
    eta_seconds: Optional[float]
    text: str
    message: str
    step: int
    steps: int
    samples: int
    loss: float
    figures: dict[str, Optional[float]]

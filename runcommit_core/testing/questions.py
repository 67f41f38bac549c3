"""What a command can see, asked in one job: each answer is held to a duty of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runcommit_core.testing.bench import content, entries
from runcommit_core.testing.duties import LAYER, RUNS, Duty, unmet
from runcommit_core.testing.expectations import expect, expect_diff_id, expect_equal, expect_success

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runcommit_core.testing.bench import Bench

_ANSWERS = "tmp/answers"
_END = "\1"


@dataclass(frozen=True, slots=True)
class Question:
    """A shell's command that tells ``what``, all the right answers, and who owes them."""

    what: str
    ask: str
    answers: str | tuple[str, ...]
    duty: Duty


def expect_answers(
    bench: Bench,
    base: str,
    questions: Sequence[Question],
    *options: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run one job in which every question is asked, and expect a right answer to each.

    The answers come in the layer, so a command may use both of its output streams.
    """
    __tracebackhide__ = True
    layer = bench.folder / "answers.tar"
    asked = "; ".join(f"(\n{question.ask}\n); printf '\\1'" for question in questions)
    ran = bench.job("-o", layer, *options, base, "-c", f"exec > /{_ANSWERS}; {asked}", env=env)
    expect_diff_id(expect_success(ran))
    expect(_ANSWERS in entries(layer), f"{_ANSWERS} in the layer", LAYER, seen="it is not there")
    said = content(layer, _ANSWERS).decode(errors="surrogateescape").split(_END)
    expect_equal("the number of answers in the layer", len(said) - 1, len(questions), RUNS)
    for question, text in zip(questions, said, strict=False):
        answer = text.removesuffix("\n")
        right = (question.answers,) if isinstance(question.answers, str) else question.answers
        if answer not in right:
            wanted = f"{question.what} to be {' or '.join(map(repr, right))}"
            unmet(question.duty, wanted, f"a command finds {answer!r} with: {question.ask}", ran)

"""Check that commits, pushes and CI go through the same checks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOOK = re.compile(r"^ +entry: \.ci/check (.+)$", re.MULTILINE)
# A command ends at a redirection of its output, or at the next command.
STEP = re.compile(r"^\.ci/check (.+?)(?: >.*| \|\| .*)?$", re.MULTILINE)


def test_hooks_run_the_checks_of_ci() -> None:
    hooks = HOOK.findall((ROOT / ".pre-commit-config.yaml").read_text())
    steps = STEP.findall((ROOT / ".ci" / "run").read_text())
    assert sorted(hooks) == sorted(steps), (
        "Name the same commands behind .ci/check in .ci/run and in .pre-commit-config.yaml."
    )
    assert len(set(hooks)) == len(hooks)

"""What a trial trains, and how it is judged: classification, or a GAN.

`trial.py` knows how a trial goes on, stops, resumes and is written down; a task knows the rest.
"""

import importlib

from evenbatch.study.spec import ArmSpec, Plan
from evenbatch.study.tasks.task import Row, Task

__all__ = ["Row", "Task", "task_of"]


def task_of(plan: Plan, arm: ArmSpec, seed: int) -> Task:
    """The task of a trial."""
    name = "classification" if plan.spec.adversarial is None else "adversarial"
    found: Task = importlib.import_module(f"evenbatch.study.tasks.{name}").task(plan, arm, seed)
    return found

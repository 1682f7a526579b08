"""The judge of a study of GANs: trained before the first trial, so that its hash is part of the specification."""

from dataclasses import replace
from typing import Any, Protocol

from evenbatch.datasets import Dataset
from evenbatch.study import worker
from evenbatch.study.spec import Plan

THREADS = 1  # always the same, so that the same data give the same judge


class Watcher(Protocol):
    """Whoever is told."""

    def note(self, text: str) -> None:
        """Something that takes a while begins."""


def with_judge(plan: Plan, watcher: Watcher) -> Plan:
    """The plan with the judge of its data, from the cache or trained now; a plan of another task as it is.

    Args:
        plan: The plan.
        watcher: Is told what takes a while.
    """
    if plan.spec.adversarial is None:
        return plan
    watcher.note(
        f"Looking for the judge of {plan.dataset.name}; where there is none yet, it is trained, once for this data set"
    )
    judge = _in_a_process_of_its_own(plan)
    settings = plan.spec.adversarial.model_copy(update={"judge": judge.sha256})
    return replace(plan, spec=plan.spec.model_copy(update={"adversarial": settings}), judge=judge)


def _in_a_process_of_its_own(plan: Plan) -> Any:
    import joblib

    with worker.environment(THREADS, plan.spec.backend):
        # With one process, joblib would train it in this one, whose backend may have another number of threads.
        return joblib.Parallel(n_jobs=2)([joblib.delayed(_judge)(plan.dataset)])[0]


def _judge(dataset: Dataset) -> Any:
    from evenbatch.gan.yardstick import judge_for
    from evenbatch.study.threads import limit_threads

    limit_threads(THREADS)
    return judge_for(dataset)

"""Many independent calls, in processes of this machine or on a Dask cluster: the one place that knows which.

``run_jobs`` makes the calls. A ``ResultStore`` remembers results that are worth hours, so that no call is made twice.
"""

from ivadomed.jobs.calls import run_jobs, values
from ivadomed.jobs.result import JobResult
from ivadomed.jobs.store import ResultStore, content_id, once
from ivadomed.jobs.workers import ONE, Workers, own_gpus, own_threads

__all__ = [
    "ONE",
    "JobResult",
    "ResultStore",
    "Workers",
    "content_id",
    "once",
    "own_gpus",
    "own_threads",
    "run_jobs",
    "values",
]

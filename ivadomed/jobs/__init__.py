"""Independent calls in processes of this machine or on a Dask cluster; no other package distinguishes them.

``run_jobs`` makes the calls. A ``ResultStore`` saves expensive results, so that no call is repeated.
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

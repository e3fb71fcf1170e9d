"""Many independent calls, in processes of this machine or on a Dask cluster: the one place that knows which.

``answers`` makes the calls. A ``Ledger`` remembers the results of calls that are worth hours, so that none of them is
made twice.
"""

from ivadomed.jobs.answer import Answer
from ivadomed.jobs.each import answers, values
from ivadomed.jobs.ledger import Ledger, content_id, once
from ivadomed.jobs.place import own_gpus
from ivadomed.jobs.workers import ONE, Workers

__all__ = ["ONE", "Answer", "Ledger", "Workers", "answers", "content_id", "once", "own_gpus", "values"]

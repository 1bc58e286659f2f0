"""examples/train_elastic.py with two accidents in its first epoch: one rank is killed, later a machine is added.

They happen at steps, so that each run of the test has the same: rank 1 of the first two dies in step 8, two steps
after a commit; the survivor trains alone up to its second commit and waits there, as slow steps would, until it is told
of the machine that TFCASS_TEST_HOSTS then has.
"""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import train_elastic

from tfcass import Shard, scripts, training

TIMEOUT_S = 240


class Accidents(training.ElasticState):
    alone = 0  # Commits as the only process.

    def _note_batch(self, part, step: int, batch: object, key: str) -> None:
        super()._note_batch(part, step, batch, key)
        if self.generation == 1 and step == 8 and Shard.from_horovod().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def commit(self, save=None) -> None:
        if self.generation == 2:
            self.alone += 1
        if self.generation == 2 and self.alone == 2:
            Path(os.environ["TFCASS_TEST_HOSTS"]).write_text(f"{os.environ['HOROVOD_HOSTNAME']}:2\n")
            deadline = time.monotonic() + TIMEOUT_S
            while self.generation == 2:  # Left by the interrupt that a commit raises when there is a change.
                super().commit(save)
                if time.monotonic() > deadline:
                    raise TimeoutError("the added machine was not told of")
                time.sleep(0.05)
        super().commit(save)


if __name__ == "__main__":
    training.ElasticState = Accidents
    arguments = train_elastic.parse_args()
    sys.exit(scripts.run(train_elastic.main, arguments))

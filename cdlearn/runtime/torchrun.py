"""A command under torchrun: who loads, who prints and writes, and how one rank's failure ends all of them."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch.distributed as dist

POLL = 0.5  # seconds between looks for a rank that failed
GRACE = 1.0  # seconds it has to say why, because torchrun ends all ranks as soon as one is gone


class Launch:
    """One rank's side of a run under torchrun: joins the group, keeps all but rank 0 quiet, ends all when one fails.

    A rank that fails notes it in torchrun's store. The first to do so says why. The others may hang waiting for it, so
    in each of them a thread looks for the note and ends the process. If torchrun started one process, or did not start
    this one, ``several`` is False and nothing is done.
    """

    def __init__(self):
        self.several = dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1
        self.first = True
        self.command = "python"
        if self.several:
            self.store, number, count = next(dist.rendezvous("env://"))
            dist.init_process_group(store=self.store, rank=number, world_size=count)
            self.first = number == 0
            self.command = f"torchrun --nproc_per_node={os.environ['LOCAL_WORLD_SIZE']}"
            self.over = threading.Event()
            threading.Thread(target=self.watch, args=(self.store.clone(),), daemon=True).start()

    def watch(self, store) -> None:
        """End this process when another has failed. ``store`` is a connection of its own, which never has to wait."""
        with contextlib.suppress(RuntimeError):  # torchrun is gone, and this process will be soon
            while not self.over.wait(POLL):
                if store.add("failed", 0):
                    time.sleep(GRACE)
                    if not self.over.is_set():
                        os._exit(2)

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """The first rank of each machine goes before the others, so that it downloads and decodes images once."""
        key = f"loaded {os.environ.get('GROUP_RANK', 0)}"
        if self.several and os.environ["LOCAL_RANK"] != "0":
            self.store.wait([key], timedelta(days=7))
        yield
        if self.several:
            self.store.set(key, "yes")

    def leave(self) -> None:
        """Leave the group after training: rank 0 works on alone for minutes, and no rank waits for another."""
        if self.several and dist.is_initialized():
            self.over.set()
            dist.destroy_process_group()

    def do(self, work: Callable[[], None], benign: type[BaseException]) -> None:
        """Run ``work``; only rank 0 prints. The first rank that fails raises its exception; the others end.

        benign: an exception that all ranks raise together and that is no failure.
        """
        if not self.several:
            return work()
        try:
            with contextlib.ExitStack() as stack:
                if not self.first:
                    nowhere = stack.enter_context(open(os.devnull, "w"))
                    stack.enter_context(contextlib.redirect_stdout(nowhere))
                    stack.enter_context(contextlib.redirect_stderr(nowhere))
                work()
        except (benign, SystemExit):  # --help is a SystemExit
            raise
        except BaseException:
            self.over.set()
            if self.store.add("failed", 1) > 1:
                time.sleep(GRACE)
                os._exit(2)
            raise

    def end(self, status: int) -> int:
        """Leave the group and return ``status``; on a failure at once, because others may never answer again."""
        if self.several and status:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        self.leave()
        return status

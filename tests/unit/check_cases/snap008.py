# case: bad: a thread
import threading


def poll(): ...


threading.Thread(target=poll, daemon=True).start()  # expect: SNAP008
# case: bad: a subclass, started by its own constructor
from threading import Thread


class Worker(Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.start()  # expect: SNAP008


worker = Worker()
# case: bad: an executor with work, a timer, a library's thread
import threading
from concurrent.futures import ThreadPoolExecutor

import sentry_sdk

pool = ThreadPoolExecutor(2)
future = pool.submit(print, "hello")  # expect: SNAP008
timer = threading.Timer(60, print)
timer.start()  # expect: SNAP008
sentry_sdk.init(dsn="https://example.org")  # expect: SNAP008
# case: bad: processes
import multiprocessing as mp

POOL = mp.Pool(2)  # expect: SNAP008
# case: good: an executor without work has no threads
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(4)


def handler(event, context):
    return list(pool.map(str, event["items"]))


# case: good: ended within init
import threading
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor() as pool:
    PARTS = list(pool.map(str, range(10)))
threads = [threading.Thread(target=print) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# case: good: started after restore
import threading
from snapshot_restore_py import register_after_restore

worker = threading.Thread(target=print, daemon=True)
register_after_restore(worker.start)
# case: good: stopped before the snapshot
import threading
from snapshot_restore_py import register_before_snapshot


class Poller:
    def __init__(self):
        self.timer = threading.Timer(5, print)
        self.timer.start()

    def stop(self):
        self.timer.cancel()


poller = Poller()
register_before_snapshot(poller.stop)

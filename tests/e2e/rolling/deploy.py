"""A rolling deploy, as a Kubernetes Deployment with maxSurge 1 does it."""

import threading
import time


def rolling_deploy(stack, old, start, removal, grace=30, pre_stop=0, last=lambda port: None):
    """Replace each pod of `old`; return the new pods and how the old ones ended.
    
    For each in turn, a new pod is started, and added when it is ready. Then two
    things happen at once: the old one receives SIGTERM, and the removal of its
    endpoint starts, which takes `removal` seconds. `pre_stop` delays the signal
    by that many seconds. `start(index)` returns a pod. `last(port)` is called
    just before a removal, in its own thread.
    """
    new, stops, threads, errors = [], [None] * len(old), [], []

    def in_thread(work, *arguments):
        def guarded():
            try:
                work(*arguments)
            except Exception as error:  # handed to the caller's thread below
                errors.append(error)

        thread = threading.Thread(target=guarded)
        threads.append(thread)
        thread.start()

    def end(index, pod, since):
        if pre_stop:
            time.sleep(pre_stop)
        stops[index] = pod.stop(grace, since)

    def remove(port, since):
        time.sleep(max(0, since + removal - time.monotonic()))
        in_thread(last, port)
        stack.remove(port)

    for index, pod in enumerate(old):
        new.append(start(index))
        new[index].wait_ready()
        stack.add(new[index].port)
        since = time.monotonic()
        in_thread(end, index, pod, since)
        in_thread(remove, pod.port, since)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return new, stops

"""The workloads of the table "Other languages", in asyncio.

Prints a line for each: its name, and nanoseconds for one operation (bytes, for memory), the median of so many rounds as the first argument
says. A second argument "uvloop" takes that loop instead of asyncio's own.
"""

import asyncio
import platform
import statistics
import sys
import time

ROUND_TIME_S = 0.2


async def each(rounds, batch):
    """Repeats a batch for the time of a round; it says how many operations it has done."""
    await batch()
    times = []
    for _ in range(rounds):
        start = time.perf_counter_ns()
        ops = 0
        while ops == 0 or time.perf_counter_ns() - start < ROUND_TIME_S * 1e9:
            ops += await batch()
        times.append((time.perf_counter_ns() - start) / ops)
    return statistics.median(times)


async def nothing():
    pass


async def spawn_many():
    tasks = [asyncio.create_task(nothing()) for _ in range(10_000)]
    for task in tasks:
        await task
    return len(tasks)


async def spawn_one():
    for _ in range(10_000):
        await asyncio.create_task(nothing())
    return 10_000


async def yields():
    async def yielder():
        for _ in range(100):
            await asyncio.sleep(0)

    for task in [asyncio.create_task(yielder()) for _ in range(200)]:
        await task
    return 200 * 100


async def ping_pong():
    trips = 2_000
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def answer():
        while (value := await there.get()) is not None:
            await back.put(value + 1)

    answerer = asyncio.create_task(answer())
    value = 0
    for _ in range(trips):
        await there.put(value)
        value = await back.get()
    await there.put(None)
    await answerer
    return value


async def wait_for():
    for _ in range(2_000):
        await asyncio.wait_for(asyncio.sleep(0), 3600)
    return 2_000


def scramble(index):
    """The same numbers as the Rust workload has."""
    mask = (1 << 64) - 1
    mixed = ((index + 1) * 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return mixed ^ (mixed >> 31)


async def sleeps(rounds):
    """CPU time of one sleep, spawning included."""
    durations = [(1_000 + scramble(index) % 49_000) / 1e6 for index in range(100_000)]
    times = []
    for _ in range(rounds):
        before = time.process_time_ns()
        for task in [asyncio.create_task(asyncio.sleep(duration)) for duration in durations]:
            await task
        times.append((time.process_time_ns() - before) / len(durations))
    return statistics.median(times)


def status(key):
    """Of /proc/self/status, in bytes."""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    raise LookupError(key)


async def million_sleeping():
    before = status("VmRSS:")
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(1_000_000)]
    # All have begun when a task that was made after them runs.
    await asyncio.create_task(nothing())
    return (status("VmHWM:") - before) / len(tasks)


async def main(rounds, name):
    print("language", name)
    print("spawn-many", await each(rounds, spawn_many))
    print("spawn-one", await each(rounds, spawn_one))
    print("yield", await each(rounds, yields))
    print("ping-pong", await each(rounds, ping_pong))
    print("wait-for", await each(rounds, wait_for))
    # Slow, and the same each time.
    print("sleeps", await sleeps(min(rounds, 3)))
    print("sleeping", await million_sleeping(), flush=True)


ROUNDS = int(sys.argv[1])
NAME = "asyncio, CPython " + platform.python_version()
if sys.argv[2:] == ["uvloop"]:
    import uvloop

    NAME = f"uvloop {uvloop.__version__}, CPython {platform.python_version()}"
    uvloop.install()


async def run_and_leave():
    await main(ROUNDS, NAME)
    # A million tasks would be cancelled one by one.
    sys.stdout.flush()
    import os

    os._exit(0)


asyncio.run(run_and_leave())

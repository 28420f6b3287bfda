"""Long calls: on a thread of their own, so that Ctrl-C reaches Python while C works.

Python runs signal handlers in the main thread, between bytecodes: never while that thread is inside a C function. So the
function runs on another thread and the calling thread waits for it in Python, where KeyboardInterrupt can arrive. Events
travel the other way: the library calls `on_event` on the worker, which hands the record to the calling thread and waits
for its answer, so that a host's callback runs where its author expects it.

A call is stopped by the answer of its next event (the library sends one at least every 500 ms). `hadpo_engine_interrupt`
would be a little faster, but it marks the engine and not the call: set just after the end it would stop the next one.
"""

from __future__ import annotations

import ctypes
import json
import queue
import threading
from typing import Any, Callable, Generic, Optional, TypeVar

from . import _c

T = TypeVar("T")
Record = dict[str, Any]
OnEvent = Callable[[Any], object]

_worker = threading.local()


def _forward(record: Any, size: int, _user: Any) -> int:
    call: Optional[Call[Any]] = getattr(_worker, "call", None)
    return call.receive(ctypes.string_at(record, size)) if call is not None else 0


# One for all engines, and for good: the library may keep the pointer longer than any Python object lives.
EVENT_FUNCTION = _c.EventFunction(_forward)


class Call(Generic[T]):
    """One call in progress. `records` yields its events until it ends; then `result` has the outcome."""

    def __init__(self, function: Callable[[], T], *, listening: bool = True, waits: bool = True):
        """`listening`: records are wanted. `waits`: the library goes on only after each was handled."""
        self._function = function
        self._listening, self._waits = listening, waits
        self._records: queue.SimpleQueue[Optional[bytes]] = queue.SimpleQueue()
        self._handled = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._running = self._stopping = False
        self._ended = threading.Event()
        self._result: Optional[T] = None
        self._problem: Optional[BaseException] = None

    def start(self) -> None:
        threading.Thread(target=self._work, name="hadpo", daemon=True).start()

    # ---- on the worker

    def _work(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._running = True
        _worker.call = self
        try:
            self._result = self._function()
        except BaseException as problem:
            self._problem = problem
        finally:
            _worker.call = None
            self._ended.set()
            self._records.put(None)

    def receive(self, record: bytes) -> int:
        if self._listening and not self._stopping:
            self._records.put(record)
            if self._waits:
                self._handled.acquire()
        return int(self._stopping)

    # ---- on the calling thread

    def next_record(self) -> Optional[Record]:
        """Waits for the next event; None at the end. Every record is to be followed by `handled`."""
        text = self._records.get()
        return None if text is None else json.loads(text)

    def handled(self) -> None:
        self._handled.release()

    def stop(self) -> None:
        """Asks the call to end and waits until it has: afterwards its engine is free and its memory may go."""
        with self._lock:
            self._stopping = True
            running = self._running
        self._handled.release()
        while running and not self._ended.is_set():
            try:
                self._ended.wait()
            except KeyboardInterrupt:  # asked again: it is stopping as fast as it can
                continue

    @property
    def result(self) -> T:
        if self._problem is not None:
            raise self._problem
        return self._result  # type: ignore[return-value]  # T may itself be None


def run(function: Callable[[], T], *listeners: Optional[OnEvent]) -> T:
    """Runs a call that an engine can stop; what a listener raises, KeyboardInterrupt included, stops it and comes out."""
    heard = [listener for listener in listeners if listener is not None]
    call = Call(function, listening=bool(heard))
    try:
        call.start()
        while (record := call.next_record()) is not None:
            for listener in heard:
                listener(record)
            call.handled()
    except BaseException:
        call.stop()
        raise
    return call.result


def run_unstoppable(function: Callable[[], T]) -> T:
    """Runs a call without an engine, which nothing can stop. Ctrl-C leaves it: it ends by itself, its result unused."""
    call = Call(function, listening=False)
    call.start()
    call.next_record()
    return call.result

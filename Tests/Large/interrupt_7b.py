#!/usr/bin/env python3
"""Ctrl-C on a model of real size: how long until the call returns, and whether training goes on to the same bits.

usage: interrupt_7b.py MODEL DATA [--signals 6] [--numerics fast] [--steps 3]

MODEL is a LLaVA folder (Tests/Bench/make_model.py llava-7b writes one), DATA a folder of Tests/Bench/data.py. SIGINT comes at random moments
of describing (five beams), POPE and training, in Python; then at one of the C example's training, whose signal handler calls
hadpo_engine_interrupt. Every call has to return within two seconds. The training that was stopped at random moments is resumed each time
and ends in the bits of one that was not.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("HADPO_LIBRARY", str(ROOT / "build/lib/libhadpo.so"))
sys.path.insert(0, str(ROOT / "bindings/python"))
import hadpo  # noqa: E402

LIMIT = 2.0


def interrupted(work, after):
    """Seconds from the signal, `after` seconds from the start, to the KeyboardInterrupt; None when the work ended before it."""
    sent = []

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        work()
        timer.cancel()
        if not sent:
            return None
    except KeyboardInterrupt:
        pass
    return time.monotonic() - sent[0]


def report(name, seconds):
    worst = max(seconds)
    print(f"{name:10} {len(seconds)} signals, {min(seconds):.2f} to {worst:.2f} s", "" if worst <= LIMIT else "  TOO LONG", flush=True)
    return worst <= LIMIT


def c_training(folder, model, keys, after):
    """The C example is stopped by a real SIGINT while it trains; it saves and ends."""
    binary = folder / "train"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "json-c"], capture_output=True, text=True, check=True).stdout.split()
    library = ROOT / "build/lib"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c99", str(ROOT / "bindings/c/examples/train.c"), f"-I{ROOT / 'include'}", *flags,
                    f"-L{library}", "-lhadpo", f"-Wl,-rpath,{library}", "-o", str(binary)], check=True)
    (folder / "train.json").write_text(json.dumps(dict(keys, schema="hadpo.train/1")))
    run = subprocess.Popen([str(binary), str(model), str(folder / "train.json"), str(folder / "c-adapter")], stderr=subprocess.PIPE, text=True)
    first = run.stderr.readline()  # a step was taken
    if not first.startswith("step 1"):
        return None
    time.sleep(after)
    start = time.monotonic()
    run.send_signal(signal.SIGINT)
    rest = run.stderr.read()
    seconds = time.monotonic() - start
    return seconds if run.wait() == 0 and "stopped" in rest else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--signals", type=int, default=6)
    parser.add_argument("--numerics", default="fast")
    parser.add_argument("--steps", type=int, default=3)
    o = parser.parse_args()
    rng, good = random.Random(7), True
    pictures = sorted((o.data / "pictures").glob("*.png"))
    keys = dict(data={"format": "pairs", "pairs": str(o.data / "pairs.jsonl"), "images": str(o.data / "pictures")}, steps=o.steps, batch=1,
                projector=False, lora={"rank": 8, "alpha": 16}, optimizer={"learning_rate": 1e-4})
    with tempfile.TemporaryDirectory() as name, hadpo.Engine(numerics=o.numerics) as engine, hadpo.Model(engine, o.model) as model:
        folder = pathlib.Path(name)
        model.generate(pictures[0], question="What?", max_new_tokens=1)  # pages of the weights

        def describe():
            model.generate(pictures[0], question="Describe this image in detail.", num_beams=5, max_new_tokens=200, min_new_tokens=200)

        def pope():
            for answers in folder.glob("answers.jsonl*"):
                answers.unlink()
            model.pope(o.data / "pope_random.json", o.data / "pictures", answers=folder / "answers.jsonl", max_new_tokens=16)

        for name, work, longest in (("describe", describe, 60), ("POPE", pope, 90)):
            good &= report(name, [s for s in (interrupted(work, rng.uniform(1, longest / 2)) for _ in range(o.signals)) if s is not None])

        start = time.monotonic()
        with hadpo.Trainer(model, **keys) as trainer:
            trainer.run()
            trainer.save(folder / "whole")
        whole = time.monotonic() - start
        print(f"training   {o.steps} steps in {whole:.0f} s without a signal", flush=True)
        seconds, stopped = [], False
        while True:
            with hadpo.Trainer(model, **keys) as trainer:
                if stopped:
                    trainer.resume(folder / "stopped")
                took = interrupted(trainer.run, rng.uniform(1, whole / o.steps * 1.6)) if len(seconds) < o.signals else trainer.run() and None
                trainer.save(folder / "stopped")
                stopped = True
            if took is None:
                break
            seconds.append(took)
        good &= report("training", seconds)
        for file in (folder / "whole").glob("*.safetensors"):
            same = file.read_bytes() == (folder / "stopped" / file.name).read_bytes()
            print(f"{file.name}: {'the same bits' if same else 'OTHER BITS'} as without signals", flush=True)
            good &= same
        seconds = c_training(folder, o.model, keys, rng.uniform(1, whole / o.steps))
        good &= seconds is not None and seconds <= LIMIT
        print(f"C example: returned, saved and ended {seconds if seconds is None else round(seconds, 2)} s after SIGINT", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

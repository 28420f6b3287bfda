#!/usr/bin/env python3
"""Every comparison with the original packages; exit status 0 when all hold. `make parity` calls it."""
import importlib
import sys
import time
import traceback


def main():
    failed = []
    for name in ("parity_forward", "parity_dpo", "parity_peft", "parity_adapters", "parity_upstream", "parity_blip", "parity_blip_dpo"):
        start = time.time()
        try:
            good = importlib.import_module(name).main()
        except Exception:  # one script's crash must not hide the others' figures
            traceback.print_exc()
            good = False
        print(f"{name}: {'passed' if good else 'FAILED'} in {time.time() - start:.0f} s", flush=True)
        failed += [] if good else [name]
    print("parity: " + ("all passed" if not failed else "FAILED: " + ", ".join(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

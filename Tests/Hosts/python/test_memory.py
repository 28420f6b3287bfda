"""Memory that is not there is a status: a picture that does not fit, in the machine and under memory_limit."""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings/python"))
import hadpo  # noqa: E402

SIDE = 6000  # 108 MB of pixels in a file of 100 KB


def large_png():
    packer = zlib.compressobj(9)
    row = b"\0" + b"\x80" * (3 * SIDE)
    data = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)) + chunk(b"IDAT", data)
            + chunk(b"IEND", b""))


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        (cls.folder / "large.png").write_bytes(large_png())
        cls.model = str(ROOT / "Tests/Fixtures/llava/new-bf16")

    def decode(self, room):
        """In a process of its own, with `room` bytes of address space beyond what it has: such a limit cannot be raised again."""
        script = """if True:
            import resource, sys
            sys.path.insert(0, sys.argv[1])
            import hadpo
            data = open(sys.argv[2], "rb").read()
            hadpo.version()
            limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + int(sys.argv[3])
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            try:
                hadpo.Image.decode(data)
                print("decoded")
            except hadpo.OutOfMemoryError as error:
                print("refused")
        """
        run = subprocess.run([sys.executable, "-c", script, str(ROOT / "bindings/python"), str(self.folder / "large.png"), str(room)],
                             capture_output=True, text=True)
        return run.returncode, run.stdout, run.stderr

    def test_a_picture_larger_than_the_address_space_is_refused(self):
        self.assertEqual(self.decode(80 << 20), (0, "refused\n", ""))

    def test_a_picture_is_held_once(self):
        self.assertEqual(self.decode(160 << 20), (0, "decoded\n", ""))

    def test_a_picture_counts_against_the_limit_before_it_is_decoded(self):
        questions = self.folder / "questions.json"
        questions.write_text(json.dumps({"question_id": 1, "image": "large.png", "text": "Is there a car in the image?", "label": "yes"}) + "\n")
        model = hadpo.Model(hadpo.Engine(threads=1, memory_limit=60_000_000), self.model)
        with self.assertRaises(hadpo.OutOfMemoryError) as caught:
            model.pope(questions=str(questions), images=str(self.folder), max_new_tokens=1)
        self.assertIn(str(3 * SIDE * SIDE), str(caught.exception))
        # The host's own picture counts where an engine looks at it.
        picture = hadpo.Image.decode((self.folder / "large.png").read_bytes())
        with self.assertRaises(hadpo.OutOfMemoryError):
            model.generate(picture, question="What?", max_new_tokens=1)


if __name__ == "__main__":
    unittest.main()

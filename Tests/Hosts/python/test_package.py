"""The package `hadpo`: pictures in every form, streams, errors, closing, finding the library. NumPy, Pillow and TensorBoard are
used where the Python that runs this has them."""

import gc
import io
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402

PICTURE = FIXTURES / "pictures" / "wide.jpg"
ASK = {"question": "What is there?", "max_new_tokens": 8}
PAIRS = {"data": {"format": "pairs", "pairs": FIXTURES / "dpo/pairs.jsonl", "images": FIXTURES / "pictures"},
         "batch": 1, "lora": {"rank": 2, "alpha": 4}, "projector": False}


def wanted(case, name):
    try:
        return __import__(name, fromlist=["_"])
    except ImportError:
        print(f"SKIPPED: {name} is not installed; {case.id()} proves nothing here", flush=True)
        case.skipTest(f"{name} is not installed")


class WithModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = hadpo.Engine(threads=2)
        cls.model = hadpo.Model(cls.engine, FIXTURES / "old-f32")

    @classmethod
    def tearDownClass(cls):
        cls.engine.close()  # in any order
        cls.model.close()


class Pictures(WithModel):
    def answer(self, picture):
        return self.model.generate(picture, **ASK)["ids"]

    def test_path_text_bytes_and_file_give_the_same_answer(self):
        expected = self.answer(hadpo.Image.open(PICTURE))
        content = PICTURE.read_bytes()
        for picture in (PICTURE, str(PICTURE), content, bytearray(content), memoryview(content), io.BytesIO(content)):
            self.assertEqual(self.answer(picture), expected, type(picture))
        with open(PICTURE, "rb") as file:
            self.assertEqual(self.answer(file), expected)

    def test_pixels_with_the_buffer_protocol_are_rows_of_rgb(self):
        rows = bytes(range(256)) * 9
        flat = self.answer(hadpo.Image.from_rgb8(rows, 32, 24))
        self.assertEqual(self.answer(memoryview(rows).cast("B", (24, 32, 3))), flat)

    def test_numpy_arrays_also_when_they_are_views(self):
        numpy = wanted(self, "numpy")
        pixels = numpy.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=numpy.uint8)
        flat = self.answer(hadpo.Image.from_rgb8(pixels.tobytes(), 32, 24))
        self.assertEqual(self.answer(pixels), flat)
        frozen = pixels.copy()
        frozen.flags.writeable = False
        self.assertEqual(self.answer(frozen), flat)
        turned = numpy.ascontiguousarray(pixels[::-1, ::-1])
        self.assertEqual(self.answer(turned[::-1, ::-1]), flat)
        for wrong in (pixels.astype("float32"), pixels[:, :, 0], pixels.transpose(2, 0, 1), numpy.zeros((4, 4, 4), "uint8")):
            with self.assertRaisesRegex(ValueError, "height x width x 3 of uint8"):
                hadpo.Image(wrong)

    def test_pil_images_of_every_mode(self):
        PIL = wanted(self, "PIL.Image")
        with PIL.open(PICTURE) as picture:
            self.assertEqual(self.answer(picture), self.answer(PICTURE))
            for mode in ("L", "P", "RGBA", "CMYK"):
                self.answer(picture.convert(mode))

    def test_what_is_no_picture_is_said(self):
        with self.assertRaises(TypeError):
            hadpo.Image(3)
        with self.assertRaises(TypeError):
            hadpo.Image(io.StringIO("text"))
        with self.assertRaises(FileNotFoundError):
            hadpo.Image("absent.png")
        with self.assertRaises(hadpo.HadpoError):
            hadpo.Image(b"no picture")
        with self.assertRaises(ValueError):
            hadpo.Image.from_rgb8(b"123", 2, 2)


class Streams(WithModel):
    def test_pieces_make_up_the_answer(self):
        with self.model.stream(PICTURE, **ASK) as stream:
            text = "".join(stream)
            self.assertEqual(text.strip(), stream.answer["text"])
        self.assertEqual(stream.answer["ids"], self.model.generate(PICTURE, **ASK)["ids"])

    def test_the_answer_is_there_without_reading(self):
        self.assertEqual(self.model.stream(PICTURE, **ASK).answer["ids"], self.model.generate(PICTURE, **ASK)["ids"])

    def test_a_stream_that_is_left_frees_the_engine(self):
        for leave in ("close", "drop"):
            stream = self.model.stream(PICTURE, question="What is there?", max_new_tokens=800)
            next(stream)
            with self.assertRaises(hadpo.BusyError):
                self.model.generate(PICTURE, **ASK)
            if leave == "close":
                stream.close()
                with self.assertRaises(ValueError):
                    stream.answer
            del stream
            gc.collect()
            self.model.generate(PICTURE, **ASK)

    def test_a_wrong_request_is_raised_by_the_first_piece(self):
        with self.assertRaises(hadpo.ConfigError):
            next(self.model.stream(PICTURE, question="What?", max_new_token=3))


class Errors(WithModel):
    def test_statuses_are_also_the_builtins_a_program_catches(self):
        cases = [(ValueError, hadpo.ConfigError, 21, lambda: hadpo.Engine(thread=1)),
                 (FileNotFoundError, hadpo.MissingFileError, 30, lambda: self.model.load_adapter("absent")),
                 (OSError, hadpo.FileError, 30, lambda: hadpo.Model(self.engine, "absent")),
                 (MemoryError, hadpo.OutOfMemoryError, 2, self.with_little_memory)]
        for builtin, kind, status, action in cases:
            with self.subTest(kind), self.assertRaises(builtin) as caught:
                action()
            self.assertIsInstance(caught.exception, kind)
            self.assertIsInstance(caught.exception, hadpo.HadpoError)
            self.assertEqual(caught.exception.status, status)

    def with_little_memory(self):
        with hadpo.Engine(memory_limit=1000) as engine, hadpo.Model(engine, FIXTURES / "old-f32") as model:
            model.generate(PICTURE, **ASK)

    def test_every_status_of_the_header_has_a_class(self):
        from hadpo import _c, _errors

        header = (ROOT / "include/hadpo.h").read_text()
        body = header[header.index("HADPO_OK"):header.index("typedef struct hadpo_error")]
        numbers = {int(number) for number in re.findall(r"HADPO_E_\w+ = (\d+)", body)}
        self.assertEqual(numbers, set(_errors.BY_STATUS))
        for number, kind in _errors.BY_STATUS.items():
            error = _errors.make_error(number, {"name": _c.library().hadpo_status_name(number).decode(), "message": "m"})
            self.assertIs(type(error), kind)

    def test_an_unknown_option_is_the_library_s_to_explain(self):
        with self.assertRaises(hadpo.ConfigError) as caught:
            self.model.generate(PICTURE, question="What?", max_new_token=3)
        self.assertEqual(caught.exception.where, "/max_new_token")
        self.assertIn("max_new_tokens", str(caught.exception))

    def test_errors_survive_pickling(self):
        with self.assertRaises(hadpo.MissingFileError) as caught:
            self.model.load_adapter("absent")
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertIs(type(again), hadpo.MissingFileError)
        self.assertEqual((str(again), again.record), (str(caught.exception), caught.exception.record))

    def test_a_closed_object_says_so(self):
        image = hadpo.Image(PICTURE)
        image.close()
        image.close()
        self.assertTrue(image.closed)
        with self.assertRaisesRegex(hadpo.StateError, "the image is closed"):
            self.model.generate(image, **ASK)

    def test_two_threads_on_one_engine(self):
        started, problems = threading.Event(), []

        def stop_when_busy(_record):
            started.set()
            try:
                self.model.generate(PICTURE, **ASK)
            except hadpo.BusyError as problem:
                problems.append(problem)
            raise RuntimeError("seen")

        with hadpo.Trainer(self.model, steps=5, **PAIRS) as trainer, self.assertRaisesRegex(RuntimeError, "seen"):
            trainer.run(on_event=stop_when_busy)
        self.assertEqual(len(problems), 1)

    def test_interrupt_from_another_thread_is_cancelled(self):
        with hadpo.Trainer(self.model, steps=100000, **PAIRS) as trainer:
            timer = threading.Timer(0.2, self.engine.interrupt)
            timer.start()
            with self.assertRaises(hadpo.CancelledError):
                trainer.run()
            timer.join()


class Training(WithModel):
    def test_callbacks_run_in_the_thread_that_made_the_call(self):
        threads = set()
        with hadpo.Trainer(self.model, steps=2, **PAIRS) as trainer:
            report = trainer.run(on_event=lambda record: threads.add(threading.get_ident()))
        self.assertEqual(threads, {threading.get_ident()})
        self.assertTrue(report["finished"])

    def test_an_adapter_comes_off_at_the_end_of_with(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.model.trainer(steps=1, **PAIRS) as trainer:
                trainer.run()
                trainer.save(folder)
            with self.model.load_adapter(folder):
                self.assertEqual(self.model.describe()["adapter"]["rank"], 2)
            self.assertIsNone(self.model.describe()["adapter"])

    # The documented five lines, with a writer that only notes what it is given.
    def test_events_become_scalars_of_a_log(self):
        noted = []

        class Writer:
            def add_scalar(self, name, value, step):
                noted.append((name, value, step))

        self.log_with(Writer())
        self.assertEqual({step for _, _, step in noted}, {1, 2})
        self.assertEqual({name for name, _, _ in noted} & {"loss", "rewards/margins", "learning_rate"},
                         {"loss", "rewards/margins", "learning_rate"})
        self.assertTrue(all(type(value) is float for _, value, _ in noted))

    def test_the_guard_s_figures_have_names_of_their_own(self):
        record = {"event": "guard", "step": 4, "figures": {"pope.accuracy": 0.75, "describe.words": None}}
        self.assertEqual(hadpo.scalars(record), {"guard/pope.accuracy": 0.75})
        self.assertEqual(hadpo.scalars({"event": "progress", "done": 3}), {})

    def test_tensorboard_reads_what_was_logged(self):
        board = wanted(self, "tensorboard.summary.writer.event_file_writer")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        with tempfile.TemporaryDirectory() as folder:
            file = board.EventFileWriter(folder)

            class Writer:  # what SummaryWriter of torch.utils.tensorboard does
                def add_scalar(self, name, value, step):
                    file.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, simple_value=value)])))

            self.log_with(Writer())
            file.close()
            read = EventAccumulator(folder)
            read.Reload()
            self.assertIn("rewards/margins", read.Tags()["scalars"])
            self.assertAlmostEqual(read.Scalars("dpo_loss")[0].value, 0.693147, places=5)  # log 2, as float32

    def log_with(self, writer):
        def log(record):
            for name, value in hadpo.scalars(record).items():
                writer.add_scalar(name, value, record["step"])

        with hadpo.Trainer(self.model, steps=2, **PAIRS) as trainer:
            trainer.run(on_event=log)


class Finding(unittest.TestCase):
    def python(self, *arguments, **environment):
        own = ("HADPO_LIBRARY", "HADPO_TOOL", "LD_LIBRARY_PATH")
        inherited = {key: value for key, value in os.environ.items() if key not in own}
        return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60,
                              env={**inherited, "PYTHONPATH": str(ROOT / "bindings/python"), **environment})

    def test_without_a_library_the_error_says_what_to_do(self):
        run = self.python("-c", "import hadpo; hadpo.version()", HADPO_LIBRARY="/absent/libhadpo.so", PATH="")
        if run.returncode == 0:
            self.skipTest("libhadpo is installed in this system")
        for text in ("LibraryNotFoundError", "HADPO_LIBRARY=/absent/libhadpo.so", "make wheel", "libhadpo0"):
            self.assertIn(text, run.stderr)

    def test_pkg_config_finds_an_installed_library(self):
        library = pathlib.Path(os.environ.get("HADPO_LIBRARY", ""))
        configuration = library.parent / "pkgconfig"
        if not (configuration / "hadpo.pc").exists():
            print("SKIPPED: HADPO_LIBRARY names no installed tree", flush=True)
            self.skipTest("no installed tree")
        run = self.python("-c", "import hadpo; print(hadpo.version())", PKG_CONFIG_PATH=str(configuration))
        self.assertEqual((run.returncode, run.stdout.strip()), (0, hadpo.version()), run.stderr)

    def test_the_module_runs_the_tool(self):
        tool = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
        run = self.python("-m", "hadpo", "version", HADPO_TOOL=tool)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout, subprocess.run([tool, "version"], capture_output=True, text=True).stdout)
        self.assertEqual(self.python("-m", "hadpo", "fly", HADPO_TOOL=tool).returncode, 2)


class SmallCaches(unittest.TestCase):
    def test_int8_and_fp16_caches_round_keys_and_values_and_no_more(self):
        with tempfile.TemporaryDirectory() as name, hadpo.Engine(threads=2) as engine:
            world = pathlib.Path(name) / "world"
            engine.world_make(world, evaluation_images=8, training_images=0)
            pictures = sorted((world / "coco2014/val2014").glob("*.png"))
            found = {}
            for cache in ("fp32", "fp16", "bf16", "int8"):
                with hadpo.Model(engine, world / "model", kv_cache=cache) as model:
                    found[cache] = [model.generate(p, question="Describe this image in detail.", max_new_tokens=60)["ids"] for p in pictures]
            self.assertGreater(min(len(ids) for ids in found["fp32"]), 20)
            for cache, most in (("fp16", 1), ("bf16", 3), ("int8", 3)):  # of eight greedy descriptions, those that a near tie turns
                other = sum(a != b for a, b in zip(found[cache], found["fp32"]))
                self.assertLessEqual(other, most, cache)
                print(f"{cache}: {8 - other} of 8 descriptions as with fp32", flush=True)
            # 4 bytes a number, 2, and 1 with an fp16 scale for every 32: so many a position.
            for cache, bytes_ in (("auto", 4096), ("fp32", 4096), ("bf16", 2048), ("fp16", 2048), ("int8", 1088)):
                with hadpo.Engine(memory_limit=1 << 20) as little, hadpo.Model(little, world / "model", kv_cache=cache) as model:
                    with self.assertRaisesRegex(hadpo.OutOfMemoryError, f"rows of {bytes_} bytes"):
                        model.generate(pictures[0], question="What is there?", num_beams=5)
            with hadpo.Engine(threads=2, numerics="fast") as fast:
                told = {}
                for cache in ("auto", "fp32"):
                    with hadpo.Model(fast, world / "model", kv_cache=cache) as model:
                        told[cache] = [model.generate(p, question="Describe this image in detail.", max_new_tokens=60)["ids"] for p in pictures]
                        kernels = model.describe()["engine"]["kernels"]
                # On AMX auto keeps what attention would round to in any case; elsewhere it rounds to fp16.
                other = sum(a != b for a, b in zip(told["auto"], told["fp32"]))
                self.assertLessEqual(other, 0 if "amx" in kernels else 1)
            with self.assertRaisesRegex(hadpo.UnsupportedError, "heads of 8"):
                hadpo.Model(engine, FIXTURES / "old-f32", kv_cache="int8")


if __name__ == "__main__":
    unittest.main()

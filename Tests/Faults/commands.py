"""The commands whose file operations fail, on a world so small that a run takes some tens of milliseconds."""

import dataclasses
import http.server
import json
import pathlib
import shutil
import subprocess
import threading


@dataclasses.dataclass
class Command:
    name: str
    arguments: list
    # Prepares the folder that the command runs in; what it leaves there is what was there before.
    prepare: object = lambda world, folder: None
    # Runs that stop earlier, as more arguments: what they leave is what a file may hold while the command runs.
    stops: tuple = ()
    # Folders of files that belong together, with the arguments by which the tool reads one: what it says tells of which step they are.
    units: dict = dataclasses.field(default_factory=dict)
    # Files that grow by lines: their last line may be torn until the next run.
    lines: tuple = ()
    # Files that a failure, not a kill, may leave in a state of their own.
    of_a_failure: tuple = ()
    # What one does about a run that ended early, and what the units say then: more arguments for the next run.
    go_on: object = lambda folder, said: []
    environment: dict = dataclasses.field(default_factory=dict)
    # Whether it can run again when all was done; an export refuses a folder that holds a model.
    repeats_when_done: bool = True


class World:
    """A world, and what other commands made of it: the inputs that no command writes to."""

    def __init__(self, tool, folder):
        self.tool, self.folder, self.server = tool, folder, Server()
        self.world = folder / "world"
        self.run("world", "make", "-o", self.world, "--evaluation-images", "2", "--training-images", "4")
        coco = self.world / "POPE/output/coco"
        for name in ("random", "popular"):
            lines = (coco / f"coco_pope_{name}.json").read_text().splitlines(keepends=True)
            (folder / f"{name}.json").write_text("".join(lines[:2]))
        pairs = [{"image": f"{number}.png", "question": "What?", "chosen": chosen, "rejected": "A bus."}
                 for number, chosen in ((1, "A red car."), (2, "A dog."))]
        (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        (folder / "captions.json").write_text(json.dumps({"1": "A blue bench and a car.", "2": "A green bench."}))
        (folder / "objects.json").write_text(json.dumps({"1": ["bench", "lantern"], "2": ["bench", "house"]}))
        (folder / "descriptions.json").write_text(
            json.dumps({"2000001": "There is an orange house. There is a bus.", "2000002": "There is a yellow fish."}))
        self.run("train", *self.training(), "-o", folder / "adapter", "--log", folder / "training.jsonl", "--steps", "1")
        self.run("shr", "requests", *self.shr(), "-o", folder / "requests.jsonl")
        self.run("pope", *self.pope(), "-q", folder / "random.json", "-o", folder / "answers.jsonl")
        self.run("shr", *self.shr(), "--judge", "annotations", "-o", folder / "scored", "--resamples", "100")

    def run(self, *arguments, cwd=None):
        result = subprocess.run([self.tool, *map(str, arguments), "--quiet"], cwd=cwd or self.folder, capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f"check_faults: hadpo {' '.join(map(str, arguments))}: status {result.returncode}\n{result.stderr}")

    def model(self):
        return ["-m", self.world / "model", "--threads", "1"]

    def training(self):
        return [*self.model(), "--pairs", self.folder / "pairs.jsonl", "-i", self.world / "VG/VG_100K", "--batch", "1",
                "--accumulation", "1", "--rank", "1", "--alpha", "2", "--learning-rate", "0.1"]

    def pope(self):
        return [*self.model(), "-i", self.world / "coco2014/val2014", "-n", "4"]

    def shr(self):
        return ["-A", self.folder / "descriptions.json", "--vg", self.world / "VG", "--shr", self.world / "shr"]

    def commands(self):
        training = ["train", *self.training(), "--steps", "4", "--save-every", "3", "-o", "adapter", "--log", "training.jsonl",
                    "--reference-cache", "reference.jsonl", "--guard-every", "2", "--guard-best", "chosen_logprob"]

        def stopped_half_way(world, folder):
            world.run(*training, "--stop-after", "2", cwd=folder)
            (folder / "adapter/README").write_text("a file of the user's\n")

        def a_saved_adapter(world, folder):
            shutil.copytree(world.folder / "adapter", folder / "adapter")

        def from_the_last_save(folder, said):
            if said["adapter"] is not None:
                return ["--resume", "adapter"]
            return from_the_beginning(folder, said)

        def from_the_beginning(folder, said):
            (folder / "training.jsonl").unlink(missing_ok=True)  # a training that begins writes behind what is there
            return []

        stops = tuple(["--stop-after", str(number)] for number in (1, 2, 3))
        answer = [self.world / "coco2014/val2014/COCO_val2014_000000000001.png", "-Q", "What?", "-C", "A red car.", "--json"]
        adapters = {folder: ["score", *self.model(), "-a", folder, *answer] for folder in ("adapter", "adapter/best")}
        # A failure on the way saves the steps that were taken, with what the guard had seen until then: a state that no stop leaves.
        steps = dict(stops=stops, units=adapters, lines=("training.jsonl", "reference.jsonl"),
                     of_a_failure=("adapter/trainer_state.safetensors", "adapter/hadpo_save.json"))
        return [
            # What the guard kept of a run that failed is another training's for the next one: it may be replaced.
            Command("train", [*training, "--overwrite"], go_on=from_the_last_save, **steps),
            Command("train --resume", [*training, "--resume", "adapter"], prepare=stopped_half_way,
                    **dict(steps, stops=(["--stop-after", "1"],))),
            Command("train over an older adapter", [*training, "--overwrite"], prepare=a_saved_adapter, go_on=from_the_beginning, **steps),
            Command("pope", ["pope", *self.pope(), "-q", self.folder / "random.json", "-o", "random.jsonl",
                             "-q", self.folder / "popular.json", "-o", "popular.jsonl"], lines=("random.jsonl", "random.jsonl.identity", "popular.jsonl", "popular.jsonl.identity")),
            Command("pope build", ["pope", "build", "-f", self.folder / "objects.json", "-o", "built", "--images", "2", "--per-image", "1"]),
            Command("shr describe", ["shr", "describe", *self.model(), "-i", self.world / "VG", "--image-data",
                                     self.world / "VG/image_data.json", "--shr", self.world / "shr", "-o", "descriptions.jsonl",
                                     "-n", "4", "-b", "1"], lines=("descriptions.jsonl", "descriptions.jsonl.identity")),
            Command("shr requests", ["shr", "requests", *self.shr(), "-o", "requests.jsonl"]),
            Command("shr", ["shr", *self.shr(), "--judge", "annotations", "-s", self.world / "synonyms.txt", "-o", "scored",
                            "--resamples", "100"]),
            Command("judge", ["judge", self.folder / "requests.jsonl", "-o", "replies.jsonl", "--record", "record.jsonl",
                              "-u", self.server.address, "-j", "1"], lines=("replies.jsonl", "record.jsonl")),
            Command("chair", ["chair", "-A", self.folder / "captions.json", "-s", self.world / "synonyms.txt", "--objects",
                              self.folder / "objects.json", "--records", "records.jsonl", "--resamples", "100"]),
            Command("report", ["report", "-o", "report.html", "-q", self.folder / "random.json", "-A", self.folder / "answers.jsonl",
                               "-i", self.world / "coco2014/val2014", "--training", self.folder / "training.jsonl", "--shr",
                               self.folder / "scored", "--resamples", "100"]),
            Command("export", ["export", *self.model(), "-a", self.folder / "adapter", "-o", "merged"],
                    units={"merged": ["score", "-m", "merged", "--threads", "1", *answer]}, repeats_when_done=False),
            Command("inspect", ["inspect", *self.model(), self.world / "coco2014/val2014/COCO_val2014_000000000001.png", "-Q", "What?",
                                "-o", "blocks.safetensors"]),
            Command("world make", ["world", "make", "-o", "made", "--evaluation-images", "2", "--training-images", "1"]),
            Command("world pairs", ["world", "pairs", "-w", self.world, *self.model(), "-o", "pairs", "--images", "2"]),
        ]


class Server:
    """A judge on this machine that gives every request the same answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            message = {"role": "assistant", "content": "Judgement:\n1. correct\n"}
            answer = json.dumps({"id": "c", "object": "chat.completion", "model": "judge",
                                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                                 "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass  # a client that was killed hangs up

    def __init__(self):
        server = self.Quiet(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{server.server_address[1]}/v1"

"""docs/from-ha-dpo.md: every sh block is run, in a folder like HA-DPO's checkout whose data is the world in the box.

A training takes two steps, the judge is a server of the test's; else the commands are run as they stand."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402
from test_judge import Server, completion  # noqa: E402

PAGE = ROOT / "docs" / "from-ha-dpo.md"
TOOL = pathlib.Path(os.environ["HADPO_TOOL"])
SHORTENED = """#!/bin/sh
case $1 in
train) set -- "$@" --steps 2 ;;
judge) set -- "$@" -u "$JUDGE" ;;
esac
exec "$TOOL" "$@" --quiet
"""
MODELS = {"llava-1.5": [("model", "llava-1.5-7b-hf")], "instructblip": [("model", "instructblip-vicuna-13b")],
          "minigpt4": [(f"model/{name}", name) for name in
                       ("Llama-2-7b-chat-hf", "eva_vit_g.pth", "pretrained_minigpt4_llama2_7b.pth")]}
OPENED = {"llava-1.5": ["llava-1.5-7b-hf", {}, "llava-v1.5"], "instructblip": ["instructblip-vicuna-13b", {}, "instructblip"],
          "minigpt4": ["Llama-2-7b-chat-hf", {"vision_tower": "eva_vit_g.pth", "checkpoint": "pretrained_minigpt4_llama2_7b.pth"},
                       "minigpt4"]}


def like_a_checkout():
    """Models and ha_dpo/data in the working directory."""
    data = pathlib.Path("ha_dpo/data")
    for family, places in MODELS.items():
        with hadpo.Engine() as engine:
            engine.world_make(f"world/{family}", family=family, evaluation_images=20, training_images=30)
            for inside, name in places:
                pathlib.Path(name).symlink_to(f"world/{family}/{inside}")
            path, keys, folder = OPENED[family]
            with hadpo.Model(engine, path, **keys) as model:
                model.world_pairs(f"world/{family}", data / "hadpo" / folder)
    for name in ("VG", "POPE", "coco2014", "shr"):
        (data / name).symlink_to(f"../../world/llava-1.5/{name}")
    align = data / "cc_sbu_align"
    (align / "image").mkdir(parents=True)
    pictures = sorted((data / "VG/VG_100K").iterdir())[:2]
    for number, picture in enumerate(pictures):
        (align / f"image/{number}.jpg").write_bytes(picture.read_bytes())
    captions = [{"image_id": str(number), "caption": "There is a red ball."} for number in range(len(pictures))]
    (align / "filter_cap.json").write_text(json.dumps({"annotations": captions}))


class FromHADPO(unittest.TestCase):
    def test_every_command_of_the_page_works_on_the_world(self):
        commands = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), flags=re.M | re.S)
        self.assertGreaterEqual(len(commands), 8)
        here = os.getcwd()
        def judge(question, attempt):
            comments = re.findall(r"^(\d+)\. ", question.rpartition("for you to judge (")[2], flags=re.M)
            return completion("Judgement:\n" + "\n".join(f"{number}. correct: it is there" for number in comments))
        server = Server(judge)
        self.addCleanup(server.stop)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                like_a_checkout()
                pathlib.Path("tools").mkdir()
                pathlib.Path("tools/hadpo").write_text(SHORTENED)
                pathlib.Path("tools/hadpo").chmod(0o755)
                environment = dict(os.environ, PATH=f"{folder}/tools:{os.environ['PATH']}", TOOL=str(TOOL), JUDGE=server.url,
                                   OPENAI_API_KEY="none")
                for command in commands:
                    run = subprocess.run(["bash", "-ec", command], env=environment, capture_output=True, text=True, timeout=300)
                    self.assertEqual(run.returncode, 0, command + run.stdout[-1000:] + run.stderr[-2000:])
                self.assertIn("mean_hal_ratio", json.loads(pathlib.Path("shr-scored/metrics.json").read_text()))
                hadpo.Model(hadpo.Engine(), "instructblip-merged").close()
            finally:
                os.chdir(here)


if __name__ == "__main__":
    unittest.main()

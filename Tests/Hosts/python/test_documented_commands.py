"""Every command that README.md and docs/benchmarks.md print in a block is run as it is printed, and every `make` target, script and subcommand
that README, docs and CONTRIBUTING name exists. The guides have tests of their own (test_getting_started, test_from_ha_dpo).

The names of the text stand for small files of their kind: llava-1.5-7b-hf for the model of the small world, coco_pope_random.json for its
questions. A command that is not run here stands in NOT_RUN with the reason; one that is in neither way known is a failure.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from test_judge import Server, completion

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = pathlib.Path(os.environ["HADPO_TOOL"])
LIBRARY = pathlib.Path(os.environ["HADPO_LIBRARY"]).parent
CC = os.environ.get("CC", "clang")
FIXTURES = ROOT / "Tests/Fixtures"
NOT_RUN = {
    r"make (demo|test)\b": "what runs this test, and `make test`'s own test of the demo",
    r"make bench": "minutes; its program is built by Tests/Bench and its rows are looked at by hand",
    r"compare\.py (--prepare|llama)": "installs PyTorch and llama.cpp and writes models of 13 GB",
    r"make_model\.py|instructblip-13b": "26 GB",
}
# A training and a benchmark are made short, the judge is a server of the test's.
SHORTENED = """#!/bin/sh
case $1 in
train) set -- "$@" --steps 3 --batch 4 ;;
judge) set -- "$@" -u "$JUDGE" ;;
bench) set -- "$@" --repeat 1 ;;
esac
exec "$TOOL" "$@"
"""


def pages(*names):
    return [ROOT / name for name in names] if names else [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page):
    """Lines of fenced and of indented blocks that begin with a program, those that end in \\ joined."""
    lines, fenced = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
    text = "\n".join(lines).replace("\\\n", " ")
    return [line for line in text.splitlines() if re.match(r"(build/bin/)?hadpo |make |python3 |cc |pip ", line)]


def workspace(folder):
    """What the pages' names stand for."""
    def link(name, target):
        (folder / name).symlink_to(target)

    subprocess.run([TOOL, "world", "make", "-o", folder / "world", "--evaluation-images", "6", "--training-images", "8", "--quiet"],
                   check=True, capture_output=True)
    world = folder / "world"
    link("llava-1.5-7b-hf", world / "model")
    lavis = FIXTURES / "instructblip/lavis"
    link("vicuna-13b-v1.1", lavis / "llm")
    link("bert-base-uncased", lavis / "bert-base-uncased")
    link("instruct_blip_vicuna13b_trimmed.pth", lavis / "instruct_blip_vicuna13b_trimmed.pth")
    minigpt4 = FIXTURES / "minigpt4/model"
    link("Llama-2-7b-chat-hf", minigpt4 / "llm")
    link("eva_vit_g.pth", minigpt4 / "eva_vit_g.pth")
    link("pretrained_minigpt4_llama2_7b.pth", minigpt4 / "pretrained_minigpt4_llama2_7b.pth")
    link("coco_pope_random.json", world / "POPE/output/coco/coco_pope_random.json")
    link("val2014", world / "coco2014/val2014")
    link("VG", world / "VG")
    link("shr", world / "shr")
    link("pictures", world / "coco2014/val2014")
    names = sorted(path.name for path in (world / "coco2014/val2014").iterdir())
    shutil.copy(world / "coco2014/val2014" / names[0], folder / "kitchen.jpg")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(
        {"image": name, "question": "Is there a cat in the image?", "chosen": "No, there is no cat.", "rejected": "Yes, there is a cat."})
        + "\n" for name in names))
    pictures = [record["image_id"] for record in json.loads((world / "shr/val_images_final.json").read_text())]
    (folder / "descriptions.json").write_text(json.dumps({str(number): "There is a red ball." for number in pictures}))
    binaries = folder / "build/bin"
    binaries.mkdir(parents=True)
    (binaries / "hadpo").write_text(SHORTENED)
    (binaries / "hadpo").chmod(0o755)
    link("Tests", ROOT / "Tests")
    (folder / "host.c").write_text(host_program())
    cc = folder / "tools/cc"
    cc.parent.mkdir()
    cc.write_text(f'#!/bin/sh\nexec "{shutil.which(CC)}" -fuse-ld=lld "$@"\n')
    cc.chmod(0o755)


def host_program():
    """README's C, inside a function."""
    block = re.search(r"^```c\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.M | re.S).group(1)
    include, body = block.split("\n\n", 1)
    return f"{include}\nint main(void) {{\n{body}\nreturn error != NULL;\n}}\n"


class DocumentedCommands(unittest.TestCase):
    maxDiff = None

    def test_every_printed_command_runs(self):
        server = Server(lambda question, attempt: completion("Judgement:\n1. correct: it is there"))
        self.addCleanup(server.stop)
        ran = 0
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            workspace(folder)
            environment = dict(os.environ, PATH=f"{folder}/build/bin:{folder}/tools:{os.environ['PATH']}", TOOL=str(TOOL), JUDGE=server.url,
                               OPENAI_API_KEY="none", PKG_CONFIG_PATH=str(LIBRARY / "pkgconfig"), LD_LIBRARY_PATH=str(LIBRARY))
            printed = [line for page in pages("README.md", "docs/benchmarks.md") for line in commands(page)]
            printed.append(re.search(r"cc host\.c .*?\)", (ROOT / "README.md").read_text()).group(0))
            for command in printed:
                if any(re.search(pattern, command) for pattern in NOT_RUN):
                    continue
                run = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
                self.assertEqual(run.returncode, 0, f"{command}\n{run.stdout[-1000:]}\n{run.stderr[-3000:]}")
                ran += 1
            self.assertTrue((folder / "report.html").stat().st_size > 10000)
        self.assertGreaterEqual(ran, 15)

    def test_every_reason_not_to_run_one_is_needed(self):
        printed = [line for page in pages("README.md", "docs/benchmarks.md") for line in commands(page)]
        for pattern in NOT_RUN:
            self.assertTrue(any(re.search(pattern, line) for line in printed), pattern)

    def test_what_the_pages_name_exists(self):
        makefiles = [ROOT / "Makefile", ROOT / "bindings/install.mk", *(ROOT / "Tests").glob("*.mk")]
        targets = {target for file in makefiles for target in re.findall(r"^([a-z][\w-]*):", file.read_text(), flags=re.M)}
        tool = subprocess.run([TOOL, "--help"], capture_output=True, text=True).stdout
        verbs = set(re.findall(r"^  (\w+)", tool, flags=re.M)) | {"COMMAND"}
        for page in pages():
            text = page.read_text()
            for target in re.findall(r"(?:^|`|^ {4})make ([a-z][\w-]*)", text, flags=re.M):
                self.assertIn(target, targets, f"{page.name}: make {target}")
            for path in re.findall(r"\b(?:Tests|Sources|bindings|docs|include)/[\w./-]*\w", text):
                self.assertTrue((ROOT / path).exists() or any(ROOT.glob(path + "*")), f"{page.name}: {path}")
            for verb in re.findall(r"(?:`|^    |^build/bin/)hadpo (\w+)", text, flags=re.M):
                self.assertIn(verb, verbs, f"{page.name}: hadpo {verb}")


if __name__ == "__main__":
    unittest.main()

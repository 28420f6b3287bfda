/* flags.c - the flags that several commands share: which key of which config each one writes. */
#include "cli.h"

#define END {0, NULL, SWITCH, NULL, NULL, NULL}

const flag engine_flags[] = {
    {0, "threads", INTEGER, "N", "engine.threads", "worker threads (default: all processors)"},
    {0, "kernels", TEXT, "NAME", "engine.kernels", "auto, amx-bf16, avx512-bf16, avx512, avx2, portable, openblas"},
    {0, "numerics", TEXT, "NAME", "engine.numerics", "exact (fp32 products) or fast (bf16 operands)"},
    {0, "memory-limit", SIZE, "SIZE", "engine.memory_limit", "bytes, or with K, M, G: 20G"},
    END};

const flag model_flags[] = {
    {'m', "model", TEXT, "DIR", "model.path", "checkpoint folder of LLaVA, InstructBLIP or MiniGPT-4"},
    {'a', "adapter", TEXT, "DIR", "model.adapter", "PEFT adapter folder on top of it"},
    {0, "vision-tower", TEXT, "PATH", "model.vision_tower", "original LLaVA: CLIP folder; MiniGPT-4, LAVIS: eva_vit_g.pth"},
    {0, "checkpoint", TEXT, "FILE", "model.checkpoint", "MiniGPT-4's projection or LAVIS' InstructBLIP, a .pth"},
    {0, "bert", TEXT, "DIR", "model.bert", "bert-base-uncased, for LAVIS' InstructBLIP"},
    {0, "weights", TEXT, "TYPE", "model.weights", "stored (default), int8, int4 or bnb-fp4"},
    {0, "kv-cache", TEXT, "TYPE", "model.kv_cache", "keys and values while generating: auto (default), fp32, bf16, fp16 or int8"},
    {0, "load", TEXT, "HOW", "model.load", "map the weights (default) or read them"},
    {0, "processor", TEXT, "NAME", "model.processor", "checkpoint (default), pad or crop"},
    {0, "verify", SWITCH, NULL, "model.verify", "read every byte of the weights for the model's identity"},
    END};

const flag output_flags[] = {
    {'c', "config", TEXT, "FILE", "cli.config", "JSON config; may hold \"engine\" and \"model\" too"},
    {0, "set", TEXT, "KEY=VALUE", "cli.set", "any key: --set optimizer.beta2=0.99 --set engine.threads=1"},
    {0, "json", SWITCH, NULL, "cli.json", "result as JSON on standard output"},
    {0, "events", SWITCH, NULL, "cli.events", "progress as JSON Lines on standard error"},
    {0, "quiet", SWITCH, NULL, "cli.quiet", "no progress"},
    {'h', "help", SWITCH, NULL, "cli.help", "this text"},
    END};

const flag generate_flags[] = {
    {'Q', "question", TEXT, "TEXT", "request.question", "what to ask (default: Describe this image in detail.)"},
    {0, "prompt", TEXT, "TEXT", "request.prompt", "instead: the whole prompt, with <image> where the picture goes"},
    {0, "template", TEXT, "NAME", "request.template", "hadpo-train, hadpo-eval or hf"},
    {'n', "max-new-tokens", INTEGER, "N", "request.max_new_tokens", "at most this many tokens"},
    {0, "min-new-tokens", INTEGER, "N", "request.min_new_tokens", "no end before this many"},
    {'b', "beams", INTEGER, "N", "request.num_beams", "beam search (1: greedy)"},
    {0, "length-penalty", NUMBER, "X", "request.length_penalty", "for beams"},
    {0, "early-stopping", SWITCH, NULL, "request.early_stopping", "for beams"},
    {0, "beam-rule", TEXT, "NAME", "request.beam_rule", "hf-4.31 (default) or hf-4.57"},
    {0, "sample", SWITCH, NULL, "request.do_sample", "draw tokens instead of taking the best"},
    {0, "temperature", NUMBER, "X", "request.temperature", "for --sample"},
    {0, "top-k", INTEGER, "N", "request.top_k", "for --sample"},
    {0, "top-p", NUMBER, "X", "request.top_p", "for --sample"},
    {0, "seed", INTEGER, "N", "request.seed", "for --sample"},
    {0, "repetition-penalty", NUMBER, "X", "request.repetition_penalty", "1: none"},
    {0, "stop", LIST, "TEXT", "request.stop", "end where this text appears; may be repeated"},
    END};

const flag training_flags[] = {
    {0, "pairs", TEXT, "FILE", "request.data.pairs", "image, question, chosen, rejected: lines or an array, or another tool's form"},
    {0, "desc", TEXT, "FILE", "request.data.desc", "HA-DPO's desc_data.json"},
    {0, "pope", TEXT, "FILE", "request.data.pope", "HA-DPO's pope_data.json"},
    {0, "image-data", TEXT, "FILE", "request.data.image_data", "Visual Genome's image_data.json, for the two above"},
    {0, "samples", TEXT, "FILE", "request.data.samples", "for --method sft: JSON Lines of image, question, answer"},
    {'i', "images", TEXT, "DIR", "request.data.images", "folder the pictures are in"},
    {0, "outside", SWITCH, NULL, "request.data.outside", OUTSIDE_HELP},
    {0, "format", TEXT, "NAME", "request.data.format", "auto, or of --pairs: pairs, trl, llama-factory, ms-swift, rlhf-v, rlaif-v, povid"},
    {0, "decode", SWITCH, NULL, "request.data.decode", "decode every picture whole before the first step"},
    {0, "on-long", TEXT, "WHAT", "request.on_long", "too long a sample: error, truncate or skip"},
    {0, "method", TEXT, "NAME", "request.method", "dpo or sft"},
    {0, "beta", NUMBER, "X", "request.beta", "DPO's temperature"},
    {0, "gamma", NUMBER, "X", "request.gamma", "weight of the language-model loss"},
    {0, "steps", INTEGER, "N", "request.steps", "optimizer steps in all, instead of --epochs"},
    {0, "epochs", INTEGER, "N", "request.epochs", "passes over the data, instead of --steps"},
    {0, "batch", INTEGER, "N", "request.batch", "pairs in one forward pass (default: the recipe's, fewer for small data)"},
    {0, "accumulation", INTEGER, "N", "request.accumulation", "batches in one optimizer step"},
    {0, "learning-rate", NUMBER, "X", "request.optimizer.learning_rate", "peak of the schedule"},
    {0, "schedule", TEXT, "NAME", "request.schedule.kind", "cosine, linear or constant"},
    {0, "warmup-steps", INTEGER, "N", "request.schedule.warmup_steps", "steps to reach the peak"},
    {0, "rank", INTEGER, "N", "request.lora.rank", "LoRA rank"},
    {0, "alpha", NUMBER, "X", "request.lora.alpha", "LoRA alpha"},
    {0, "reference", TEXT, "NAME", "request.reference.model", "compare with base (no adapter) or start (the adapter of -a as it was)"},
    {0, "reference-cache", TEXT, "FILE", "request.reference.cache", "keep the reference's log-probabilities across runs"},
    {0, "seed", INTEGER, "N", "request.seed", "LoRA start and order of the data"},
    {'o', "output", TEXT, "DIR", "request.output", "adapter, projector, optimizer state, config"},
    {0, "overwrite", SWITCH, NULL, "request.overwrite", "replace another training's adapter in DIR, and its log"},
    {0, "log", TEXT, "FILE", "request.log", "one JSON record a step"},
    {0, "save-every", INTEGER, "N", "request.save_every", "steps between checkpoints"},
    END};

const flag guard_flags[] = {
    {0, "guard-every", INTEGER, "N", "request.guard.every", "look at the model every N steps (50)"},
    {0, "guard-pope", TEXT, "FILE", "request.guard.pope.questions", "ask the first 60 questions of a POPE file"},
    {0, "guard-images", TEXT, "DIR", "request.guard.pope.images", "folder of that file's pictures"},
    {0, "guard-outside", SWITCH, NULL, "request.guard.pope.outside", OUTSIDE_HELP},
    {0, "guard-describe", TEXT, "DIR", "request.guard.describe.images", "describe the first 8 pictures of a folder"},
    {0, "guard-stop", LIST, "RULE", "cli.guard_stop", "\"FIGURE below|above|falls|rises X\": end the training; may be repeated"},
    {0, "guard-best", TEXT, "FIGURE", "request.guard.best", "keep the step with the highest FIGURE in DIR/best"},
    END};

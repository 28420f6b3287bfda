"""MiniGPT-4 and InstructBLIP in PyTorch, from the building blocks of transformers, with small random weights.

C vision width, P patches, W Q-Former width, Q queries, R picture rows of the language model, D its width, T positions,
V vocabulary rows. Everything runs in fp32 from the weights *as stored*: `fill` rounds them first. The language model
reads embeddings, so a prompt is text ids around IMAGE, which stands for all R rows of the picture.
`parity_upstream.py` holds these networks against HA-DPO's own code.
"""
import copy

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration, LlamaConfig, LlamaForCausalLM
from transformers.models.instructblip.configuration_instructblip import InstructBlipVisionConfig
from transformers.models.instructblip.modeling_instructblip import InstructBlipVisionModel

import oracle

EAGER = dict(attn_implementation="eager")  # the fused kernels of PyTorch reorder sums by machine
PATCHES_PER_ROW = 4  # MiniGPT-4 puts four patches into one row of the language model


class Blip(nn.Module):
    """Picture -> EVA -> ln_vision -> (Q-Former) -> projection -> rows of a Llama."""

    def __init__(self, vision_model, language_projection, language_model, qformer=None, query_tokens=None):
        super().__init__()
        self.vision_model, self.language_model = vision_model, language_model
        self.qformer, self.query_tokens, self.language_projection = qformer, query_tokens, language_projection

    @property
    def image_size(self):
        return self.vision_model.config.image_size

    def features(self, pixels):
        """[1+P, C] behind ln_vision; MiniGPT-4: [P/4, 4C] without the class row."""
        x = self.vision_model(pixel_values=pixels[None]).last_hidden_state
        return x[0] if self.qformer is not None else x[:, 1:].reshape(-1, PATCHES_PER_ROW * x.shape[-1])

    def queries(self, features, instruction):
        count = self.query_tokens.shape[1] + len(instruction)
        return self.qformer(
            input_ids=torch.tensor([instruction]), attention_mask=torch.ones(1, count, dtype=torch.long),
            query_embeds=self.query_tokens, encoder_hidden_states=features[None],
            encoder_attention_mask=torch.ones(1, len(features), dtype=torch.long)).last_hidden_state[0, :self.query_tokens.shape[1]]

    def rows(self, pixels, instruction):
        """[R, D]"""
        x = self.features(pixels)
        return self.language_projection(x if self.qformer is None else self.queries(x, instruction))

    def embed(self, pixels, ids, instruction=None):
        """[1, T, D]; IMAGE becomes the picture's rows."""
        table, where = self.language_model.get_input_embeddings(), ids.index(oracle.IMAGE)
        before, after = (table(torch.tensor(part, dtype=torch.long)) for part in (ids[:where], ids[where + 1:]))
        return torch.cat([before, self.rows(pixels, instruction), after])[None]

    def disable_adapter(self):
        return self.language_model.disable_adapter()


def minigpt4(text, vision, seed=0, stored=None, **more):
    """ln_vision is the LayerNorm that upstream builds and never loads: weight 1, bias 0, epsilon 1e-5."""
    config = InstructBlipVisionConfig(**vision)
    model = Blip(InstructBlipVisionModel._from_config(config, **EAGER),
                 nn.Linear(PATCHES_PER_ROW * config.hidden_size, text["hidden_size"]),
                 LlamaForCausalLM._from_config(LlamaConfig(**text), **EAGER)).float().eval()
    fill(model, seed, stored, **more)
    _original_ln_vision(model)
    with torch.no_grad():
        model.vision_model.post_layernorm.weight.fill_(1)
        model.vision_model.post_layernorm.bias.zero_()
    return model


def instructblip(text, vision, qformer, queries, image_token, seed=0, stored=None, original=True, **more):
    """`original`: ln_vision has the epsilon 1e-5 of LAVIS; transformers has 1e-6 there as in the blocks.

    `.hf` is the whole model of transformers around the same weights."""
    config = InstructBlipConfig(vision_config=vision, qformer_config=qformer, text_config=dict(text, model_type="llama"),
                                num_query_tokens=queries, image_token_index=image_token)
    config._attn_implementation = "eager"
    hf = InstructBlipForConditionalGeneration(config).float().eval()
    model = Blip(hf.vision_model, hf.language_projection, hf.language_model, hf.qformer, hf.query_tokens).eval()
    fill(model, seed, stored, **more)
    if original:
        _original_ln_vision(model)
    object.__setattr__(model, "hf", hf)  # not a submodule: its weights are counted once
    return model


def _original_ln_vision(model):
    model.vision_model.post_layernorm.eps = 1e-5


def fill(model, seed, stored=None, tokens=None, end_gain=1.4):
    """Random weights with which neither logits nor attention are flat. `stored(name)`: the type to round to.

    `tokens`: rows of the embedding and the head from there on are zero. `end_gain`: scales the head's row of the end token."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = torch.randn(weight.shape, generator=generator)
            if "norm" in name.lower():
                weight.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
            elif name.endswith("bias"):
                weight.copy_(0.1 * noise)
                if "qkv" in name:  # EVA has biases for queries and values only
                    weight.view(3, -1)[1].zero_()
            elif "lm_head" in name:
                weight.copy_(2.5 / weight.shape[1] ** 0.5 * noise)  # logits of standard deviation 2.5
            elif "embed" in name and "patch" not in name:
                weight.copy_(0.3 * noise)
            elif "query_tokens" in name:
                weight.copy_(noise)
            else:
                weight.copy_(1.5 / weight[0].numel() ** 0.5 * noise)
            if tokens and ("lm_head" in name or "embed_tokens" in name):
                weight[tokens:] = 0
            if "lm_head" in name:
                weight[2] *= end_gain
            if stored:
                weight.copy_(weight.to(stored(name)).float())


@torch.no_grad()
def inspect(model, pixels, ids, instruction=None):
    """Every figure of one forward pass under the names of hadpo_model_inspect, in fp32. `ids` includes the completion."""
    out, hooks = {"pixel_values": pixels}, []
    pixels = pixels.to(model.language_projection.weight.dtype)

    def keep(name):
        def hook(_, __, result):
            out[name] = (result[0] if isinstance(result, tuple) else result)[0].float().clone()
        return hook

    layers = {"vision": model.vision_model.encoder.layers, "decoder": model.language_model.model.layers}
    if model.qformer is not None:
        layers["qformer"] = model.qformer.encoder.layer
    for part, blocks in layers.items():
        hooks += [block.register_forward_hook(keep(f"{part}.block.{n}")) for n, block in enumerate(blocks)]
    try:
        features = model.features(pixels)
        out["vision.features"] = features.clone()
        rows = features
        if model.qformer is not None:
            rows = out["qformer.output"] = model.queries(features, instruction)
        out["projected"] = model.language_projection(rows)
        out["logits"] = model.language_model(inputs_embeds=model.embed(pixels, ids, instruction), use_cache=False).logits[0]
    finally:
        for hook in hooks:
            hook.remove()
    return {name: value.float() for name, value in out.items()}


@torch.no_grad()
def generate(model, pixels, ids, instruction, beams, new_tokens, **more):
    """New ids by the installed transformers' `generate` from embeddings, end token included."""
    embeds = model.embed(pixels, ids, instruction)
    # What a checkpoint's generation_config says must not matter here: everything is given.
    out = model.language_model.generate(
        inputs_embeds=embeds, attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long), do_sample=False, num_beams=beams,
        max_new_tokens=new_tokens, eos_token_id=2, bos_token_id=1, pad_token_id=0, length_penalty=1.0, early_stopping=False, **more)
    new = out[0].tolist()
    return new[:new.index(2) + 1] if 2 in new else new


def step_by_step(model, pixels, ids, instruction=None):
    return oracle.StepByStep(model.language_model, model.embed(pixels, ids, instruction))


def attach(model, rank, alpha, seed, targets=("q_proj", "k_proj", "v_proj"), std=0.02):
    """A copy of the model whose language model alone is wrapped by peft, as upstream does; B is drawn, not zero."""
    torch.manual_seed(seed)
    model = copy.deepcopy(model)
    model.language_model = get_peft_model(model.language_model, LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, task_type="CAUSAL_LM", target_modules=list(targets)))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, std)
    return model.eval()


def token_logps(policy, sequence):
    """`sequence`: pixels, prompt ids, instruction ids, answer ids. Log-probability of each answer id."""
    pixels, prompt, instruction, answer = sequence
    logits = policy.language_model(inputs_embeds=policy.embed(pixels, prompt + answer, instruction), use_cache=False).logits[0]
    return oracle.logps(logits, answer)
